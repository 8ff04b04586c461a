/** How important a weight is. Matrices are [N, K] row-major; statistics are of the K inputs of the product. */
import type { Extents } from './select.ts';

/** |w| (compression.md 1.13). */
export function magnitudeScores(weights: Float32Array): Float32Array {
  return weights.map(Math.abs);
}

/**
 * |w_ij| x ||x_j||: Wanda (Sun et al., 2023).
 *
 * @param norms root of the summed (or mean) squares of every input: [K]. A common factor changes no mask.
 */
export function wandaScores(weights: Float32Array, { rows, cols }: Extents, norms: ArrayLike<number>): Float32Array {
  if (norms.length !== cols) throw new RangeError(`${norms.length} norms of ${cols} inputs`);
  const scores = new Float32Array(weights.length);
  for (let r = 0; r < rows; r++)
    for (let c = 0, i = r * cols; c < cols; c++, i++) scores[i] = Math.abs(weights[i]) * norms[c];
  return scores;
}

/** Outliers of one layer: how many of its scores are above `threshold` times their mean, and how many there are. */
export interface OutlierCount {
  readonly above: number;
  readonly of: number;
}

/** Counts outliers of a layer over the Wanda scores of all of its matrices (OWL, Yin et al., 2023). */
export function countOutliers(scores: readonly Float32Array[], threshold: number): OutlierCount {
  let [sum, of] = [0, 0];
  for (const matrix of scores) for (const s of matrix) sum += s;
  for (const { length } of scores) of += length;
  let above = 0;
  for (const matrix of scores) for (const s of matrix) if (s * of > threshold * sum) above++;
  return { above, of };
}

/**
 * Sparsity of each layer: layers with more outliers keep more, and their mean is `sparsity` (OWL).
 *
 * @param spread lambda: how far the share kept may move from its mean; 0.08 in the paper
 */
export function owlSparsities(layers: readonly OutlierCount[], sparsity: number, spread: number): number[] {
  const share = layers.map(({ above, of }) => (of === 0 ? 0 : above / of));
  const [low, high] = [Math.min(...share), Math.max(...share)];
  if (high === low) return layers.map(() => sparsity);
  const moved = share.map((r) => ((r - low) / (high - low)) * 2 * spread);
  const mean = moved.reduce((a, b) => a + b, 0) / moved.length;
  return moved.map((r) => Math.min(1, Math.max(0, sparsity - (r - mean))));
}
