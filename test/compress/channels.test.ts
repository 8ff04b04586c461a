/** Channels taken out: the repair against the least-squares solution, and blocks found in graphs. */
import { expect, test } from 'vitest';
import { prepareMoments } from '../../src/compress/compensate.ts';
import { channelScores, leastChannels, thinInputs } from '../../src/compress/prune/channels.ts';
import { inputMoments, normalMatrix, outputError } from './support.ts';

const [rows, columns] = [5, 12];
const matrix = normalMatrix(rows, columns);
const moments = inputMoments(columns, 48);
const prepared = prepareMoments(moments, columns, { actOrder: false, damp: 0, block: columns });
const squares = Float64Array.from({ length: columns }, (_, j) => moments[j * columns + j]);

test('the repair is least squares: its error is at right angles to every input that stays', () => {
  const gone = leastChannels(channelScores(matrix, squares), 4);
  const { values, gone: found } = thinInputs(matrix, prepared, gone);
  expect(found).toEqual(gone);
  for (let row = 0; row < rows; row++)
    for (let j = 0; j < columns; j++) {
      if (gone.includes(j)) {
        expect(values[row * columns + j]).toBe(0);
        continue;
      }
      let product = 0;
      for (let i = 0; i < columns; i++)
        product += (matrix.values[row * columns + i] - values[row * columns + i]) * moments[i * columns + j];
      expect(Math.abs(product)).toBeLessThan(1e-3 * squares[j]);
    }
});

test('better than zeroing; chosen one by one, better still; and the order of those that go does not matter', () => {
  const gone = leastChannels(channelScores(matrix, squares), 4);
  const zeroed = matrix.values.map((w, i) => (gone.includes(i % columns) ? 0 : w));
  const error = (values: Float32Array): number => outputError(matrix, values, moments);
  const repaired = thinInputs(matrix, prepared, gone).values;
  expect(error(repaired)).toBeLessThan(error(zeroed));
  expect(error(thinInputs(matrix, prepared, 4).values)).toBeLessThanOrEqual(error(repaired) * 1.000001);
  const back = thinInputs(matrix, prepared, gone.toReversed()).values;
  for (const [i, w] of back.entries()) expect(w).toBeCloseTo(repaired[i], 5);
});

test('inputs that never come go first, and are made up for by nobody', () => {
  const unused = moments.map((m, i) => (i % columns === 3 || Math.floor(i / columns) === 3 ? 0 : m));
  const dead = prepareMoments(unused, columns, { actOrder: false, damp: 0.01, block: columns });
  const { gone, values } = thinInputs(matrix, dead, 1);
  expect(gone).toEqual([3]);
  for (const [i, w] of values.entries()) expect(w).toBeCloseTo(i % columns === 3 ? 0 : matrix.values[i], 5);
});
