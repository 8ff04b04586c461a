/** Activations between regions above each other: each row's part reaches the row of the same part, whatever is skipped. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Region } from '../../src/ir/facts.ts';
import { drawColumns } from '../../src/route/draw-columns.ts';
import { columnsOf, Fabric, rowsOf } from '../../src/route/fabric.ts';
import { RouteGrid } from '../../src/route/route-grid.ts';
import { numbersOf } from '../../src/route/spans.ts';
import { loadTarget } from '../../src/target/load.ts';

const fabric = new Fabric({ ...loadTarget('mesh-64x64'), width: 40, height: 60 });
const skips = (start: number): fc.Arbitrary<readonly number[]> =>
  fc.subarray([start + 1, start + 3, start + 4]).map((list) => list.sort((a, b) => a - b));
const region = (x: number, y: number, width: number, height: number, rows: readonly number[]): Region => ({
  stages: [0],
  x,
  y,
  width,
  height,
  ...(rows.length === 0 ? {} : { skippedRows: rows }),
});

const cases = fc
  .record({
    width: fc.integer({ min: 1, max: 12 }),
    other: fc.integer({ min: 1, max: 12 }),
    shift: fc.integer({ min: 0, max: 8 }),
    height: fc.integer({ min: 1, max: 14 }),
    gap: fc.integer({ min: 0, max: 5 }),
    up: fc.boolean(),
  })
  .chain((shape) => fc.record({ shape: fc.constant(shape), above: skips(2), below: skips(30) }));

test('rows reach rows', () => {
  let drawnCount = 0;
  fc.assert(
    fc.property(cases, ({ shape: { width, other, shift, height, gap, up }, above, below }) => {
      const top = region(3, 2, width, height, above);
      const bottom = region(3 + shift, 25 + gap, other, height, below);
      const [from, to] = up ? [bottom, top] : [top, bottom];
      const drawn = drawColumns(from, to, fabric, new RouteGrid(fabric));
      const shared = columnsOf(from).filter((c) => columnsOf(to).includes(c)).length;
      expect(drawn !== undefined).toBe(shared > 0 && Math.ceil(height / shared) <= 4);
      if (drawn === undefined) return;
      drawnCount++;
      const cells = drawn.flows.map(
        (runs) =>
          new Map(
            runs.flatMap((run) =>
              numbersOf(run.rows).flatMap((y) =>
                numbersOf(run.columns).map((x): [string, string] => [`${x},${y}`, run.routes[0]]),
              ),
            ),
          ),
      );
      const along = cells[cells.length - 1];
      const senders = drawn.senders.flatMap((s) =>
        numbersOf(s.rows).flatMap((y) => numbersOf(s.columns).map((x) => [x, y] as const)),
      );
      expect(senders.map(([, y]) => y).sort((a, b) => a - b)).toEqual(rowsOf(from));
      for (const [x, y] of senders) {
        const goal = rowsOf(to)[rowsOf(from).indexOf(y)];
        const step = Math.sign(goal - y);
        const flow = cells.slice(0, -1).find((c) => c.get(`${x},${y}`)?.startsWith('R'));
        const [out, into] = step > 0 ? ['S', 'N'] : ['N', 'S'];
        expect(flow?.get(`${x},${y}`)).toBe(`R>${out}`);
        for (let r = y + step; r !== goal; r += step) expect(flow?.get(`${x},${r}`)).toBe(`${into}>${out}`);
        expect(flow?.get(`${x},${goal}`)).toBe(`${into}>R`);
        const own = [...along].filter(([cell]) => cell.endsWith(`,${goal}`));
        expect(own.filter(([, r]) => r.slice(2).includes('R')).map(([cell]) => Number(cell.split(',')[0]))).toEqual(
          columnsOf(to).filter((c) => c !== x),
        );
        for (const [cell, r] of own) {
          const at = Number(cell.split(',')[0]);
          expect(r[0]).toBe(at === x ? 'R' : at > x ? 'W' : 'E');
        }
      }
    }),
    { numRuns: 80 },
  );
  expect(drawnCount).toBeGreaterThan(20);
});

test('no way through routers that do not pass', () => {
  const blocked = new Fabric({
    ...loadTarget('mesh-16x16'),
    defects: Array.from({ length: 16 }, (_, x) => ({ x, y: 7, width: 1, height: 1 })),
  });
  const ends = [region(0, 0, 4, 4, []), region(0, 9, 4, 4, [])] as const;
  expect(drawColumns(...ends, blocked, new RouteGrid(blocked))).toBeUndefined();
});
