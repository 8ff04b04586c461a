import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { dense, gemm, type Matrix, transposed } from '../../../src/ops/support/gemm.ts';
import { matmul } from '../../../src/ops/support/matmul.ts';
import { tensor } from '../../../src/tensor/tensor.ts';
import { filled, randoms } from './support.ts';

/** One dot product per element, in double, in the order of k. */
function naive(m: number, n: number, k: number, a: Matrix, b: Matrix): Float32Array {
  const out = new Float32Array(m * n);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let p = 0; p < k; p++) {
        sum +=
          a.data[a.offset + i * a.rowStride + p * a.colStride] * b.data[b.offset + p * b.rowStride + j * b.colStride];
      }
      out[i * n + j] = sum;
    }
  }
  return out;
}

const random = (count: number, seed: number) =>
  Float32Array.from(
    { length: count },
    (
      (r) => () =>
        r() - 0.5
    )(randoms(seed)),
  );

describe('gemm', () => {
  test('every path, tiling and layout gives the same bits as one dot product per element', () => {
    const extent = fc.integer({ min: 0, max: 23 });
    fc.assert(
      fc.property(extent, extent, extent, fc.boolean(), fc.boolean(), fc.nat(3), (m, n, k, flipA, flipB, offset) => {
        const a = flipA
          ? transposed(dense(random(m * k + offset, 1), m, offset))
          : dense(random(m * k + offset, 1), k, offset);
        const b = flipB
          ? transposed(dense(random(n * k + offset, 2), k, offset))
          : dense(random(n * k + offset, 2), n, offset);
        const out = new Float32Array(m * n + offset).fill(7);
        gemm(m, n, k, a, b, dense(out, n, offset));
        expect(out.subarray(offset)).toEqual(naive(m, n, k, a, b));
        expect(out.subarray(0, offset)).toEqual(new Float32Array(offset).fill(7));
      }),
      { numRuns: 300 },
    );
  });

  test('a long inner dim and many rows cross the block size', () => {
    const [m, n, k] = [37, 5, 9000];
    const [a, b] = [dense(random(m * k, 3), k), dense(random(k * n, 4), n)];
    const out = new Float32Array(m * n);
    gemm(m, n, k, a, b, dense(out, n));
    expect(out).toEqual(naive(m, n, k, a, b));
  });

  test('integers are exact and wrap on store', () => {
    const a = tensor('i32', [1, 2], Int32Array.of(2 ** 30, 3));
    const b = tensor('i32', [2, 1], Int32Array.of(4, 5));
    expect(Array.from(matmul(a, b).data)).toEqual([15]);
  });

  test('a stack of matrices is each of them', () => {
    const a = filled('f32', [2, 1, 3, 4], 1);
    const b = filled('f32', [5, 6, 4], 2);
    const whole = matmul(a, b, { transB: true });
    expect(whole.shape).toEqual([2, 5, 3, 6]);
    for (let i = 0; i < 2; i++) {
      for (let j = 0; j < 5; j++) {
        const left = tensor('f32', [3, 4], a.data.subarray(i * 12, i * 12 + 12));
        const right = tensor('f32', [6, 4], b.data.subarray(j * 24, j * 24 + 24));
        const at = (i * 5 + j) * 18;
        expect(whole.data.subarray(at, at + 18)).toEqual(matmul(left, right, { transB: true }).data);
      }
    }
  });
});
