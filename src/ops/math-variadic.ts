/** Min, Max, Sum and Mean of any number of operands with numpy broadcasting. */
import type { Dim } from '../ir/dim.ts';
import { allocate, sizeOf, tensor } from '../tensor/tensor.ts';
import { defineOp, type OpDef } from './op.ts';
import { type BinaryRow, binaryInto, broadcastInputs, broadcastNumbers, broadcastTo } from './support/broadcast.ts';
import { commonDtype, operand, stored } from './support/elementwise.ts';
import { extremeDim, foldBinary, foldUnary } from './support/values.ts';

const addRow: BinaryRow = (out, o, n, a, ai, as, b, bi, bs) => {
  for (let i = 0; i < n; i++) out[o + i] = a[ai + i * as] + b[bi + i * bs];
};
// Math.max and Math.min hand a NaN on, as numpy does.
const maxRow: BinaryRow = (out, o, n, a, ai, as, b, bi, bs) => {
  for (let i = 0; i < n; i++) out[o + i] = Math.max(a[ai + i * as], b[bi + i * bs]);
};
const minRow: BinaryRow = (out, o, n, a, ai, as, b, bi, bs) => {
  for (let i = 0; i < n; i++) out[o + i] = Math.min(a[ai + i * as], b[bi + i * bs]);
};

interface VariadicSpec {
  readonly name: string;
  readonly since: readonly number[];
  readonly row: BinaryRow;
  /** Divide by the number of operands. */
  readonly mean?: boolean;
  readonly fold?: (a: Dim, b: Dim) => Dim | undefined;
}

const variadic = (spec: VariadicSpec): OpDef =>
  defineOp({
    domain: '',
    name: spec.name,
    since: spec.since,
    trait: 'elementwise',
    infer(context) {
      const dtype = commonDtype(context);
      const shape = broadcastInputs(context);
      const types = [{ dtype, shape }];
      if (context.inputs.length === 1) return { types, values: [foldUnary(context, (d) => d)] };
      if (spec.fold && context.inputs.length === 2) return { types, values: [foldBinary(context, shape, spec.fold)] };
      return { types };
    },
    run(context) {
      const all = context.inputs.map((_, i) => operand(context, i));
      const shape = broadcastNumbers(...all.map((t) => t.shape));
      const { dtype } = all[0];
      const out = allocate(dtype, sizeOf(shape));
      out.set(broadcastTo(all[0], shape).data);
      const sum = tensor(dtype, shape, out);
      for (const next of all.slice(1)) binaryInto(out, shape, sum, next, spec.row);
      if (spec.mean) for (let i = 0; i < out.length; i++) out[i] /= all.length;
      return [tensor(dtype, shape, stored(dtype, out))];
    },
  });

export const ops: readonly OpDef[] = [
  variadic({ name: 'Max', since: [6, 8, 12, 13], row: maxRow, fold: (a, b) => extremeDim(a, b, 1) }),
  variadic({ name: 'Min', since: [6, 8, 12, 13], row: minRow, fold: (a, b) => extremeDim(a, b, -1) }),
  variadic({ name: 'Sum', since: [6, 8, 13], row: addRow }),
  variadic({ name: 'Mean', since: [6, 8, 13], row: addRow, mean: true }),
];
