/** Packing by maximal rectangles, and copies of a model in equal blocks. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { packRectangles } from '../../src/place/pack.ts';
import { blockOf, placeRegions, replicasOf } from '../../src/place/regions.ts';
import { isUsable, overlaps, type Rect } from '../../src/target/cores.ts';
import { loadTarget } from '../../src/target/load.ts';

const base = loadTarget('mesh-64x64');
const side = fc.integer({ min: 1, max: 12 });
const fabric = fc
  .record({
    width: fc.integer({ min: 1, max: 24 }),
    height: fc.integer({ min: 1, max: 24 }),
    bad: fc.array(fc.tuple(fc.nat(23), fc.nat(23)), { maxLength: 4 }),
  })
  .map(({ width, height, bad }) => ({
    ...base,
    width,
    height,
    defects: bad.filter(([x, y]) => x < width && y < height).map(([x, y]) => ({ x, y, width: 1, height: 1 })),
  }));
const everyCore = ({ x, y, width, height }: Rect, holds: (x: number, y: number) => boolean): boolean =>
  Array.from({ length: width * height }, (_, i) => holds(x + (i % width), y + Math.floor(i / width))).every(Boolean);

describe('maximal rectangles', () => {
  test('every region has its size, on usable cores, and none meets another', () => {
    fc.assert(
      fc.property(fabric, fc.array(fc.record({ width: side, height: side }), { maxLength: 9 }), (target, sizes) => {
        const places = packRectangles(sizes, target);
        if (places === undefined) return;
        expect(places.map(({ width, height }) => ({ width, height }))).toEqual(sizes);
        for (const [i, a] of places.entries()) {
          expect(everyCore(a, (x, y) => isUsable(target, x, y))).toBe(true);
          for (const b of places.slice(i + 1)) expect(overlaps(a, b)).toBe(false);
        }
      }),
    );
  });
  test('holds what shelves do not: a strip beside a block, and small ones in the corner', () => {
    const target = { ...base, width: 10, height: 10 };
    const sizes = [
      { width: 3, height: 3 },
      { width: 7, height: 10 },
      { width: 3, height: 7 },
    ];
    expect(packRectangles(sizes, target)).toBeDefined();
    expect(placeRegions(sizes, target)).toHaveLength(3);
    expect(placeRegions([...sizes, { width: 1, height: 1 }], target)).toBeUndefined();
  });
});

describe('copies', () => {
  test('blocks do not meet; a block with a bad core under a region is left out', () => {
    const target = { ...base, width: 20, height: 9, defects: [{ x: 11, y: 1, width: 1, height: 1 }] };
    const copies = { columns: 4, rows: 2 };
    expect(blockOf(target, copies)).toMatchObject({ width: 5, height: 4, defects: [] });
    const regions = [{ x: 0, y: 0, width: 3, height: 4 }];
    expect(replicasOf(regions, target, copies)).toEqual([
      { x: 5, y: 0 },
      { x: 15, y: 0 },
      { x: 0, y: 4 },
      { x: 5, y: 4 },
      { x: 10, y: 4 },
      { x: 15, y: 4 },
    ]);
  });
});
