/**
 * The matrix product every op uses. Panels of A (4 rows) and B (4 columns) are packed into doubles, so that one
 * micro kernel with sixteen accumulators serves every element type, layout and stride; each result is one dot
 * product summed in double, in the order of k, whatever the tiling. Products with one row or one column are
 * bound by memory and read the matrix once, where it lies.
 */
import type { TensorData } from '../../tensor/tensor.ts';
import { type Panels, panels } from '../../kernels/tile.ts';
import { dotColumns, dotRows } from './gemv.ts';

/** A strided matrix: element (i, j) is `data[offset + i * rowStride + j * colStride]`. */
export interface Matrix {
  readonly data: TensorData;
  readonly offset: number;
  readonly rowStride: number;
  readonly colStride: number;
}

/** Rows of A packed at a time: the block stays in the second-level cache while all of B passes by. */
const BLOCK_BYTES = 1 << 18;

/** `c[m, n] = a[m, k] * b[k, n]`. Integer operands are exact to 2^53 and wrap on store. */
export function gemm(m: number, n: number, k: number, a: Matrix, b: Matrix, c: Matrix): void {
  if (m === 0 || n === 0) return;
  if (m <= 2) {
    for (let i = 0; i < m; i++) gemv(k, n, a.data, a.offset + i * a.rowStride, a.colStride, b, c, i, false);
  } else if (n <= 2) {
    for (let j = 0; j < n; j++) gemv(k, m, b.data, b.offset + j * b.colStride, b.rowStride, transposed(a), c, j, true);
  } else {
    blocked(m, n, k, a, b, c);
  }
}

/** The same matrix, seen the other way round. */
export const transposed = ({ data, offset, rowStride, colStride }: Matrix): Matrix => ({
  data,
  offset,
  rowStride: colStride,
  colStride: rowStride,
});

/** A dense row-major matrix. */
export const dense = (data: TensorData, columns: number, offset = 0): Matrix => ({
  data,
  offset,
  rowStride: columns,
  colStride: 1,
});

/** One row of C (or column, `down`): vector x (k) times matrix w (k, n). */
function gemv(
  k: number,
  n: number,
  x: TensorData,
  offset: number,
  step: number,
  w: Matrix,
  c: Matrix,
  at: number,
  down: boolean,
): void {
  const vector = new Float64Array(k);
  for (let i = 0; i < k; i++) vector[i] = x[offset + i * step];
  const sums = new Float64Array(n);
  // Walk the matrix in the order it lies in memory.
  if (w.colStride <= w.rowStride) dotColumns(sums, vector, w.data, w.offset, w.rowStride, w.colStride);
  else dotRows(sums, vector, w.data, w.offset, w.colStride, w.rowStride);
  const out = c.data;
  const base = c.offset + at * (down ? c.colStride : c.rowStride);
  const stride = down ? c.rowStride : c.colStride;
  for (let j = 0; j < n; j++) out[base + j * stride] = sums[j];
}

function blocked(m: number, n: number, k: number, a: Matrix, b: Matrix, c: Matrix): void {
  const rows = Math.min(m, Math.max(4, Math.floor(BLOCK_BYTES / (8 * Math.max(1, k))) & ~3));
  const { a: packedA, b: packedB, tile, multiply } = panels(Math.ceil(rows / 4) * 4 * k, 4 * k) ?? plainPanels(rows, k);
  for (let i0 = 0; i0 < m; i0 += rows) {
    const i1 = Math.min(m, i0 + rows);
    for (let i = i0; i < i1; i += 4) {
      pack(packedA, (i - i0) * k, a.data, a.offset + i * a.rowStride, a.rowStride, a.colStride, Math.min(4, m - i), k);
    }
    for (let j = 0; j < n; j += 4) {
      const width = Math.min(4, n - j);
      pack(packedB, 0, b.data, b.offset + j * b.colStride, b.colStride, b.rowStride, width, k);
      for (let i = i0; i < i1; i += 4) {
        multiply((i - i0) * k, k);
        store(tile, c, i, j, Math.min(4, m - i), width);
      }
    }
  }
}

/** Panels for the plain kernel, where there is no SIMD. */
function plainPanels(rows: number, k: number): Panels {
  const [a, b] = [new Float64Array(Math.ceil(rows / 4) * 4 * k), new Float64Array(4 * k)];
  const tile = new Float64Array(16);
  return { a, b, tile, multiply: (at, length) => micro(tile, a, at, b, length) };
}

/** Interleaves four lines of `k` elements: out[4 * p + lane]. Lanes beyond `lanes` are zero. */
function pack(
  out: Float64Array,
  to: number,
  x: TensorData,
  from: number,
  laneStride: number,
  stride: number,
  lanes: number,
  k: number,
): void {
  if (lanes === 4) {
    const x1 = from + laneStride;
    const x2 = x1 + laneStride;
    const x3 = x2 + laneStride;
    for (let p = 0, s = 0; p < k; p++, s += stride) {
      out[to] = x[from + s];
      out[to + 1] = x[x1 + s];
      out[to + 2] = x[x2 + s];
      out[to + 3] = x[x3 + s];
      to += 4;
    }
    return;
  }
  for (let p = 0; p < k; p++) {
    for (let lane = 0; lane < 4; lane++) out[to + lane] = lane < lanes ? x[from + lane * laneStride + p * stride] : 0;
    to += 4;
  }
}

// biome-ignore format: one line per row of the tile
/** tile[4 * i + j] = sum over p of a[4 * p + i] * b[4 * p + j]. */
function micro(tile: Float64Array, a: Float64Array, at: number, b: Float64Array, k: number): void {
  let c00 = 0, c01 = 0, c02 = 0, c03 = 0;
  let c10 = 0, c11 = 0, c12 = 0, c13 = 0;
  let c20 = 0, c21 = 0, c22 = 0, c23 = 0;
  let c30 = 0, c31 = 0, c32 = 0, c33 = 0;
  const end = 4 * k;
  for (let p = 0; p < end; p += 4) {
    const b0 = b[p], b1 = b[p + 1], b2 = b[p + 2], b3 = b[p + 3];
    const a0 = a[at + p];
    c00 += a0 * b0; c01 += a0 * b1; c02 += a0 * b2; c03 += a0 * b3;
    const a1 = a[at + p + 1];
    c10 += a1 * b0; c11 += a1 * b1; c12 += a1 * b2; c13 += a1 * b3;
    const a2 = a[at + p + 2];
    c20 += a2 * b0; c21 += a2 * b1; c22 += a2 * b2; c23 += a2 * b3;
    const a3 = a[at + p + 3];
    c30 += a3 * b0; c31 += a3 * b1; c32 += a3 * b2; c33 += a3 * b3;
  }
  tile[0] = c00; tile[1] = c01; tile[2] = c02; tile[3] = c03;
  tile[4] = c10; tile[5] = c11; tile[6] = c12; tile[7] = c13;
  tile[8] = c20; tile[9] = c21; tile[10] = c22; tile[11] = c23;
  tile[12] = c30; tile[13] = c31; tile[14] = c32; tile[15] = c33;
}

function store(tile: Float64Array, c: Matrix, i: number, j: number, height: number, width: number): void {
  const { data, offset, rowStride, colStride } = c;
  for (let r = 0; r < height; r++) {
    const base = offset + (i + r) * rowStride + j * colStride;
    for (let s = 0; s < width; s++) data[base + s * colStride] = tile[4 * r + s];
  }
}
