/** Rounded activations: a fixed scale works on any cut; a scale for each token is the largest size of its features, one short reduction. */
import type { Op } from '../../ir/graph.ts';
import type { ValueId } from '../../ir/ids.ts';
import type { T } from '../../ir/program.ts';
import { INVERSE_127 } from '../../ops/wafc-round.ts';
import { distinct, offersOf } from '../bring.ts';
import { cutText, WHOLE } from '../cut.ts';
import type { Draft } from '../draft.ts';
import { reduceAll } from '../reduce.ts';
import type { Way } from '../way.ts';

export function round(s: Draft, op: Op): Way[] {
  const x = op.inputs[0] as ValueId;
  const isFixed = op.attrs.format === 'int8:static';
  const scaleOf = isFixed ? fixedScale : ownScale;
  return distinct([...offersOf(s, op, x), ...(isFixed ? [] : [WHOLE])]).map(
    (cut): Way => ({
      name: `@${cutText(cut)}`,
      wants: [{ v: x, as: cut }],
      make(d, [t]) {
        const b = scaleOf(d, op, t);
        const out = d.temp(t, d.context.tensors[t].shape, d.layout(d.cut(t)));
        d.emit({ op: 'binary', fn: 'round8', a: t, b, out });
        d.bind(op.outputs[0] as ValueId, out);
      },
    }),
  );
}

const fixedScale = (d: Draft, op: Op): T =>
  d.weight(op, op.inputs[1] as ValueId, [1, 1], { dims: [[], []], partial: null });

function ownScale(d: Draft, op: Op, x: T): T {
  const { tokens, features } = d.cut(x);
  const shape = [d.context.tensors[x].shape[0], 1];
  const dims = [tokens, []];
  const name = op.origin.node;
  const own = d.add(`${name}/stats`, 'f32', shape, {
    dims,
    partial: features.length === 0 ? null : { combine: 'max', axes: features },
  });
  d.emit({ op: 'abs_max', x, out: own });
  const [most] = reduceAll(d, [own], features, -1);
  const scale = d.add(`${name}/scale`, 'f32', shape, { dims, partial: null });
  d.emit({ op: 'unary', fn: 'scale', x: most, value: INVERSE_127, out: scale });
  return scale;
}
