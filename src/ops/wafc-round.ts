/**
 * wafc.round: activations as 8-bit codes stand for them, value = clip(rne(x / scale), -128, 127) * scale.
 *
 * `int8:static`: one scale, the second input. `int8:token`: a scale for every token, its largest size times f32(1/127); a token of zeros stays.
 */
import { allocate, tensor } from '../tensor/tensor.ts';
import { defineOp } from './op.ts';
import { stored } from './support/elementwise.ts';
import { tensorAt, typeAt } from './support/inputs.ts';
import { roundEven } from './support/special.ts';

export const ROUND_FORMATS = ['int8:static', 'int8:token'] as const;
/** As f32: what regions multiply the largest size by. */
export const INVERSE_127 = Math.fround(1 / 127);
const [LOWEST, HIGHEST] = [-128, 127];

/** One value. */
export function roundedTo(x: number, scale: number): number {
  if (scale === 0) return 0;
  const q = roundEven(Math.fround(x / scale));
  return Math.fround((q < LOWEST ? LOWEST : q > HIGHEST ? HIGHEST : q) * scale);
}

const round = defineOp({
  domain: 'wafc',
  name: 'round',
  since: [1],
  trait: 'compute',
  infer(context) {
    const format = context.attrs.string('format');
    if (!ROUND_FORMATS.some((known) => known === format))
      context.mismatch({ expected: ROUND_FORMATS.join(' or '), found: format });
    return { types: [typeAt(context, 0)] };
  },
  run(context) {
    const x = tensorAt(context, 0);
    const width = x.shape[x.shape.length - 1];
    const fixed = context.attrs.string('format') === 'int8:static' ? tensorAt(context, 1).data[0] : undefined;
    const out = allocate(x.dtype, x.data.length);
    for (let at = 0; at < out.length; at += width) {
      let scale = fixed;
      if (scale === undefined) {
        let most = 0;
        for (let i = at; i < at + width; i++) most = Math.max(most, Math.abs(x.data[i]));
        scale = Math.fround(most * INVERSE_127);
      }
      for (let i = at; i < at + width; i++) out[i] = roundedTo(x.data[i], scale);
    }
    return [tensor(x.dtype, x.shape, stored(x.dtype, out))];
  },
});

export const ops = [round];
