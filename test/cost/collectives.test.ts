import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  allGatherCost,
  allReduceCost,
  allReduceCosts,
  collectiveCost,
  lineBound,
  linesOf,
  reduceScatterCost,
} from '../../src/cost/collectives.ts';
import * as forms from '../../src/cost/line.ts';
import { loadTarget } from '../../src/target/load.ts';

const line = (cores: number, stride = 1): forms.Line => ({ cores, stride, hopCycles: 1, rampCycles: 2 });
const { totalOf } = forms;

describe('closed forms of HPDC 2024, on 850 MHz CS-2 numbers (T_R = 2)', () => {
  test.each([
    [64, 1, 69, 100, 379, 96, 135],
    [64, 64, 132, 4037, 442, 414, 247],
    [256, 16, 276, 4085, 1546, 359, 435],
    [256, 256, 516, 65285, 1786, 2088, 887],
    [512, 1, 517, 772, 3067, 560, 729],
    [512, 256, 772, 130821, 3322, 2349, 1218],
    [750, 16, 770, 11989, 4510, 873, 1044],
    [750, 1024, 1778, 766981, 5518, 9828, 2989],
    [750, 4096, 4850, 3067909, 8590, 39168, 8916],
  ])('P=%i B=%i', (p, b, broadcast, star, chain, tree, twoPhase) => {
    const of = [
      forms.broadcast(line(p), b),
      forms.starReduce(line(p), b),
      forms.chainReduce(line(p), b),
      forms.treeReduce(line(p), b),
      forms.twoPhaseReduce(line(p), b, Math.sqrt(p)),
    ].map(totalOf);
    // The table is rounded to whole cycles.
    for (const [i, cycles] of [broadcast, star, chain, tree, twoPhase].entries())
      expect(Math.abs(of[i] - cycles)).toBeLessThanOrEqual(0.51);
  });
  test('in words: B + P + 2 T_R, and B + (2 T_R + 2)(P-1)', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 1200 }), fc.integer({ min: 1, max: 5000 }), (p, b) => {
        expect(totalOf(forms.broadcast(line(p), b))).toBe(b + p + 4);
        expect(totalOf(forms.chainReduce(line(p), b))).toBe(b + 6 * (p - 1));
      }),
    );
  });
});

describe('the tree with its root in the middle', () => {
  test.each([
    [420, 21, 5],
    [540, 27, 35],
    [660, 30, 44],
  ])('is N + 5(g/2 + N/2g) + 3B, and the broadcast ramps and group halves that this leaves out', (n, g, b) => {
    const short = n + 5 * (g / 2 + n / (2 * g)) + 3 * b;
    const exact = totalOf(forms.middleAllReduce(line(n), b, g, 1));
    expect(exact - short).toBeGreaterThan(0);
    expect(exact - short).toBeLessThan(g + 5 + 5 + 2 * b);
  });
  test('two cores: a reduction and a broadcast', () => {
    expect(totalOf(forms.middleAllReduce(line(2), 3, 2, 1))).toBe(3 + 6 + (3 + 1 + 5));
  });
  test('beats the ends by nearly half of the distance when the message is short', () => {
    const cost = allReduceCost(line(420), 1, 'sum');
    expect(cost.algorithm).toBe('middle-two-phase');
    const costs = Object.fromEntries(allReduceCosts(line(420), 1).map((c) => [c.algorithm, totalOf(c)]));
    expect(costs['two-phase']).toBeGreaterThan(1.7 * totalOf(cost));
  });
});

describe('choice', () => {
  const pb = [fc.integer({ min: 1, max: 1200 }), fc.integer({ min: 1, max: 4000 })] as const;
  test('no algorithm is below the bound, and the chosen one is the cheapest routable', () => {
    fc.assert(
      fc.property(...pb, (p, b) => {
        const costs = allReduceCosts(line(p), b);
        for (const c of costs) expect(totalOf(c)).toBeGreaterThanOrEqual(lineBound('all_reduce', line(p), b));
        const chosen = allReduceCost(line(p), b, 'sum');
        for (const c of costs)
          if (c.algorithm !== 'star' && c.algorithm !== 'tree') expect(totalOf(chosen)).toBeLessThanOrEqual(totalOf(c));
        expect(totalOf(reduceScatterCost(line(p), b, 'sum'))).toBeLessThanOrEqual(totalOf(chosen));
        expect(totalOf(reduceScatterCost(line(p), b, 'sum'))).toBeGreaterThanOrEqual(
          lineBound('reduce_scatter', line(p), b),
        );
        expect(totalOf(allGatherCost(line(p), b))).toBeGreaterThanOrEqual(lineBound('all_gather', line(p), b));
      }),
    );
  });
  test('longer lines and longer messages never cost less', () => {
    fc.assert(
      fc.property(...pb, (p, b) => {
        const at = totalOf(allReduceCost(line(p), b, 'sum'));
        expect(totalOf(allReduceCost(line(p), b + 7, 'sum'))).toBeGreaterThanOrEqual(at);
        expect(totalOf(allReduceCost(line(p + 64), b, 'sum'))).toBeGreaterThanOrEqual(at);
      }),
    );
  });
  test('one core: nothing to do', () => {
    expect(allReduceCost(line(1), 9, 'sum')).toEqual({ algorithm: 'none', ...forms.NOTHING });
  });
});

describe('axes of a region', () => {
  const target = loadTarget('mesh-64x64');
  const shape = { width: 24, height: 10, groups: 6 };
  test('lines and strides', () => {
    const brief = (axes: Parameters<typeof linesOf>[0]) => linesOf(axes, shape, target).map((l) => [l.cores, l.stride]);
    expect(brief(['y'])).toEqual([[10, 1]]);
    expect(brief(['xo', 'xi'])).toEqual([[24, 1]]);
    expect(brief(['xi'])).toEqual([[4, 1]]);
    expect(brief(['xo'])).toEqual([[6, 4]]);
    expect(brief(['y', 'xi'])).toEqual([
      [10, 1],
      [4, 1],
    ]);
    expect(linesOf(['xi'], { width: 6, height: 1, groups: 6 }, target)).toEqual([]);
  });
  test('both axes: one after the other, payload grows with a gather', () => {
    const place = { shape, target };
    const both = collectiveCost({ op: 'all_gather', axes: ['y', 'xo', 'xi'], combine: null }, 2, place);
    const rows = collectiveCost({ op: 'all_gather', axes: ['y'], combine: null }, 2, place);
    const columns = collectiveCost({ op: 'all_gather', axes: ['xo', 'xi'], combine: null }, 20, place);
    expect(totalOf(both)).toBe(totalOf(rows) + totalOf(columns));
    expect(both.algorithm).toBe('in-turn+in-turn');
  });
});
