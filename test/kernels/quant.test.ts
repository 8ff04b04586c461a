/** Rounding to grids in SIMD: the codes and extremes of plain arithmetic, for any shape of groups and any weight. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { encodeBlocks, extremesInBlocks } from '../../src/kernels/quant.ts';
import { roundEven } from '../../src/ops/support/special.ts';

const weight = fc.oneof(
  fc.float({ noDefaultInfinity: true }),
  fc.constantFrom(0, -0, 0.5, 1.5, -2.5, Number.NaN, Number.POSITIVE_INFINITY, 1e30),
);
const matrix = fc
  .record({
    rows: fc.integer({ min: 1, max: 7 }),
    columns: fc.integer({ min: 1, max: 45 }),
    group: fc.integer({ min: 1, max: 45 }),
  })
  .chain((shape) =>
    fc.record({
      shape: fc.constant(shape),
      values: fc.array(weight, { minLength: shape.rows * shape.columns, maxLength: shape.rows * shape.columns }),
      scale: fc.constantFrom(1, 0.25, -0.3, 1e-4),
      zero: fc.constantFrom(0, 3, 8),
      signed: fc.boolean(),
    }),
  );

test('codes and extremes', () => {
  fc.assert(
    fc.property(matrix, ({ shape, values, scale, zero, signed }) => {
      const { rows, columns, group } = shape;
      const perRow = Math.ceil(columns / group);
      const count = rows * perRow;
      const given = Float32Array.from(values);
      const scales = new Float32Array(count).map((_, g) => scale * (1 + g));
      const zeros = new Float32Array(count).fill(zero);
      const range = signed ? { low: -7, high: 7 } : { low: 0, high: 255 };
      const codes = signed ? new Int8Array(given.length) : new Uint8Array(given.length);
      expect(encodeBlocks(shape, given, scales, zeros, range, codes)).toBe(true);
      const [low, high] = [new Float32Array(count), new Float32Array(count)];
      expect(extremesInBlocks(shape, given, low, high)).toBe(true);
      const least = new Float32Array(count).fill(Number.POSITIVE_INFINITY);
      const most = new Float32Array(count).fill(Number.NEGATIVE_INFINITY);
      for (const [i, w] of given.entries()) {
        const column = i % columns;
        const g = Math.floor(i / columns) * perRow + Math.floor(column / group);
        const q = roundEven(Math.fround(w / scales[g])) + zero;
        expect(codes[i]).toBe(Number.isNaN(q) ? 0 : Math.min(range.high, Math.max(range.low, q)) + 0);
        const begins = column % group === 0;
        if (begins || w < least[g]) least[g] = w;
        if (begins || w > most[g]) most[g] = w;
      }
      // 0 and -0 are alike.
      const plain = (x: Float32Array): number[] => [...x].map((v) => v + 0);
      expect([plain(low), plain(high)]).toEqual([plain(least), plain(most)]);
    }),
  );
});

test('rows beyond a block are left to the caller; many rows go in blocks', () => {
  const long = { rows: 1, columns: 2 ** 18 + 1, group: 32 };
  const none = new Float32Array(0);
  expect(extremesInBlocks(long, none, none, none)).toBe(false);
  const [rows, columns] = [9, 2 ** 16];
  const values = Float32Array.from(
    { length: rows * columns },
    (_, i) => Math.floor(i / columns) + (i % columns) / columns,
  );
  const [low, high] = [new Float32Array(rows), new Float32Array(rows)];
  expect(extremesInBlocks({ rows, columns, group: columns }, values, low, high)).toBe(true);
  expect([...low]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
  expect(Math.floor(high[8])).toBe(8);
});
