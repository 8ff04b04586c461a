import { describe, expect, test } from 'vitest';
import { CALIBRATION_ROWS, fitConstants, predictedLayer, publishedMacsPerCore } from '../../src/cost/calibration.ts';
import { FITTED_CYCLES_PER_MAC, FITTED_LAYER_OVERHEAD, slowdownOf } from '../../src/cost/constants.ts';

describe('calibration', () => {
  test('the constants are what the fit gives, to two digits', () => {
    const fit = fitConstants(CALIBRATION_ROWS);
    expect(fit.cyclesPerMac).toBeCloseTo(FITTED_CYCLES_PER_MAC, 2);
    expect(Math.round(fit.layerOverhead / 100) * 100).toBe(FITTED_LAYER_OVERHEAD);
    for (const r of fit.residuals) expect(Math.abs(r)).toBeLessThan(0.05);
  });
  test('every row is within 5 %', () => {
    const table = CALIBRATION_ROWS.map((r) => {
      const predicted = Math.round(predictedLayer(r));
      return `${r.model} ${r.side} ${predicted} ${r.cycles} ${((100 * (predicted - r.cycles)) / r.cycles).toFixed(1)}`;
    });
    expect(table).toMatchInlineSnapshot(`
      [
        "LLaMA3-8B 420 13107 12732 2.9",
        "LLaMA3-8B 540 14004 13742 1.9",
        "LLaMA3-8B 660 15168 15323 -1.0",
        "QWen2-72B 420 16721 16375 2.1",
        "QWen2-72B 540 16308 16681 -2.2",
        "QWen2-72B 660 16674 17469 -4.6",
      ]
    `);
    for (const r of CALIBRATION_ROWS) expect(Math.abs(predictedLayer(r) / r.cycles - 1)).toBeLessThan(0.05);
  });
  test('the shapes are the published ones', () => {
    expect(publishedMacsPerCore(CALIBRATION_ROWS[0])).toBeCloseTo(1650, 0);
    expect(slowdownOf('f16')).toBeCloseTo(2.92);
    expect(slowdownOf('f32')).toBeCloseTo(1.316, 3);
  });
});
