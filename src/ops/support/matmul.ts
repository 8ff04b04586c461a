/** Numpy matrix products of tensors: 1-D operands, stacks of matrices with broadcast stack dims. */
import { type Dim } from '../../ir/dim.ts';
import type { DType } from '../../ir/types.ts';
import { allocate, sizeOf, type Tensor, tensor } from '../../tensor/tensor.ts';
import type { InferContext } from '../op.ts';
import { mayEqual, printShape } from './axes.ts';
import { broadcastNumbers, broadcastShapes, broadcastStrides } from './broadcast.ts';
import { stored } from './elementwise.ts';
import { dense, gemm, transposed } from './gemm.ts';

/** Output shape of MatMul on inputs `ia` and `ib`; a `mismatch` names the second where they do not fit. */
export function matmulShape(context: InferContext, a: readonly Dim[], b: readonly Dim[], ib = 1): readonly Dim[] {
  const wrong = (expected: string) => context.mismatch({ input: ib, expected, found: printShape(b) });
  if (a.length === 0 || b.length === 0) wrong('operands of rank 1 or more');
  const inner = a[a.length - 1];
  const k = b.length === 1 ? b[0] : b[b.length - 2];
  if (!mayEqual(inner, k)) wrong(`inner extent ${printShape([inner])} to match ${printShape(a)}`);
  const stack = broadcastShapes(a.slice(0, -2), b.slice(0, -2));
  if (stack === undefined) return wrong(`stack dims that broadcast with ${printShape(a)}`);
  return [...stack, ...(a.length > 1 ? [a[a.length - 2]] : []), ...(b.length > 1 ? [b[b.length - 1]] : [])];
}

export interface MatmulOptions {
  /** Swap the last two dims of an operand first. */
  readonly transA?: boolean;
  readonly transB?: boolean;
  /** Element type of the result; default: that of `a`. */
  readonly dtype?: DType;
}

/** The product as MatMul defines it, rounded to the result's type once. */
export function matmul(a: Tensor, b: Tensor, options: MatmulOptions = {}): Tensor {
  const { transA = false, transB = false, dtype = a.dtype } = options;
  const sa = a.shape.length === 1 ? [1, a.shape[0]] : a.shape;
  const sb = b.shape.length === 1 ? [b.shape[0], 1] : b.shape;
  const [rowsA, colsA] = [sa[sa.length - 2], sa[sa.length - 1]];
  const [rowsB, colsB] = [sb[sb.length - 2], sb[sb.length - 1]];
  const m = transA ? colsA : rowsA;
  const k = transA ? rowsA : colsA;
  const n = transB ? rowsB : colsB;
  const [stackA, stackB] = [sa.slice(0, -2), sb.slice(0, -2)];
  const stack = broadcastNumbers(stackA, stackB);
  const out = allocate(dtype, sizeOf(stack) * m * n);
  const matrix = (t: Tensor, columns: number, offset: number, flip: boolean) =>
    flip ? transposed(dense(t.data, columns, offset)) : dense(t.data, columns, offset);
  if (stackB.every((d) => d === 1) && !transA) {
    // One right-hand matrix for the whole stack: a single tall product.
    gemm(sizeOf(stack) * m, n, k, dense(a.data, colsA), matrix(b, colsB, 0, transB), dense(out, n));
  } else {
    const offsetsA = stackOffsets(stackA, stack, m * k);
    const offsetsB = stackOffsets(stackB, stack, k * n);
    for (let s = 0; s < offsetsA.length; s++) {
      const left = matrix(a, colsA, offsetsA[s], transA);
      gemm(m, n, k, left, matrix(b, colsB, offsetsB[s], transB), dense(out, n, s * m * n));
    }
  }
  const shape = [...stack, ...(a.shape.length > 1 ? [m] : []), ...(b.shape.length > 1 ? [n] : [])];
  return tensor(dtype, shape, stored(dtype, out));
}

/** Offset of each matrix of the broadcast stack. */
function stackOffsets(from: readonly number[], to: readonly number[], size: number): number[] {
  const strides = broadcastStrides(from, to);
  let offsets = [0];
  for (const [d, extent] of to.entries()) {
    offsets = offsets.flatMap((base) => Array.from({ length: extent }, (_, i) => base + i * strides[d] * size));
  }
  return offsets;
}
