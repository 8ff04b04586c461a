/**
 * Inputs of a matrix taken out, with least-squares repair of the others (compression.md section 1.17). Optimal brain surgeon one input at a time:
 * leaving input j out costs ||w_j||^2 / [H^-1]_jj when the others make up for it, W -= w_j [H^-1]_j: / [H^-1]_jj, and H^-1 loses row and column j.
 * After all have gone, in whatever order, what is left is the least-squares solution W H_:S H_SS^-1.
 */
import type { Matrix } from '../matrix.ts';
import type { Prepared } from '../compensate.ts';

/** ||w_j|| x ||x_j||, squared, by input: what zeroing one costs when nothing makes up for it and inputs are independent. */
export function channelScores({ rows, columns, values }: Matrix, squares: ArrayLike<number>): Float64Array {
  const scores = new Float64Array(columns);
  for (let row = 0; row < rows; row++) for (let j = 0; j < columns; j++) scores[j] += values[row * columns + j] ** 2;
  for (let j = 0; j < columns; j++) scores[j] *= squares[j];
  return scores;
}

/** The `count` inputs of least score, ascending; of equal ones the first. */
export const leastChannels = (scores: Float64Array, count: number): number[] =>
  [...scores.keys()]
    .sort((a, b) => scores[a] - scores[b] || a - b)
    .slice(0, count)
    .sort((a, b) => a - b);

export interface Thinned {
  /** Inputs that are gone, ascending; their columns are 0. */
  readonly gone: readonly number[];
  /** [rows, columns]. */
  readonly values: Float32Array;
}

/**
 * Takes inputs out and repairs what is left.
 *
 * @param moments of the inputs, columns in their order (`actOrder: false`)
 * @param wanted the inputs to take out, or how many: then the one of least cost, again and again
 */
export function thinInputs(
  { rows, columns, values }: Matrix,
  { factor, isDead }: Prepared,
  wanted: readonly number[] | number,
): Thinned {
  const inverse = inverseOf(factor, columns);
  const weights = Float64Array.from(values);
  for (let j = 0; j < columns; j++)
    if (isDead[j] === 1) for (let row = 0; row < rows; row++) weights[row * columns + j] = 0;
  const isGone = new Uint8Array(columns);
  const steps = typeof wanted === 'number' ? wanted : wanted.length;
  for (let n = 0; n < steps; n++) {
    const j = typeof wanted === 'number' ? cheapest(weights, inverse, rows, columns, isGone) : wanted[n];
    takeOut(weights, inverse, rows, columns, j, isGone);
  }
  return { gone: [...isGone.keys()].filter((j) => isGone[j] === 1), values: Float32Array.from(weights) };
}

/** U^T U. */
function inverseOf(factor: Float64Array, n: number): Float64Array {
  const inverse = new Float64Array(n * n);
  for (let k = 0; k < n; k++)
    for (let i = k; i < n; i++) {
      const u = factor[k * n + i];
      if (u === 0) continue;
      for (let j = k; j < n; j++) inverse[i * n + j] += u * factor[k * n + j];
    }
  return inverse;
}

function cheapest(
  weights: Float64Array,
  inverse: Float64Array,
  rows: number,
  columns: number,
  isGone: Uint8Array,
): number {
  const norms = new Float64Array(columns);
  for (let row = 0; row < rows; row++) for (let j = 0; j < columns; j++) norms[j] += weights[row * columns + j] ** 2;
  let [best, least] = [-1, Number.POSITIVE_INFINITY];
  for (let j = 0; j < columns; j++) {
    const cost = norms[j] / inverse[j * columns + j];
    if (isGone[j] === 0 && (best < 0 || cost < least)) [best, least] = [j, cost];
  }
  return best;
}

function takeOut(
  weights: Float64Array,
  inverse: Float64Array,
  rows: number,
  columns: number,
  j: number,
  isGone: Uint8Array,
): void {
  const own = inverse.slice(j * columns, (j + 1) * columns);
  const diagonal = own[j];
  isGone[j] = 1;
  for (let row = 0; row < rows; row++) {
    const share = weights[row * columns + j] / diagonal;
    if (share !== 0) for (let i = 0; i < columns; i++) weights[row * columns + i] -= share * own[i];
    weights[row * columns + j] = 0;
  }
  for (let i = 0; i < columns; i++) {
    if (isGone[i] === 1 && i !== j) continue;
    const share = own[i] / diagonal;
    if (share !== 0) for (let k = 0; k < columns; k++) inverse[i * columns + k] -= share * own[k];
  }
  // What is gone takes part in nothing: exact zeros stay zeros.
  for (let i = 0; i < columns; i++) inverse[i * columns + j] = inverse[j * columns + i] = 0;
}
