import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CALIBRATION_ROWS } from '../../src/cost/calibration.ts';
import { productCost, simdRate } from '../../src/cost/compute.ts';
import { OVERHEAD_SPLITS } from '../../src/cost/constants.ts';
import { costPublished, publishedCycles, publishedLayer } from '../../src/cost/published.ts';
import { costProgram, type OpCost, totalCost } from '../../src/cost/program.ts';
import type { RegionProgram } from '../../src/ir/program.ts';
import type { DType } from '../../src/ir/types.ts';
import { loadTarget } from '../../src/target/load.ts';
import { attention, mlp } from './region.ts';

const OVERHEAD_CYCLES = OVERHEAD_SPLITS.even.collective;
const wse2 = loadTarget('wse2');
const wse3 = loadTarget('wse3');
const cost = (program: RegionProgram, target = wse3): OpCost[] => costProgram(program, target);

describe('a region program', () => {
  test('terms add up, the bound is below, one entry per op', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 300 }),
        (w, h, n) => {
          for (const program of [
            mlp({ width: w, height: h, groups: 1 }, n, 4 * n),
            attention({ width: 2 * w, height: h, groups: w }, 2 * w, w, n, 64),
          ]) {
            const costs = cost(program);
            expect(costs.map((c) => c.op)).toEqual([...program.ops.keys()]);
            for (const c of costs) {
              expect(c.terms.reduce((sum, t) => sum + t.cycles, 0)).toBe(c.cycles);
              expect(c.bound).toBeLessThanOrEqual(c.cycles);
              expect(Number.isInteger(c.cycles) && Number.isInteger(c.bound)).toBe(true);
            }
          }
        },
      ),
      { numRuns: 40 },
    );
  });
  test('products: the fullest core, ceil of the balanced split', () => {
    const [up] = cost(mlp({ width: 4, height: 3, groups: 2 }, 10, 22));
    expect(up.macs).toBe(4 * 6);
    expect(up).toMatchObject({ bound: 3, boundBy: 'compute' });
  });
  test('an all-reduce carries f16 as two, f32 as one a wavelet', () => {
    const shape = { width: 4, height: 3, groups: 1 };
    expect(cost(mlp(shape, 12, 40))[1]).toMatchObject({ wavelets: 5, algorithm: 'middle-chain' });
    expect(cost(mlp(shape, 12, 40, 'f32'))[1].wavelets).toBe(10);
  });
  test('attention: own positions times query and value features, (m, l) beside o in the merge', () => {
    // 4 columns in 2 groups of 2: 2 heads a group; 3 rows x 2 columns share 64 positions: 11 on the fullest core.
    const costs = cost(attention({ width: 4, height: 3, groups: 2 }, 4, 2, 16, 64));
    expect(costs[2].macs).toBe(11 * (32 + 32));
    expect(costs[3].wavelets).toBe((2 * 2 * 4 + 32 * 2) / 4);
    expect(costs[3].terms.at(-1)).toEqual({ what: 'software', cycles: Math.ceil(OVERHEAD_CYCLES) });
  });
  test('vector operations in a row share one overhead; a product or a collective between them parts the run', () => {
    const shape = { width: 4, height: 3, groups: 1 };
    const { ops, ...program } = mlp(shape, 12, 40);
    const relu = ops[2];
    const software = (list: RegionProgram['ops']): number[] =>
      cost({ ...program, ops: list }).map((c) =>
        c.terms.reduce((n, t) => n + (t.what === 'software' ? t.cycles : 0), 0),
      );
    const overhead = Math.ceil(OVERHEAD_CYCLES);
    const own = cost({ ...program, ops: [relu] })[0].terms[0].cycles;
    expect(software([relu, relu, relu])).toEqual([0, 0, overhead - 3 * own]);
    expect(software([relu, ops[0], relu])).toEqual([overhead - own, overhead, overhead - own]);
    expect(software([relu, ops[1], relu])).toEqual([overhead - own, overhead, overhead - own]);
    const many = Array.from({ length: 300 }, () => relu);
    expect(software(many).every((n) => n === 0)).toBe(true);
  });
  test('one core: collectives cost nothing', () => {
    const costs = cost(mlp({ width: 1, height: 1, groups: 1 }, 8, 8));
    expect(costs[1]).toMatchObject({ cycles: 0, bound: 0, algorithm: 'none' });
  });
  test('removing a collective pays its overhead and its way', () => {
    const row = CALIBRATION_ROWS[0];
    const program = publishedLayer(row);
    const less = { ...program, ops: program.ops.filter((_, i) => i !== 7) };
    expect(totalCost(cost(program, wse2)).cycles - totalCost(cost(less, wse2)).cycles).toBeGreaterThan(
      OVERHEAD_CYCLES + row.grid,
    );
  });
});

describe('the published layers, as programs on wse2', () => {
  test.each(CALIBRATION_ROWS)('$model on $grid x $grid', (row) => {
    const { cycles, bound } = totalCost(cost(publishedLayer(row), wse2));
    const measured = publishedCycles(row) / row.layers;
    // With the cheapest algorithm for every collective: near the published one, and never above it.
    expect(cycles).toBeLessThanOrEqual(totalCost(costPublished(row, wse2)).cycles);
    expect(cycles).toBeGreaterThan(0.9 * measured);
    expect(bound).toBeLessThan(0.6 * measured);
  });
});

describe('types', () => {
  const product = (dtype: DType, x: DType, sum: DType, target = wse3) =>
    productCost({ macs: 6400, elements: 6400, bytes: 12_800, dtype, x, sum }, target);
  test('f16 at the SIMD rate; f32 sums at half of it; f32 at one', () => {
    expect(product('f16', 'f16', 'f16').bound).toBe(800);
    expect(product('f16', 'f16', 'f32').bound).toBe(1600);
    expect(product('f32', 'f32', 'f32').bound).toBe(6400);
    expect(product('f16', 'f16', 'f16', wse2).multiply).toBeCloseTo(0.73 * 6400);
  });
  test('int8 weights are unpacked, and multiply as f16: no faster', () => {
    const int8 = product('i8', 'f16', 'f16');
    expect(int8.unpack).toBe(2000);
    expect(int8.multiply).toBe(product('f16', 'f16', 'f16').multiply);
  });
  test('int8 against int8 multiplies where the target says so', () => {
    expect(product('i8', 'i8', 'i32', loadTarget('wse3-int8'))).toMatchObject({
      unpack: 0,
      bound: 800,
      boundBy: 'sram',
    });
    expect(product('i8', 'i8', 'i32').unpack).toBe(2000);
  });
  test('elementwise rates of unlisted types', () => {
    expect([simdRate('f16', wse3), simdRate('u8', wse3), simdRate('i32', wse2)]).toEqual([8, 8, 2]);
  });
});
