/**
 * SparseGPT (Frantar and Alistarh, 2023): prunes a matrix column by column and lets the columns that are left make up
 * for the error, as the second moments of the inputs say. Optionally the weights that stay are quantized in the same
 * sweep, so that they make up for that, too.
 */
import { type Extents, selectMask, type Structure } from './select.ts';

export interface SparseGptOptions extends Extents {
  /**
   * Upper Cholesky factor U of the inverse of the damped H = 2/T XᵀX: H⁻¹ = UᵀU, [K, K] row-major. Columns must be in
   * the order of the weights.
   */
  readonly factor: Float64Array;
  /** What is dropped; `row` and `layer` hold within a block of columns, `tile` is chosen on the weights as given. */
  readonly structure: Structure;
  /** Columns whose masks are chosen together, and whose error is carried on at once. 128 in the paper. */
  readonly blockColumns: number;
  /**
   * Rounds what stays of column `column`, in place: [N]. Called in order of columns, with the weights as updated so far.
   */
  readonly quantize?: (values: Float32Array, column: number) => void;
}

/**
 * Prunes `weights` ([N, K] row-major) in place.
 *
 * @returns 1 where a weight stays, 0 where it went; a weight that stays may be zero
 */
export function sparseGpt(weights: Float32Array, options: SparseGptOptions): Uint8Array {
  const { rows, cols, factor, structure, blockColumns, quantize } = options;
  if (factor.length !== cols * cols) throw new RangeError(`a factor of ${factor.length} elements for ${cols} columns`);
  const mask = new Uint8Array(weights.length).fill(1);
  if (structure.kind === 'tile') mask.set(selectMask(saliency(weights, options, 0, cols), options, structure));
  const errors = new Float32Array(rows * blockColumns);
  const column = new Float32Array(rows);
  const step = structure.kind === 'n:m' ? structure.of : blockColumns;
  if (blockColumns % step !== 0) throw new RangeError(`blocks of ${blockColumns} columns in runs of ${step}`);
  for (let b0 = 0; b0 < cols; b0 += blockColumns) {
    const b1 = Math.min(b0 + blockColumns, cols);
    for (let j = b0; j < b1; j++) {
      if (structure.kind !== 'tile' && (j - b0) % step === 0) {
        const end = Math.min(j + step, b1);
        const extents = { rows, cols: end - j };
        const chosen = selectMask(saliency(weights, options, j, end), extents, structure);
        for (let r = 0; r < rows; r++)
          mask.set(chosen.subarray(r * extents.cols, (r + 1) * extents.cols), r * cols + j);
      }
      for (let r = 0; r < rows; r++) column[r] = mask[r * cols + j] === 0 ? 0 : weights[r * cols + j];
      quantize?.(column, j);
      const diagonal = factor[j * cols + j];
      for (let r = 0; r < rows; r++) {
        const at = r * cols + j;
        const kept = mask[at] === 0 ? 0 : column[r];
        const error = (weights[at] - kept) / diagonal;
        weights[at] = kept;
        errors[r * blockColumns + (j - b0)] = error;
        if (error !== 0) for (let k = j + 1; k < b1; k++) weights[r * cols + k] -= error * factor[j * cols + k];
      }
    }
    carry(weights, errors, options, b0, b1);
  }
  return mask;
}

/** w² / U_jj² of columns [c0, c1): what dropping a weight costs when the columns after it make up for it. */
function saliency(weights: Float32Array, options: SparseGptOptions, c0: number, c1: number): Float32Array {
  const { rows, cols, factor } = options;
  const scores = new Float32Array(rows * (c1 - c0));
  for (let r = 0, i = 0; r < rows; r++)
    for (let c = c0; c < c1; c++, i++) scores[i] = (weights[r * cols + c] / factor[c * cols + c]) ** 2;
  return scores;
}

/** Takes the errors of columns [b0, b1) out of all later columns. */
function carry(
  weights: Float32Array,
  errors: Float32Array,
  { rows, cols, factor, blockColumns }: SparseGptOptions,
  b0: number,
  b1: number,
): void {
  const sum = new Float64Array(cols - b1);
  for (let r = 0; r < rows; r++) {
    sum.fill(0);
    for (let j = b0; j < b1; j++) {
      const error = errors[r * blockColumns + (j - b0)];
      if (error === 0) continue;
      const row = j * cols + b1;
      for (let k = 0; k < sum.length; k++) sum[k] += error * factor[row + k];
    }
    for (let k = 0, i = r * cols + b1; k < sum.length; k++, i++) weights[i] -= sum[k];
  }
}
