/** Collectives on tiles: what a line of cores ends with is what one core with everything would have computed. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { runCollective } from '../../src/exec/placed/collectives.ts';
import { type Cores, coresOf, linesOf, type Spread, spread } from '../../src/exec/placed/geometry.ts';
import { put, take } from '../../src/exec/placed/region.ts';
import type { CollectiveOp, Layout, MeshAxis, RegionShape } from '../../src/ir/program.ts';
import { randomStream } from '../../src/util/rng.ts';

const AXES = ['y', 'xo', 'xi'] as const;
const shape: fc.Arbitrary<RegionShape> = fc
  .record({
    outer: fc.integer({ min: 1, max: 4 }),
    inner: fc.integer({ min: 1, max: 5 }),
    height: fc.integer({ min: 1, max: 6 }),
  })
  .map(({ outer, inner, height }) => ({ width: outer * inner, height, groups: outer }));
const axes: fc.Arbitrary<readonly MeshAxis[]> = fc.subarray([...AXES], { minLength: 1 });
const extents = fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 17 }));

const layout = (dims: Layout['dims'], partial: Layout['partial'] = null): Layout => ({ dims, partial });
const spreadOf = (cores: Cores, extent: readonly number[], of: Layout): Spread =>
  spread(cores, { name: 't', role: 'temp', dtype: 'f32', shape: extent, layout: of });
const without = (taken: readonly MeshAxis[]): MeshAxis[] => AXES.filter((a) => !taken.includes(a));
const numbers = (count: number, seed: number): Float32Array => {
  const random = randomStream(seed, 'tiles');
  return Float32Array.from({ length: count }, () => Math.round((random() - 0.5) * 64) / 8 || 0); // sums are exact, no -0
};

/** The elements a core holds, with their places in the whole tensor. */
function eachElement(s: Spread, core: number, visit: (local: number, global: number) => void): void {
  const [, extent] = s.tensor.shape;
  const [rows, cols] = s.ranges;
  for (let t = 0; t < rows.size[core]; t++)
    for (let i = 0; i < cols.size[core]; i++)
      visit(core * s.stride + t * cols.size[core] + i, (rows.start[core] + t) * extent + cols.start[core] + i);
}

const collective = (op: Partial<CollectiveOp>): CollectiveOp => ({
  op: 'all_reduce',
  axes: [],
  combine: 'sum',
  dim: -1,
  inputs: [0],
  outputs: [1],
  ...op,
});

describe('geometry', () => {
  test('every element is on as many cores as axes that do not cut it have', () => {
    fc.assert(
      fc.property(shape, axes, extents, (region, cut, extent) => {
        const cores = coresOf(region);
        const s = spreadOf(cores, extent, layout([[], cut]));
        const count = new Int32Array(extent[0] * extent[1]);
        for (let core = 0; core < cores.count; core++) eachElement(s, core, (_, g) => count[g]++);
        const size = { y: region.height, xo: region.groups, xi: region.width / region.groups };
        const replicas = without(cut).reduce((n, a) => n * size[a], 1);
        expect([...count]).toEqual([...count].fill(replicas));
      }),
    );
  });

  test('put, then take', () => {
    fc.assert(
      fc.property(shape, fc.subarray([...AXES]), extents, (region, cut, extent) => {
        const cores = coresOf(region);
        const s = spreadOf(cores, extent, layout([[], cut]));
        const values = numbers(extent[0] * extent[1], 1);
        put(cores, s, values);
        expect(take(cores, s)).toEqual({ dtype: 'f32', shape: extent, data: values });
      }),
    );
  });

  test('lines hold every core once, and differ along their axes only', () => {
    fc.assert(
      fc.property(shape, axes, (region, along) => {
        const cores = coresOf(region);
        const lines = linesOf(cores, along);
        expect(lines.flatMap((line) => [...line]).sort((a, b) => a - b)).toEqual([...Array(cores.count).keys()]);
        for (const line of lines)
          for (const axis of without(along))
            expect(new Set([...line].map((core) => cores.at[axis][core])).size).toBe(1);
      }),
    );
  });

  test('positions of a cyclic tensor: one owner each, at most one more on some cores than on others', () => {
    fc.assert(
      fc.property(shape, axes, fc.integer({ min: 1, max: 60 }), (region, dealt, rows) => {
        const cores = coresOf(region);
        const s = spread(cores, {
          name: 'kv',
          role: 'state',
          dtype: 'f32',
          shape: [rows, 4],
          layout: { ...layout([dealt, []]), cyclic: true },
        });
        const owners = s.dealt?.owners ?? 0;
        expect(s.stride).toBe(Math.ceil(rows / owners) * 4);
        expect(new Set(s.dealt?.owner)).toEqual(new Set(Array(owners).keys()));
      }),
    );
  });
});

describe('reductions', () => {
  test.each(['sum', 'max'] as const)('%s over any axes, whole or scattered', (combine) => {
    fc.assert(
      fc.property(shape, axes, extents, fc.boolean(), fc.nat(), (region, owed, extent, scatter, seed) => {
        const cores = coresOf(region);
        const rest = without(owed);
        const from = spreadOf(cores, extent, layout([[], rest], { combine, axes: owed }));
        const to = spreadOf(cores, extent, layout([[], scatter ? [...rest, ...owed] : rest]));
        from.data.set(numbers(from.data.length, seed));
        const expected = new Float64Array(extent[0] * extent[1]).fill(combine === 'sum' ? 0 : Number.NEGATIVE_INFINITY);
        for (let core = 0; core < cores.count; core++)
          eachElement(from, core, (local, g) => {
            const x = from.data[local];
            expected[g] = combine === 'sum' ? expected[g] + x : Math.max(expected[g], x);
          });
        const op = collective({
          op: scatter ? 'reduce_scatter' : 'all_reduce',
          axes: owed,
          combine,
          dim: scatter ? 1 : -1,
        });
        runCollective(op, cores, (t) => [from, to][t]);
        for (let core = 0; core < cores.count; core++)
          eachElement(to, core, (local, g) => expect(to.data[local]).toBe(expected[g]));
      }),
    );
  });

  test('moments of shares, empty ones included, are those of all', () => {
    fc.assert(
      fc.property(
        shape,
        axes,
        fc.array(fc.float({ min: -50, max: 50, noNaN: true }), { minLength: 1, maxLength: 30 }),
        (region, owed, values) => {
          const cores = coresOf(region);
          const dims: Layout['dims'] = [[], [], []];
          const from = spreadOf(cores, [1, 1, 3], layout(dims, { combine: 'moments', axes: owed }));
          const to = spreadOf(cores, [1, 1, 3], layout(dims));
          for (const line of linesOf(cores, owed)) {
            // Dealt out: with fewer values than cores some have none.
            for (const [i, core] of line.entries()) {
              const own = values.filter((_, v) => v % line.length === i);
              const mean = own.length === 0 ? 0 : own.reduce((a, b) => a + b, 0) / own.length;
              from.data.set([own.length, mean, own.reduce((a, b) => a + (b - mean) ** 2, 0)], core * from.stride);
            }
          }
          runCollective(collective({ axes: owed, combine: 'moments' }), cores, (t) => [from, to][t]);
          const mean = values.reduce((a, b) => a + b, 0) / values.length;
          const m2 = values.reduce((a, b) => a + (b - mean) ** 2, 0);
          const scale = Math.max(1e-3, ...values.map(Math.abs));
          for (let core = 0; core < cores.count; core++) {
            const [n, found, spreadOut] = to.data.subarray(core * 3, core * 3 + 3);
            expect(n).toBe(values.length);
            expect(Math.abs(found - mean)).toBeLessThan(1e-5 * scale);
            expect(Math.abs(spreadOut - m2)).toBeLessThan(1e-4 * scale ** 2 * values.length);
          }
        },
      ),
    );
  });

  test('softmax of shares, empty ones included, is that of all', () => {
    const score = fc.float({ min: -40, max: 40, noNaN: true });
    fc.assert(
      fc.property(
        shape,
        fc.array(score, { maxLength: 20 }),
        fc.boolean(),
        fc.nat(),
        (region, scores, scatter, seed) => {
          const cores = coresOf(region);
          const owed: readonly MeshAxis[] = ['y', 'xi'];
          const [heads, width] = [region.groups, 5];
          const value = numbers(scores.length * width, seed);
          const stats = spreadOf(cores, [1, heads, 2], layout([[], ['xo'], []], { combine: 'softmax', axes: owed }));
          const o = spreadOf(cores, [1, heads * width], layout([[], ['xo']], { combine: 'softmax', axes: owed }));
          const statsOut = spreadOf(cores, [1, heads, 2], layout([[], ['xo'], []]));
          const oOut = spreadOf(cores, [1, heads * width], layout([[], scatter ? ['xo', 'y', 'xi'] : ['xo']]));
          for (const line of linesOf(cores, owed))
            for (const [i, core] of line.entries()) {
              const own = [...scores.keys()].filter((p) => p % line.length === i);
              const m = Math.max(Number.NEGATIVE_INFINITY, ...own.map((p) => scores[p]));
              stats.data.set([m, own.reduce((l, p) => l + Math.exp(scores[p] - m), 0)], core * stats.stride);
              for (let e = 0; e < width; e++)
                o.data[core * o.stride + e] = own.reduce(
                  (s, p) => s + Math.exp(scores[p] - m) * value[p * width + e],
                  0,
                );
            }
          const tiles = [stats, o, statsOut, oOut];
          const op = collective({
            op: scatter ? 'reduce_scatter' : 'all_reduce',
            axes: owed,
            combine: 'softmax',
            dim: scatter ? 1 : -1,
            inputs: [0, 1],
            outputs: [2, 3],
          });
          runCollective(op, cores, (t) => tiles[t]);
          const top = Math.max(Number.NEGATIVE_INFINITY, ...scores);
          const l = scores.reduce((sum, s) => sum + Math.exp(s - top), 0);
          for (let core = 0; core < cores.count; core++) {
            const [m, found] = statsOut.data.subarray(core * statsOut.stride);
            expect(m).toBe(Math.fround(top));
            expect(Math.abs(found - l)).toBeLessThanOrEqual(1e-5 * l);
            eachElement(oOut, core, (local, g) => {
              const e = g % width;
              const wanted = scores.reduce((sum, s, p) => sum + Math.exp(s - top) * value[p * width + e], 0);
              expect(Math.abs(oOut.data[local] - wanted)).toBeLessThan(1e-4 * Math.max(1, l));
            });
          }
        },
      ),
    );
  });

  test('a gather gives every core of the line the whole', () => {
    fc.assert(
      fc.property(shape, axes, fc.array(extents, { minLength: 1, maxLength: 3 }), (region, along, sizes) => {
        const cores = coresOf(region);
        const rest = without(along);
        const parts = sizes.map((extent) => spreadOf(cores, extent, layout([[], [...rest, ...along]])));
        const wholes = sizes.map((extent) => spreadOf(cores, extent, layout([[], rest])));
        const values = sizes.map(([rows, cols], i) => numbers(rows * cols, i));
        for (const [i, part] of parts.entries()) put(cores, part, values[i]);
        const inputs = [...parts.keys()];
        const outputs = inputs.map((i) => i + parts.length);
        runCollective(
          collective({ op: 'all_gather', axes: along, combine: null, dim: 1, inputs, outputs }),
          cores,
          (t) => (t < parts.length ? parts[t] : wholes[t - parts.length]),
        );
        for (const [i, whole] of wholes.entries())
          for (let core = 0; core < cores.count; core++)
            eachElement(whole, core, (local, g) => expect(whole.data[local]).toBe(values[i][g]));
      }),
    );
  });
});
