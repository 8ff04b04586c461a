/** Choosing by condition and by position: Where, OneHot, NonZero. */
import type { Dim } from '../ir/dim.ts';
import { sizeOf, type Tensor, tensor } from '../tensor/tensor.ts';
import { defineOp, type InferContext, type RunContext } from './op.ts';
import { normalAxis, splitAt } from './support/axes.ts';
import { broadcastInputs, broadcastNumbers, eachRow, planRows } from './support/broadcast.ts';
import { eachOffset } from './support/index.ts';
import { knownValues, tensorAt, typeAt } from './support/inputs.ts';
import { defineView, moveTensors } from './support/move.ts';

/** Elements of `yes` where `condition` holds, else of `no`. */
export function choose(condition: Tensor, yes: Tensor, no: Tensor): Tensor {
  const shape = broadcastNumbers(condition.shape, yes.shape, no.shape);
  const plan = planRows(shape, [condition.shape, yes.shape, no.shape]);
  const [cs, ys, ns] = plan.steps;
  const { data } = condition;
  return moveTensors([yes, no], shape, ([y, n], to) =>
    eachRow(plan, (o, [ci, yi, ni]) => {
      for (let i = 0; i < plan.length; i++) to[o + i] = data[ci + i * cs] !== 0 ? y[yi + i * ys] : n[ni + i * ns];
    }),
  );
}

const where = defineView({
  domain: '',
  name: 'Where',
  since: [9, 16],
  dataInputs: [1, 2],
  infer(context: InferContext) {
    const { dtype } = typeAt(context, 1);
    const other = typeAt(context, 2).dtype;
    if (other !== dtype) context.mismatch({ input: 2, expected: dtype, found: other });
    return { types: [{ dtype, shape: broadcastInputs(context) }] };
  },
  run: (context) => [choose(tensorAt(context, 0), tensorAt(context, 1), tensorAt(context, 2))],
});

const oneHot = defineOp({
  domain: '',
  name: 'OneHot',
  since: [9, 11],
  trait: 'compute',
  infer(context) {
    const { shape } = typeAt(context, 0);
    const axis = normalAxis(context.attrs.int('axis', -1), shape.length + 1, context);
    const depth: Dim = context.valueOf(1)?.[0] ?? context.fresh('depth');
    return { types: [{ dtype: typeAt(context, 2).dtype, shape: shape.toSpliced(axis, 0, depth) }] };
  },
  run(context) {
    const indices = tensorAt(context, 0);
    const depth = Math.trunc(tensorAt(context, 1).data[0]);
    const axis = normalAxis(context.attrs.int('axis', -1), indices.shape.length + 1);
    const shape = indices.shape.toSpliced(axis, 0, depth);
    const { outer, inner } = splitAt(shape, axis);
    const out = moveTensors([tensorAt(context, 2)], shape, ([values], to) => {
      to.fill(values[0]);
      for (let o = 0; o < outer; o++) {
        for (let i = 0; i < inner; i++) {
          const index = indices.data[o * inner + i];
          const at = index < 0 ? index + depth : index;
          if (Number.isInteger(at) && at >= 0 && at < depth) to[(o * depth + at) * inner + i] = values[1];
        }
      }
    });
    return [out];
  },
});

/** Coordinates of the elements that are not zero, one column each, in order. */
function coordinates(shape: readonly number[], isSet: (position: number) => boolean): Tensor {
  const found: number[] = [];
  eachOffset(
    shape,
    shape.map(() => 0),
    (_, position) => {
      if (isSet(position)) found.push(position);
    },
  );
  const out = new Float64Array(shape.length * found.length);
  let step = sizeOf(shape);
  for (const [d, extent] of shape.entries()) {
    step /= extent;
    for (const [i, position] of found.entries()) out[d * found.length + i] = Math.floor(position / step) % extent;
  }
  return tensor('i64', [shape.length, found.length], out);
}

const runNonZero = (context: RunContext) => {
  const { shape, data, strings } = tensorAt(context, 0);
  return [coordinates(shape, (i) => (strings ? strings[i] !== '' : data[i] !== 0))];
};

const nonZero = defineOp({
  domain: '',
  name: 'NonZero',
  since: [9, 13],
  trait: 'compute',
  infer(context) {
    const { shape } = typeAt(context, 0);
    const known = knownValues(context, 0);
    const count = known?.filter((v) => v !== 0).length;
    const types = [{ dtype: 'i64' as const, shape: [shape.length, count ?? context.fresh('nonzero')] }];
    if (known === undefined || shape.length !== 1) return { types };
    return { types, values: [[...known.keys()].filter((i) => known[i] !== 0)] };
  },
  run: runNonZero,
});

export const ops = [where, oneHot, nonZero];
