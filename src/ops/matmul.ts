/** Matrix products: MatMul and Gemm. */
import { binaryInto, broadcastShapes, rowOf } from './support/broadcast.ts';
import { defineOp, type OpDef } from './op.ts';
import { mayEqual, printShape } from './support/axes.ts';
import { commonDtype, operand, required, stored } from './support/elementwise.ts';
import { matmul, matmulShape } from './support/matmul.ts';

const matMul = defineOp({
  domain: '',
  name: 'MatMul',
  since: [1, 9, 13],
  trait: 'compute',
  infer(context) {
    const dtype = commonDtype(context, [0, 1]);
    return { types: [{ dtype, shape: matmulShape(context, required(context, 0).shape, required(context, 1).shape) }] };
  },
  run: (context) => [matmul(operand(context, 0), operand(context, 1))],
});

/** alpha * A' * B' + beta * C. */
const gemm = defineOp({
  domain: '',
  name: 'Gemm',
  since: [7, 9, 11, 13],
  trait: 'compute',
  infer(context) {
    const dtype = commonDtype(context);
    const [a, b] = [required(context, 0).shape, required(context, 1).shape];
    for (const [input, shape] of [a, b].entries()) {
      if (shape.length !== 2) context.mismatch({ input, expected: 'a matrix', found: printShape(shape) });
    }
    const [m, k] = context.attrs.int('transA', 0) === 1 ? [a[1], a[0]] : a;
    const [k2, n] = context.attrs.int('transB', 0) === 1 ? [b[1], b[0]] : b;
    if (!mayEqual(k, k2)) {
      context.mismatch({
        input: 1,
        expected: `inner extent ${printShape([k])} to match ${printShape(a)}`,
        found: printShape(b),
      });
    }
    const shape = [m, n];
    const c = context.inputs[2];
    if (c) {
      const joined = broadcastShapes(shape, c.shape);
      if (joined === undefined || joined.length !== 2 || !joined.every((d, i) => mayEqual(d, shape[i]))) {
        context.mismatch({
          input: 2,
          expected: `a shape that broadcasts to ${printShape(shape)}`,
          found: printShape(c.shape),
        });
      }
    }
    return { types: [{ dtype, shape }] };
  },
  run(context) {
    const [a, b] = [operand(context, 0), operand(context, 1)];
    const { attrs } = context;
    const alpha = attrs.float('alpha', 1);
    const beta = attrs.float('beta', 1);
    const wide = a.dtype === 'f16' || a.dtype === 'bf16' ? 'f32' : a.dtype; // round once, after the sum
    const out = matmul(a, b, {
      transA: attrs.int('transA', 0) === 1,
      transB: attrs.int('transB', 0) === 1,
      dtype: wide,
    });
    if (alpha !== 1) for (let i = 0; i < out.data.length; i++) out.data[i] *= alpha;
    const c = context.inputs[2];
    if (c && beta !== 0)
      binaryInto(
        out.data,
        out.shape,
        out,
        c,
        rowOf((x, y) => x + beta * y),
      );
    return [{ ...out, dtype: a.dtype, data: stored(a.dtype, out.data) }];
  },
});

export const ops: readonly OpDef[] = [matMul, gemm];
