/** wafc.positions and wafc.angles: the arithmetic of token positions, which the host does for a plan. */
import { roundTo } from '../tensor/pack.ts';
import { allocate, tensor } from '../tensor/tensor.ts';
import { defineOp, type OpDef } from './op.ts';
import { tensorAt, typeAt } from './support/inputs.ts';

/** wafc.* ops that run on the host; all others run on the wafer. */
export const HOST_KINDS: ReadonlySet<string> = new Set(['wafc.positions', 'wafc.angles']);

/** (ids [B, S], past [B, H, P, d]?, given [B, S]?) -> the positions of the tokens: as given, else [1, S] counted on from P. */
const positions = defineOp({
  domain: 'wafc',
  name: 'positions',
  since: [1],
  trait: 'source',
  infer: (context) => ({ types: [context.inputs[2] ?? { dtype: 'i64', shape: [1, typeAt(context, 0).shape[1]] }] }),
  run(context) {
    const [, , given] = context.inputs;
    if (given) return [given];
    const sequence = tensorAt(context, 0).shape[1];
    const past = context.inputs[1]?.shape[2] ?? 0;
    const data = allocate('i64', sequence);
    for (let i = 0; i < sequence; i++) data[i] = past + i;
    return [tensor('i64', [1, sequence], data)];
  },
});

/**
 * (positions [B|1, S], frequencies [R]) -> cos and sin [B|1, S, R] of position * frequency, times `scale`. The angle is
 * rounded to f32 before the cosine, as exporters' graphs round it.
 */
const angles = defineOp({
  domain: 'wafc',
  name: 'angles',
  since: [1],
  trait: 'compute',
  infer(context) {
    const { shape } = typeAt(context, 0);
    const { dtype, shape: frequencies } = typeAt(context, 1);
    const type = { dtype, shape: [...shape, frequencies[0]] };
    return { types: [type, type] };
  },
  run(context) {
    const at = tensorAt(context, 0);
    const { dtype, data: frequencies } = tensorAt(context, 1);
    const scale = context.attrs.float('scale', 1);
    const [cos, sin] = [0, 1].map(() => new Float32Array(at.data.length * frequencies.length));
    for (let p = 0; p < at.data.length; p++) {
      for (let i = 0; i < frequencies.length; i++) {
        const angle = Math.fround(at.data[p] * frequencies[i]);
        cos[p * frequencies.length + i] = Math.cos(angle) * scale;
        sin[p * frequencies.length + i] = Math.sin(angle) * scale;
      }
    }
    const shape = [...at.shape, frequencies.length];
    return [cos, sin].map((data) => tensor(dtype, shape, dtype === 'f32' ? data : roundTo(dtype, data)));
  },
});

export const ops: readonly OpDef[] = [positions, angles];
