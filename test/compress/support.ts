/** Matrices and input statistics for the tests of the algorithms. */
import type { Matrix } from '../../src/compress/matrix.ts';
import { normalStream, randomStream } from '../../src/util/rng.ts';

/** Normal weights of deviation 0.02, the same in every run. */
export function normalMatrix(rows: number, columns: number, seed = 0): Matrix {
  const normal = normalStream(randomStream(seed, 'weights'));
  return { rows, columns, values: Float32Array.from({ length: rows * columns }, () => normal() * 0.02) };
}

/** X^T X of `tokens` inputs whose channels are mixed and of unequal size, as activations are. */
export function inputMoments(columns: number, tokens: number, seed = 0): Float64Array {
  const normal = normalStream(randomStream(seed, 'inputs'));
  const moments = new Float64Array(columns * columns);
  for (let t = 0; t < tokens; t++) {
    const common = normal();
    const x = Array.from({ length: columns }, (_, i) => (normal() + common) * (1 + (i % 5)));
    for (let i = 0; i < columns; i++) for (let j = 0; j < columns; j++) moments[i * columns + j] += x[i] * x[j];
  }
  return moments;
}

/** What an error of the weights does to the outputs: sum over rows of d^T M d. */
export function outputError(matrix: Matrix, values: Float32Array, moments: Float64Array): number {
  const { rows, columns } = matrix;
  let sum = 0;
  for (let row = 0; row < rows; row++) {
    const d = Array.from({ length: columns }, (_, i) => values[row * columns + i] - matrix.values[row * columns + i]);
    for (let i = 0; i < columns; i++) for (let j = 0; j < columns; j++) sum += d[i] * moments[i * columns + j] * d[j];
  }
  return sum;
}
