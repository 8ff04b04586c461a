/** Factors, and rounding with compensation: against direct formulas at small sizes. */
import { describe, expect, test } from 'vitest';
import { COMPENSATE, compensate, prepareMoments } from '../../src/compress/compensate.ts';
import type { IntegerFormat } from '../../src/compress/format.ts';
import { gptq, transposeValues } from '../../src/compress/gptq.ts';
import { inverseFactor } from '../../src/compress/linear-algebra.ts';
import { dequantizeMatrix } from '../../src/compress/matrix.ts';
import { roundToNearest } from '../../src/compress/rtn.ts';
import { inputMoments, normalMatrix, outputError } from './support.ts';

const int4 = (grid: IntegerFormat['grid'], group: IntegerFormat['group']): IntegerFormat => ({
  kind: 'integer',
  bits: 4,
  grid,
  group,
});

describe('inverseFactor', () => {
  // 150 is more than two blocks, the last one ragged.
  test.each([1, 3, 64, 150])('U^T U is the inverse of H, %i columns', (n) => {
    const h = inputMoments(n, n + 20);
    const u = inverseFactor(h.slice(), n);
    if (u === undefined) throw new Error('no factor');
    for (let i = 0; i < n; i++) for (let j = 0; j < i; j++) expect(u[i * n + j]).toBe(0);
    // (U H U^T = I) says the same without inverting.
    const uh = (i: number, j: number): number => {
      let sum = 0;
      for (let k = i; k < n; k++) sum += u[i * n + k] * h[k * n + j];
      return sum;
    };
    for (const i of [0, n >> 1, n - 1]) {
      const line = Array.from({ length: n }, (_, j) => uh(i, j));
      for (const j of [0, n >> 1, n - 1]) {
        let sum = 0;
        for (let k = j; k < n; k++) sum += line[k] * u[j * n + k];
        expect(sum).toBeCloseTo(i === j ? 1 : 0, 8);
      }
    }
  });
  test('a matrix without a factor has none', () => {
    expect(inverseFactor(Float64Array.of(1, 2, 2, 1), 2)).toBeUndefined();
    expect(inverseFactor(Float64Array.of(Number.NaN), 1)).toBeUndefined();
  });
});

describe('compensate', () => {
  test('the error of a column is taken up by the ones after it as least squares would', () => {
    const [rows, columns] = [3, 8];
    const matrix = normalMatrix(rows, columns);
    const moments = inputMoments(columns, 40);
    // The first column becomes 0, the others stay what they are made.
    const rule = {
      column: (column: number, weights: Float64Array, out: Float64Array) =>
        out.set(column === 0 ? new Float64Array(rows) : weights),
    };
    const options = { ...COMPENSATE, actOrder: false, damp: 0, block: 3 };
    const { values } = compensate(
      transposeValues(matrix.values, rows, columns),
      rows,
      prepareMoments(moments, columns, options),
      rule,
    );
    const found = transposeValues(values, columns, rows);
    const best = outputError(matrix, found, moments);
    // A least squares solution is stationary: every change of a later column makes it worse.
    for (let i = 1; i < columns; i++) {
      for (const step of [1e-4, -1e-4]) {
        const moved = found.slice();
        moved[i] += step;
        expect(outputError(matrix, moved, moments)).toBeGreaterThan(best);
      }
    }
  });
  test('the loss is half the error of the outputs', () => {
    const matrix = normalMatrix(4, 12);
    const moments = inputMoments(12, 60);
    const { quantized, loss } = gptq(
      matrix,
      int4('asymmetric', 4),
      prepareMoments(moments, 12, { ...COMPENSATE, damp: 0 }),
    );
    expect(loss).toBeCloseTo(outputError(matrix, dequantizeMatrix(quantized), moments) / 2, 5);
  });
  test('inputs that never come: their weights become 0', () => {
    const matrix = normalMatrix(4, 6);
    const moments = inputMoments(6, 30);
    for (let i = 0; i < 6; i++) moments[2 * 6 + i] = moments[i * 6 + 2] = 0;
    const { quantized, dead } = gptq(matrix, int4('asymmetric', 'row'), prepareMoments(moments, 6));
    expect(dead).toBe(1);
    const values = dequantizeMatrix(quantized);
    expect([2, 8, 14, 20].map((i) => Math.abs(values[i]))).toEqual([0, 0, 0, 0]);
  });
  test('fewer inputs than columns: damping makes a factor', () => {
    const { damp } = gptq(normalMatrix(4, 32), int4('signed', 8), prepareMoments(inputMoments(32, 5), 32));
    expect(damp).toBe(0.01);
  });
  test('moments that are not finite are refused', () => {
    expect(() => prepareMoments(Float64Array.of(Number.NaN), 1)).toThrow(RangeError);
  });
});

describe('gptq', () => {
  const matrix = normalMatrix(20, 72);
  const moments = inputMoments(72, 300);
  const cases = [
    ['asymmetric', 32, true],
    ['asymmetric', 32, false],
    ['signed', 16, true],
    ['symmetric', 'row', false],
    ['asymmetric', 'tensor', true],
  ] as const;
  test.each(cases)(
    'has less error in the outputs than round to nearest: %s, %s, act-order %s',
    (grid, group, actOrder) => {
      const format = int4(grid, group);
      const plain = outputError(matrix, dequantizeMatrix(roundToNearest(matrix, format)), moments);
      for (const block of [128, 24]) {
        const { quantized } = gptq(matrix, format, prepareMoments(moments, 72, { ...COMPENSATE, actOrder, block }));
        expect(outputError(matrix, dequantizeMatrix(quantized), moments)).toBeLessThan(plain * 0.7);
      }
    },
  );
  test('blocks only order the work', () => {
    const [a, b] = [7, 128].map(
      (block) => gptq(matrix, int4('asymmetric', 32), prepareMoments(moments, 72, { ...COMPENSATE, block })).quantized,
    );
    const differing = Array.from(a.codes).filter((code, i) => code !== b.codes[i]).length;
    expect(differing).toBeLessThan(matrix.values.length / 100); // ties in f32
  });
});
