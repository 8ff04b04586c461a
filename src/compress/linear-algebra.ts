/** Factors of symmetric positive definite matrices in blocks, so that nearly all work is in matrix products. */
import { dense, gemm, transposed } from '../ops/support/gemm.ts';

/** Rows and columns of a block: its triangle stays in the first-level cache. */
const BLOCK = 64;

/**
 * The upper triangular U with H^-1 = U^T U, row-major, or undefined when H is not positive definite. `h` [n, n] is overwritten.
 *
 * H read backwards is L L^T; then H = C C^T with C upper triangular, so U = C^-1: one factor and one triangular inverse, half the
 * work of factor, inverse and factor again.
 */
export function inverseFactor(h: Float64Array, n: number): Float64Array | undefined {
  h.reverse(); // reading a symmetric matrix backwards reverses rows and columns
  if (!cholesky(h, n)) return undefined;
  return inverseOfLower(h, n).reverse();
}

/** In place: the lower factor L of a matrix L L^T; what is above the diagonal is left as it was. False when there is none. */
export function cholesky(a: Float64Array, n: number): boolean {
  const product = new Float64Array(BLOCK * n);
  for (let j = 0; j < n; j += BLOCK) {
    const width = Math.min(BLOCK, n - j);
    if (!factorDiagonal(a, n, j, width)) return false;
    solvePanel(a, n, j, width);
    // The rest of the lower triangle, a stripe of rows at a time: A22 -= L21 L21^T.
    for (let i = j + width; i < n; i += BLOCK) {
      const rows = Math.min(BLOCK, n - i);
      const columns = i + rows - (j + width);
      const left = dense(a, n, i * n + j);
      const right = transposed(dense(a, n, (j + width) * n + j));
      gemm(rows, columns, width, left, right, dense(product, columns));
      for (let r = 0; r < rows; r++) {
        const to = (i + r) * n + j + width;
        for (let c = 0; c < columns; c++) a[to + c] -= product[r * columns + c];
      }
    }
  }
  return true;
}

function factorDiagonal(a: Float64Array, n: number, j: number, width: number): boolean {
  for (let c = j; c < j + width; c++) {
    let d = a[c * n + c];
    for (let k = j; k < c; k++) d -= a[c * n + k] ** 2;
    if (!(d > 0) || !Number.isFinite(d)) return false;
    const root = Math.sqrt(d);
    a[c * n + c] = root;
    for (let r = c + 1; r < j + width; r++) {
      let sum = a[r * n + c];
      for (let k = j; k < c; k++) sum -= a[r * n + k] * a[c * n + k];
      a[r * n + c] = sum / root;
    }
  }
  return true;
}

/** L21 = A21 L11^-T. */
function solvePanel(a: Float64Array, n: number, j: number, width: number): void {
  for (let r = j + width; r < n; r++) {
    const row = r * n;
    for (let c = j; c < j + width; c++) {
      let sum = a[row + c];
      for (let k = j; k < c; k++) sum -= a[row + k] * a[c * n + k];
      a[row + c] = sum / a[c * n + c];
    }
  }
}

/** The inverse of a lower triangular matrix, zeros above the diagonal. */
function inverseOfLower(l: Float64Array, n: number): Float64Array {
  const out = new Float64Array(n * n);
  const sum = new Float64Array(BLOCK * n);
  for (let i = 0; i < n; i += BLOCK) {
    const rows = Math.min(BLOCK, n - i);
    invertDiagonal(l, out, n, i, rows);
    if (i === 0) continue;
    // M[i, :i] = -M[i, i] (L[i, :i] M[:i, :i])
    gemm(rows, i, i, dense(l, n, i * n), dense(out, n), dense(sum, i));
    for (let r = rows - 1; r >= 0; r--) {
      const to = (i + r) * n;
      for (let k = 0; k <= r; k++) {
        const factor = out[to + i + k];
        if (factor === 0) continue;
        for (let c = 0; c < i; c++) out[to + c] -= factor * sum[k * i + c];
      }
    }
  }
  return out;
}

function invertDiagonal(l: Float64Array, out: Float64Array, n: number, i: number, rows: number): void {
  for (let c = 0; c < rows; c++) {
    out[(i + c) * n + i + c] = 1 / l[(i + c) * n + i + c];
    for (let r = c + 1; r < rows; r++) {
      let sum = 0;
      for (let k = c; k < r; k++) sum += l[(i + r) * n + i + k] * out[(i + k) * n + i + c];
      out[(i + r) * n + i + c] = -sum / l[(i + r) * n + i + r];
    }
  }
}
