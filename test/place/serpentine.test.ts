import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { placeSerpentine, type Size } from '../../src/place/serpentine.ts';
import { isUsable, type Rect } from '../../src/target/cores.ts';
import { loadTarget } from '../../src/target/load.ts';

const base = loadTarget('mesh-64x64');
const mesh = (width: number, height: number, defects: readonly Rect[] = []) => ({ ...base, width, height, defects });
const same = (count: number, width: number, height = width): Size[] =>
  Array.from({ length: count }, () => ({ width, height }));
const brief = (regions: readonly Rect[]) => regions.map((r) => [r.x, r.y]);
const touch = (a: Rect, b: Rect) => a.y === b.y && (a.x + a.width === b.x || b.x + b.width === a.x);

function placed(sizes: readonly Size[], target = base) {
  const result = placeSerpentine(sizes, target);
  if (!result.fits) throw new Error(`region ${result.failed} has no place`);
  return result;
}

describe('serpentine', () => {
  test('there and back again: every next region touches', () => {
    const { regions, shelves, waste } = placed(same(6, 4), mesh(14, 8));
    expect(brief(regions)).toEqual([
      [0, 0],
      [4, 0],
      [8, 0],
      [8, 4],
      [4, 4],
      [0, 4],
    ]);
    expect(shelves).toBe(2);
    expect(waste).toBeCloseTo(1 - 96 / 112);
  });
  test('starts at the edge where that holds more', () => {
    // Under the end of the first shelf only one region of 4 is left of column 6; from the edge two are.
    const { regions } = placed([...same(1, 6, 4), ...same(2, 5, 4)], mesh(10, 8));
    expect(brief(regions)).toEqual([
      [0, 0],
      [5, 4],
      [0, 4],
    ]);
  });
  test('moves on past defects, and down past a row of them', () => {
    const { regions } = placed(same(2, 3), mesh(8, 8, [{ x: 1, y: 1, width: 1, height: 1 }]));
    expect(brief(regions)).toEqual([
      [2, 0],
      [5, 0],
    ]);
    const below = placed(same(2, 3), mesh(8, 8, [{ x: 0, y: 1, width: 8, height: 1 }]));
    expect(brief(below.regions)).toEqual([
      [0, 2],
      [3, 2],
    ]);
  });
  test('columns of regions where rows do not fit', () => {
    const sizes = [...same(1, 3, 10), ...same(2, 7, 5)];
    expect(brief(placed(sizes, mesh(10, 10)).regions)).toHaveLength(3);
    const tall = [...same(2, 4, 6), ...same(1, 3, 12)];
    const { regions } = placed(tall, mesh(7, 12));
    expect(brief(regions)).toEqual([
      [0, 0],
      [0, 6],
      [4, 0],
    ]);
  });
  test('what does not fit is said with the area', () => {
    expect(placeSerpentine(same(5, 4), mesh(8, 8))).toEqual({ fits: false, need: 80, have: 64, failed: 4 });
    expect(placeSerpentine(same(1, 9), mesh(8, 8))).toEqual({ fits: false, need: 81, have: 64, failed: 0 });
    expect(placeSerpentine([], base)).toMatchObject({ fits: true, regions: [], waste: 0 });
  });
  test('a whole wafer of the published regions', () => {
    expect(placed(same(4, 360), loadTarget('wse2')).regions).toHaveLength(4);
    expect(placed(same(28, 155), loadTarget('wse3')).shelves).toBe(7);
  });
});

describe('properties', () => {
  const side = fc.integer({ min: 1, max: 12 });
  const size = fc.record({ width: side, height: side });
  const defect = fc.record({
    x: fc.integer({ min: 0, max: 60 }),
    y: fc.integer({ min: 0, max: 60 }),
    width: fc.integer({ min: 1, max: 4 }),
    height: fc.integer({ min: 1, max: 4 }),
  });
  const check = (sizes: readonly Size[], defects: readonly Rect[]) => {
    const target = mesh(64, 64, defects);
    const result = placeSerpentine(sizes, target);
    if (!result.fits) return result;
    const covered = new Uint8Array(64 * 64);
    for (const [i, r] of result.regions.entries()) {
      expect([r.width, r.height]).toEqual([sizes[i].width, sizes[i].height]);
      for (let y = r.y; y < r.y + r.height; y++)
        for (let x = r.x; x < r.x + r.width; x++) {
          expect(isUsable(target, x, y)).toBe(true);
          expect(covered[y * 64 + x]++).toBe(0);
        }
    }
    expect(result.waste).toBeGreaterThanOrEqual(-1e-9);
    expect(placeSerpentine(sizes, target)).toEqual(result);
    return result;
  };
  test('inside, disjoint, on no defect, the same every time', () => {
    fc.assert(
      fc.property(fc.array(size, { maxLength: 30 }), fc.array(defect, { maxLength: 12 }), (sizes, defects) => {
        check(sizes, defects);
      }),
      { numRuns: 60 },
    );
  });
  test('without defects, consecutive regions of a shelf touch', () => {
    fc.assert(
      fc.property(fc.array(size, { minLength: 1, maxLength: 30 }), (sizes) => {
        const result = check(sizes, []);
        if (!result.fits) return;
        const apart = result.regions.slice(1).filter((r, i) => !touch(r, result.regions[i])).length;
        expect(apart).toBe(result.shelves - 1);
      }),
      { numRuns: 60 },
    );
  });
  test('equal regions: as many as the grid holds, all neighbours', () => {
    fc.assert(
      fc.property(side, side, (width, height) => {
        const count = Math.floor(64 / width) * Math.floor(64 / height);
        const { regions } = placed(same(count, width, height), mesh(64, 64));
        for (const [i, r] of regions.slice(1).entries()) {
          const before = regions[i];
          expect(touch(before, r) || (r.x === before.x && r.y === before.y + before.height)).toBe(true);
        }
        expect(placeSerpentine(same(count + 1, width, height), mesh(64, 64)).fits).toBe(false);
      }),
    );
  });
});
