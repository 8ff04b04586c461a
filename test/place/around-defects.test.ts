/** Regions over scattered defects: whatever is random, cores are usable and lines cross nothing that does not forward. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { placeAround, type Spot } from '../../src/place/around-defects.ts';
import type { Size } from '../../src/place/serpentine.ts';
import { isUsable } from '../../src/target/cores.ts';
import { loadTarget } from '../../src/target/load.ts';

const base = loadTarget('mesh-64x64');
const mesh = (
  width: number,
  height: number,
  cells: readonly (readonly [number, number])[],
  defectsForward = false,
) => ({
  ...base,
  width,
  height,
  defectsForward,
  defects: cells.map(([x, y]) => ({ x, y, width: 1, height: 1 })),
});

/** The first `count` numbers from `start` on that are not skipped. */
function kept(start: number, count: number, skipped: readonly number[] = []): number[] {
  const out: number[] = [];
  for (let n = start; out.length < count; n++) if (!skipped.includes(n)) out.push(n);
  return out;
}
const columnsOf = (s: Spot): number[] => kept(s.x, s.width, s.skippedColumns);
const rowsOf = (s: Spot): number[] => kept(s.y, s.height, s.skippedRows);
const between = (list: readonly number[]): number[] =>
  Array.from({ length: list[list.length - 1] - list[0] + 1 }, (_, i) => list[0] + i);

const cases = fc.record({
  width: fc.integer({ min: 4, max: 30 }),
  height: fc.integer({ min: 4, max: 30 }),
  cells: fc.array(fc.tuple(fc.nat({ max: 29 }), fc.nat({ max: 29 })), { maxLength: 25 }),
  sizes: fc.array(fc.record({ width: fc.integer({ min: 1, max: 8 }), height: fc.integer({ min: 1, max: 8 }) }), {
    minLength: 1,
    maxLength: 8,
  }),
  forward: fc.boolean(),
});

test('places hold: inside, disjoint, usable, and no line over what does not forward', () => {
  let found = 0;
  fc.assert(
    fc.property(cases, ({ width, height, cells, sizes, forward }) => {
      const target = mesh(
        width,
        height,
        cells.filter(([x, y]) => x < width && y < height),
        forward,
      );
      const spots = placeAround(sizes, target);
      if (spots === undefined) return;
      found++;
      const owner = new Set<string>();
      for (const [i, spot] of spots.entries()) {
        expect({ width: spot.width, height: spot.height }).toEqual(sizes[i]);
        const [columns, rows] = [columnsOf(spot), rowsOf(spot)];
        for (const x of between(columns))
          for (const y of between(rows)) {
            const cell = `${x} ${y}`;
            if (x >= width || y >= height || owner.has(cell)) throw new Error(`region ${i}: ${cell} is not its own`);
            owner.add(cell);
            const crossed = columns.includes(x) || rows.includes(y);
            const own = columns.includes(x) && rows.includes(y);
            if ((own || (crossed && !forward)) && !isUsable(target, x, y)) throw new Error(`region ${i} over ${cell}`);
          }
      }
    }),
    { numRuns: 150 },
  );
  expect(found).toBeGreaterThan(50);
});

const four: readonly Size[] = [{ width: 4, height: 4 }];

describe('by hand', () => {
  test('a defect costs a column and a row, or one of them', () => {
    const spots = placeAround([{ width: 5, height: 5 }], mesh(6, 6, [[2, 3]]));
    expect(spots).toEqual([{ x: 0, y: 0, width: 5, height: 5, skippedColumns: [2], skippedRows: [3] }]);
    const forward = placeAround([{ width: 5, height: 6 }], mesh(6, 6, [[2, 3]], true));
    expect(forward).toEqual([{ x: 0, y: 0, width: 5, height: 6, skippedColumns: [2] }]);
  });
  test('moves on where that takes it less far', () => {
    const column = Array.from({ length: 6 }, (_, y) => [0, y] as const);
    expect(placeAround(four, mesh(6, 6, column))).toEqual([{ x: 1, y: 0, width: 4, height: 4 }]);
  });
  test('what is left is too small', () => {
    const diagonal = Array.from({ length: 6 }, (_, i) => [i, i] as const);
    expect(placeAround(four, mesh(6, 6, diagonal))).toBeUndefined();
    expect(placeAround([{ width: 3, height: 3 }], mesh(6, 6, diagonal))).toBeDefined();
  });
});
