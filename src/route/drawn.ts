/** What all transports draw with: cells in a line, and the routes of senders and receivers along it. */
import type { Transport } from '../ir/routing.ts';
import { type Cell, OPPOSITE, type Way, wayTo } from './fabric.ts';
import { route } from './line-routes.ts';
import type { DrawnRun, RouteGrid } from './route-grid.ts';
import { spansOf } from './spans.ts';

/** Routes of a transport's flows, before they have colors. */
export interface Drawn {
  readonly algorithm: Transport['algorithm'];
  readonly flows: readonly (readonly DrawnRun[])[];
  readonly senders: Transport['senders'];
  readonly hops: number;
  readonly depth: number;
  /** Senders of the fullest lane. */
  readonly sharing: number;
}

/** Cores of a region that stand for the parts of a value: along a column, or along a row. */
export interface Line {
  /** From the farthest sender to the exit, all cells between included. */
  readonly cells: readonly Cell[];
  readonly senders: readonly Cell[];
}

/** Cells of a row or column from `a` to `b`, both included. */
export const cellsBetween = (a: Cell, b: Cell): Cell[] => {
  const [dx, dy] = [Math.sign(b.x - a.x), Math.sign(b.y - a.y)];
  const count = Math.max(Math.abs(b.x - a.x), Math.abs(b.y - a.y));
  return Array.from({ length: count + 1 }, (_, i) => ({ x: a.x + i * dx, y: a.y + i * dy }));
};

/** Cells as sets of columns and rows. */
export const sendersOf = (cells: readonly Cell[]): Transport['senders'] => {
  const rows = new Map<number, number[]>();
  for (const { x, y } of cells) {
    const row = rows.get(y) ?? [];
    row.push(x);
    rows.set(y, row);
  }
  const alike = new Map<string, { readonly columns: number[]; readonly rows: number[] }>();
  for (const [y, columns] of [...rows].sort((a, b) => a[0] - b[0])) {
    columns.sort((a, b) => a - b);
    const group = alike.get(columns.join()) ?? { columns, rows: [] };
    group.rows.push(y);
    alike.set(columns.join(), group);
  }
  return [...alike.values()].flatMap(({ columns, rows: list }) =>
    spansOf(columns).flatMap((c) => spansOf(list).map((r) => ({ columns: c, rows: r }))),
  );
};

/** Senders of a line in turn, the nearest to its end first; the end sends on towards `out`. */
export function drawTurns({ cells, senders }: Line, out: Way, grid: RouteGrid): void {
  const own = new Set(senders.map(({ x, y }) => `${x} ${y}`));
  for (const [i, cell] of cells.entries()) {
    const to = i + 1 < cells.length ? wayTo(cell, cells[i + 1]) : out;
    const passes = i === 0 ? [] : [route(OPPOSITE[wayTo(cells[i - 1], cell)], [to])];
    grid.set(cell, [...(own.has(`${cell.x} ${cell.y}`) ? [route('R', [to])] : []), ...passes].join('|'));
  }
}

/** Onwards from `start`, which has its route, to all `receives` up to `end` of its row. */
export function drawRow(start: Cell, end: Cell, receives: ReadonlySet<number>, grid: RouteGrid): void {
  const across: Way = end.x > start.x ? 'E' : 'W';
  const from = OPPOSITE[across];
  const [passed, taken, last] = [route(from, [across]), route(from, [across, 'R']), route(from, ['R'])];
  const step = Math.sign(end.x - start.x);
  for (let x = start.x; x !== end.x; ) {
    x += step;
    grid.set({ x, y: start.y }, x === end.x ? last : receives.has(x) ? taken : passed);
  }
}
