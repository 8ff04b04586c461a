/** Ways to put stages into regions, and the parts that must share a shape. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Stages } from '../../src/ir/facts.ts';
import { groupingsOf, partsOf } from '../../src/map/groupings.ts';

/** Stages by template. */
function stagesOf(templates: readonly number[]): Stages {
  const none = { ops: [], inputs: [], outputs: [], weights: [] };
  const count = Math.max(...templates) + 1;
  return {
    host: [],
    stages: templates.map((template, i) => ({ name: `s${i}`, template, ...none })),
    templates: Array.from({ length: count }, (_, t) => ({ name: `t${t}`, exemplar: templates.indexOf(t) })),
  };
}
const ANY = { regions: 0, layersPerRegion: 0 };
const sizes = (stages: Stages, request: Partial<typeof ANY>): number[][] =>
  groupingsOf(stages, { ...ANY, ...request }).map((grouping) => grouping.map((g) => g.length));
/** Embedding, 32 layers, head. */
const llama = stagesOf([0, ...Array.from({ length: 32 }, () => 1), 2]);

describe('groupings', () => {
  test('each holds every stage once and in order; the last one is a single region', () => {
    const templates = fc.array(fc.nat(2), { minLength: 1, maxLength: 20 }).map((list) => {
      const seen = [...new Set(list)];
      return list.map((t) => seen.indexOf(t));
    });
    fc.assert(
      fc.property(templates, fc.nat(22), fc.nat(8), (list, regions, layersPerRegion) => {
        const stages = stagesOf(list);
        for (const grouping of groupingsOf(stages, { regions, layersPerRegion })) {
          expect(grouping.flat()).toEqual([...list.keys()]);
          expect(grouping.every((g) => g.length > 0)).toBe(true);
          if (regions > 0) expect(grouping).toHaveLength(Math.min(regions, list.length));
        }
        if (regions + layersPerRegion === 0) expect(groupingsOf(stages, ANY).at(-1)).toHaveLength(1);
      }),
    );
  });
  test('layers in chunks as even as they go, each way once', () => {
    const ways = sizes(llama, {}).map((g) => g.slice(1, -1));
    expect(ways.map((w) => w.length)).toEqual([32, 16, 11, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
    expect(ways[4]).toEqual([4, 5, 4, 5, 4, 5, 5]);
  });
  test('as many regions as were asked for', () => {
    expect(sizes(llama, { regions: 1 })).toEqual([[34]]);
    expect(sizes(llama, { regions: 2 })).toEqual([[17, 17]]);
    expect(sizes(llama, { regions: 6 })).toEqual([[1, 8, 8, 8, 8, 1]]);
    expect(sizes(llama, { regions: 99 })[0]).toHaveLength(34);
    expect(sizes(llama, { layersPerRegion: 10 })).toEqual([[1, 8, 8, 8, 8, 1]]);
  });
  test('templates that meet in a region are one part', () => {
    const brief = (regions: number) =>
      partsOf(groupingsOf(llama, { ...ANY, regions })[0], llama).map(({ templates, held, regions: n }) => ({
        templates,
        held: held.map((h) => [...h]),
        n,
      }));
    expect(brief(5)).toEqual([
      { templates: [0], held: [[[0, 1]]], n: 1 },
      { templates: [1], held: [[[1, 10]], [[1, 11]]], n: 3 },
      { templates: [2], held: [[[2, 1]]], n: 1 },
    ]);
    expect(brief(2)).toEqual([
      {
        templates: [0, 1, 2],
        held: [
          [
            [0, 1],
            [1, 16],
          ],
          [
            [1, 16],
            [2, 1],
          ],
        ],
        n: 2,
      },
    ]);
  });
});
