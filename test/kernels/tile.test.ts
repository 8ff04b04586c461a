/** The inner loop of the plain product in SIMD: the bits of sums in the order of k. */
import { expect, test } from 'vitest';
import { panels } from '../../src/kernels/tile.ts';
import { normalStream, randomStream } from '../../src/util/rng.ts';

test.each([0, 1, 37, 5000])('tile of panels of %i rows', (k) => {
  const normal = normalStream(randomStream(k, 'panels'));
  const found = panels(8 * k, 4 * k);
  if (found === undefined) throw new Error('no SIMD');
  const { a, b, tile, multiply } = found;
  for (let i = 0; i < a.length; i++) a[i] = normal() * 2 ** (i % 40);
  for (let i = 0; i < b.length; i++) b[i] = normal();
  multiply(4 * k, k);
  for (let i = 0; i < 4; i++) {
    for (let j = 0; j < 4; j++) {
      let sum = 0;
      for (let p = 0; p < k; p++) sum += a[4 * k + 4 * p + i] * b[4 * p + j];
      expect(tile[4 * i + j]).toBe(sum);
    }
  }
});
