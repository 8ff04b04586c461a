import { describe, expect, test } from 'vitest';
import {
  CALIBRATION_ROWS,
  fitDecode,
  fitPrefill,
  isCalibrated,
  PREFILL_ROWS,
  predictedToken,
} from '../../src/cost/calibration.ts';
import {
  CALIBRATION_LAYER,
  FITTED_CYCLES_PER_MAC,
  FITTED_LAYER_OVERHEAD,
  OVERHEAD_SPLITS,
  slowdownOf,
} from '../../src/cost/constants.ts';
import { costPublished, publishedCycles, publishedLayer, sharesOf } from '../../src/cost/published.ts';
import { isCollective } from '../../src/ir/program.ts';
import { loadTarget } from '../../src/target/load.ts';

const wse2 = loadTarget('wse2');

describe('the published layer', () => {
  const [row] = CALIBRATION_ROWS;
  const { ops, tensors } = publishedLayer(row);
  const count = (kinds: readonly string[]): number => ops.filter(({ op }) => kinds.includes(op)).length;
  test('is what the overhead is shared among', () => {
    expect({
      collectives: ops.filter(isCollective).length,
      gemvs: count(['gemv']),
      vectors: count(['rms_apply', 'rope', 'unary', 'binary']),
    }).toEqual(CALIBRATION_LAYER);
    for (const { collective, compute } of Object.values(OVERHEAD_SPLITS))
      expect(10 * collective + 15 * compute).toBeCloseTo(FITTED_LAYER_OVERHEAD, 6);
  });
  test('sends the published lengths (hardware notes, section 6.1), as wavelets of two words', () => {
    const { dim: d, ffn: f, seq: s, grid: p } = row;
    const words = [1, (3 * d) / p, s / p, 1, 1, d / p, d / p, 1, (2 * f) / p, d / p];
    const wavelets = costPublished(row, wse2).flatMap((c) => (c.wavelets === undefined ? [] : [c.wavelets]));
    expect(wavelets).toEqual(words.map((n) => Math.ceil(n / 2)));
  });
  test('multiplies 4 d^2 + 3 d f + 2 s d', () => {
    const { dim: d, ffn: f, seq: s, grid: p } = row;
    expect(sharesOf(costPublished(row, wse2)).macs).toBe((4 * d * d + 3 * d * f + 2 * s * d) / p ** 2);
    expect(tensors.every(({ dtype }) => dtype === 'f16')).toBe(true);
  });
  test('pads what is not a multiple of the side', () => {
    const ragged = { ...row, dim: 4096, ffn: 14336, seq: 4096 };
    expect(costPublished(ragged, wse2)).toEqual(costPublished(row, wse2));
  });
  test('every all-reduce takes the published tree, though others would be cheaper', () => {
    const own = sharesOf(costPublished(row, wse2, { treeGroup: 13 })).communication;
    const costs = costPublished(row, wse2);
    expect(new Set(costs.flatMap((c) => c.algorithm ?? []))).toEqual(new Set(['middle-two-phase']));
    // P + (2 T_R + 1)(g/2 + P/2g) + 3B each, and what whole cores and the broadcast's ramps add.
    const p = row.grid;
    const g = p / row.groups;
    const brief = costs.reduce(
      (n, c) => n + (c.wavelets === undefined ? 0 : p + 5 * (g / 2 + p / 2 / g) + 3 * c.wavelets),
      0,
    );
    expect(sharesOf(costs).communication / brief).toBeGreaterThan(1);
    expect(sharesOf(costs).communication / brief).toBeLessThan(1.06);
    expect(own).not.toBe(sharesOf(costs).communication);
  });
});

describe('calibration', () => {
  test('the constants are what the fit gives, to two digits', () => {
    const fit = fitDecode(CALIBRATION_ROWS, wse2);
    expect(fit.slope).toBeCloseTo(FITTED_CYCLES_PER_MAC, 2);
    expect(Math.round(fit.offset / 100) * 100).toBe(FITTED_LAYER_OVERHEAD);
    for (const r of fit.residuals) expect(Math.abs(r)).toBeLessThan(0.05);
    expect(slowdownOf('f16')).toBeCloseTo(2.92);
    expect(slowdownOf('f32')).toBeCloseTo(1.316, 3);
  });
  test('the published plan is within 6 % of every row', () => {
    for (const row of CALIBRATION_ROWS)
      expect(Math.abs(predictedToken(row, wse2) / publishedCycles(row) - 1), `${row.model} ${row.grid}`).toBeLessThan(
        0.06,
      );
  });
  test('a slower clock or fewer tokens make other cycles: rows are told apart', () => {
    const [row] = CALIBRATION_ROWS;
    expect(publishedCycles({ ...row, clockGHz: 0.55 })).toBe(publishedCycles(row) / 2);
    expect(Math.round(publishedCycles(row))).toBe(407_422);
  });
  test('prefill: two constants, residuals below 3 %', () => {
    const { slope, offset, residuals } = fitPrefill(PREFILL_ROWS);
    expect([slope.toFixed(2), offset.toFixed(0)]).toEqual(['0.90', '450']);
    for (const r of residuals) expect(Math.abs(r)).toBeLessThan(0.03);
  });
  test('what is an extrapolation', () => {
    const [row] = CALIBRATION_ROWS;
    expect(CALIBRATION_ROWS.every(isCalibrated)).toBe(true);
    expect([{ grid: 240 }, { grid: 720 }, { seq: 32_768 }].map((c) => isCalibrated({ ...row, ...c }))).toEqual([
      false,
      false,
      false,
    ]);
  });
});
