/** Vector times matrix, four lines of the matrix at a time; sums in double. */
import type { TensorData } from '../../tensor/tensor.ts';

/**
 * `sums[j] += sum over i of x[i] * w[i, j]`, for a matrix whose rows are the nearer neighbours in memory:
 * four rows at a time are scaled and added to the whole result.
 */
export function dotColumns(
  sums: Float64Array,
  x: Float64Array,
  w: TensorData,
  offset: number,
  rowStride: number,
  colStride: number,
): void {
  const n = sums.length;
  const k = x.length;
  let i = 0;
  for (; i + 4 <= k; i += 4) {
    const x0 = x[i];
    const x1 = x[i + 1];
    const x2 = x[i + 2];
    const x3 = x[i + 3];
    let p0 = offset + i * rowStride;
    let p1 = p0 + rowStride;
    let p2 = p1 + rowStride;
    let p3 = p2 + rowStride;
    for (let j = 0; j < n; j++) {
      sums[j] = sums[j] + x0 * w[p0] + x1 * w[p1] + x2 * w[p2] + x3 * w[p3];
      p0 += colStride;
      p1 += colStride;
      p2 += colStride;
      p3 += colStride;
    }
  }
  for (; i < k; i++) {
    const p = offset + i * rowStride;
    for (let j = 0; j < n; j++) sums[j] += x[i] * w[p + j * colStride];
  }
}

/** `sums[j] = sum over i of x[i] * w[j, i]`: four dot products at a time, for a matrix whose lines are contiguous in i. */
export function dotRows(
  sums: Float64Array,
  x: Float64Array,
  w: TensorData,
  offset: number,
  lineStride: number,
  stride: number,
): void {
  const n = sums.length;
  const k = x.length;
  let j = 0;
  for (; j + 4 <= n; j += 4) {
    let p0 = offset + j * lineStride;
    let p1 = p0 + lineStride;
    let p2 = p1 + lineStride;
    let p3 = p2 + lineStride;
    let s0 = 0;
    let s1 = 0;
    let s2 = 0;
    let s3 = 0;
    for (let i = 0; i < k; i++) {
      const v = x[i];
      s0 += v * w[p0];
      s1 += v * w[p1];
      s2 += v * w[p2];
      s3 += v * w[p3];
      p0 += stride;
      p1 += stride;
      p2 += stride;
      p3 += stride;
    }
    sums[j] = s0;
    sums[j + 1] = s1;
    sums[j + 2] = s2;
    sums[j + 3] = s3;
  }
  for (; j < n; j++) {
    let s = 0;
    for (let i = 0; i < k; i++) s += x[i] * w[offset + j * lineStride + i * stride];
    sums[j] = s;
  }
}
