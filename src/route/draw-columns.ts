/**
 * From a region to one above or below it: the part of each row goes down a column of its own to the row that has the same
 * part, where the core that gets it passes it on along the row.
 */
import type { Region } from '../ir/facts.ts';
import { type Cell, columnsOf, type Fabric, OPPOSITE, rowsOf, type Way } from './fabric.ts';
import { cellsBetween, type Drawn, drawRow, sendersOf } from './drawn.ts';
import { route } from './line-routes.ts';
import type { DrawnRun, RouteGrid } from './route-grid.ts';

/** Rows that share a column, each on a color of its own; beyond that a bus is as good. */
const MOST_SHARING = 4;

/** Undefined where the regions are not of one height, not above each other, or a router in the way does not pass. */
export function drawColumns(from: Region, to: Region, fabric: Fabric, grid: RouteGrid): Drawn | undefined {
  const [rows, next] = [rowsOf(from), rowsOf(to)];
  const own = new Set(columnsOf(from));
  const shared = columnsOf(to).filter((c) => own.has(c));
  const below = next[0] > rows[rows.length - 1];
  const isApart = below || next[next.length - 1] < rows[0];
  const sharing = Math.ceil(rows.length / shared.length);
  if (!isApart || rows.length !== next.length || shared.length === 0 || sharing > MOST_SHARING) return undefined;
  // In the middle: the ways along the rows are shortest.
  const used = Math.min(rows.length, shared.length);
  const first = Math.floor((shared.length - used) / 2);
  const column = (i: number): number => shared[first + (i % used)];
  const way = (i: number): Cell[] => cellsBetween({ x: column(i), y: rows[i] }, { x: column(i), y: next[i] });
  const out: Way = below ? 'S' : 'N';
  const columns = columnsOf(to);
  const [left, right] = [columns[0], columns[columns.length - 1]];
  const ways = rows.map((_, i) => way(i));
  const isOpen = ways.every((cells) => cells.every((c) => fabric.passes(c)));
  if (!isOpen || !next.every((y) => fabric.rowPasses(y, left, right))) return undefined;
  const down = Array.from({ length: sharing }, (_, f): DrawnRun[] => {
    for (const [i, cells] of ways.entries()) if (Math.floor(i / used) === f) drawWay(cells, out, grid);
    return grid.take();
  });
  const receives = new Set(columns);
  let hops = 0;
  for (const [i, y] of next.entries()) {
    const x = column(i);
    hops = Math.max(hops, ways[i].length - 1 + Math.max(x - left, right - x));
    if (left === right) continue;
    const sides: Way[] = [...(x < right ? (['E'] as const) : []), ...(x > left ? (['W'] as const) : [])];
    grid.set({ x, y }, route('R', sides));
    for (const end of [left, right]) drawRow({ x, y }, { x: end, y }, receives, grid);
  }
  const along = left === right ? [] : grid.take();
  const senders = sendersOf(rows.map((y, i) => ({ x: column(i), y })));
  return { algorithm: 'columns', flows: [...down, along], senders, hops, depth: 2, sharing };
}

/** From the first cell to the ramp of the last. */
function drawWay(cells: readonly Cell[], out: Way, grid: RouteGrid): void {
  for (const [i, cell] of cells.entries())
    grid.set(cell, route(i === 0 ? 'R' : OPPOSITE[out], i === cells.length - 1 ? ['R'] : [out]));
}
