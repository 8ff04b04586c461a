/** One stream of everything that leaves a region: its senders in turn, a way, and all cores of the region it goes to. */
import type { Region } from '../ir/facts.ts';
import { type Cell, columnsOf, type Fabric, OPPOSITE, rowsOf, type Way, wayTo } from './fabric.ts';
import { cellsBetween, type Drawn, drawRow, drawTurns, type Line, sendersOf } from './drawn.ts';
import { route } from './line-routes.ts';
import type { Net } from './negotiate.ts';
import type { DrawnRun, RouteGrid } from './route-grid.ts';

/** One line of senders, and what its way ends at: a region, or the host. */
export interface Bus {
  readonly line: Line;
  readonly to: Region | null;
}

/** Lines of a bus, nearest to where it goes first: senders along an outer column (or row), either end the last. */
export function busesOf(
  from: Region,
  parts: { readonly columns: readonly number[]; readonly byRow: boolean },
  to: Region | null,
  fabric: Fabric,
): Bus[] {
  const [columns, rows] = [columnsOf(from), rowsOf(from)];
  const ends = (list: readonly number[]): number[] => [...new Set([list[0], list[list.length - 1]])];
  const sides = parts.columns.map((c) => columns[c]);
  if (parts.byRow && sides.length > 1) throw new Error('a value cut by rows and columns leaves a region');
  const lines: Line[] = parts.byRow
    ? ends(columns).flatMap((x) => bothWays(rows.map((y) => ({ x, y }))))
    : ends(rows).flatMap((y) => bothWays(sides.map((x) => ({ x, y }))));
  const buses = lines.map((line) => ({ line, to }));
  const length = (bus: Bus): number => netOf(bus, fabric).distance(netOf(bus, fabric).from);
  return buses
    .map((bus) => ({ bus, at: length(bus) }))
    .sort((a, b) => a.at - b.at)
    .map(({ bus }) => bus);
}

function bothWays(senders: readonly Cell[]): Line[] {
  const cells = cellsBetween(senders[0], senders[senders.length - 1]);
  const line = { cells, senders };
  return senders.length === 1 ? [line] : [line, { cells: [...cells].reverse(), senders: [...senders].reverse() }];
}

/** What a search for the bus's way needs: from the end of its line, around the line, to a core of an outer column of `to`. */
export function netOf({ line, to }: Bus, fabric: Fabric): Net {
  const from = line.cells[line.cells.length - 1];
  const own = new Set(line.cells.map((c) => fabric.index(c)));
  const isOwn = (cell: Cell): boolean => own.has(fabric.index(cell));
  if (to === null) {
    const last = fabric.width - 1;
    return {
      from,
      isGoal: ({ x }) => x === 0 || x === last,
      distance: ({ x }) => Math.min(x, last - x),
      isClosed: isOwn,
    };
  }
  const [columns, rows] = [columnsOf(to), rowsOf(to)];
  const kept = new Set(rows);
  const [left, right, top, bottom] = [columns[0], columns[columns.length - 1], rows[0], rows[rows.length - 1]];
  const isEntry = ({ x, y }: Cell): boolean => (x === left || x === right) && kept.has(y);
  return {
    from,
    isGoal: isEntry,
    distance: ({ x, y }) => Math.min(Math.abs(x - left), Math.abs(x - right)) + Math.max(0, top - y, y - bottom),
    isClosed: (cell) => {
      const inside = cell.x >= left && cell.x <= right && cell.y >= top && cell.y <= bottom;
      return isOwn(cell) || (inside && !isEntry(cell));
    },
  };
}

/** Routes of a bus whose way is known, from the end of its line to the entry, both included. */
export function drawBus(bus: Bus, way: readonly Cell[], grid: RouteGrid, canTurn: boolean): Drawn {
  const { line, to } = bus;
  const end = way[way.length - 1];
  const off: Way = end.x === 0 ? 'W' : 'E';
  const out = way.length > 1 ? wayTo(way[0], way[1]) : off;
  const relays = canTurn || line.senders.length === 1 ? [] : drawRelay(line, grid);
  if (relays.length === 0) drawTurns(line, out, grid);
  else grid.set(way[0], route('R', [out]));
  for (let i = 1; i + 1 < way.length; i++)
    grid.set(way[i], route(OPPOSITE[wayTo(way[i - 1], way[i])], [wayTo(way[i], way[i + 1])]));
  let hops = line.cells.length - 1 + way.length - (to === null ? 0 : 1);
  if (to !== null) hops += drawFan(to, end, OPPOSITE[wayTo(way[way.length - 2], end)], grid);
  else if (way.length > 1) grid.set(end, route(OPPOSITE[wayTo(way[way.length - 2], end)], [off]));
  return {
    algorithm: relays.length === 0 ? 'bus' : 'relay-bus',
    flows: [...relays, grid.take()],
    senders: sendersOf(line.senders),
    hops,
    depth: relays.length === 0 ? 1 : line.senders.length,
    sharing: line.senders.length,
  };
}

/** Two flows on which the senders of a line pass everything on to the last one. */
function drawRelay({ cells, senders }: Line, grid: RouteGrid): DrawnRun[][] {
  const at = senders.map((s) => cells.findIndex((c) => c.x === s.x && c.y === s.y));
  return [0, 1].map((flow) => {
    for (let i = 0; i + 1 < senders.length; i++) {
      if ((senders.length - 1 - i) % 2 !== flow) continue;
      for (let k = at[i]; k <= at[i + 1]; k++) {
        const into = k === at[i] ? 'R' : OPPOSITE[wayTo(cells[k - 1], cells[k])];
        grid.set(cells[k], route(into, k === at[i + 1] ? ['R'] : [wayTo(cells[k], cells[k + 1])]));
      }
    }
    return grid.take();
  });
}

/** From a core of an outer column to all cores of a region: along the column, and from there along every row. Gives the hops. */
function drawFan(region: Region, entry: Cell, from: Way, grid: RouteGrid): number {
  const [columns, rows] = [columnsOf(region), rowsOf(region)];
  const [top, bottom] = [rows[0], rows[rows.length - 1]];
  const end = columns[0] === entry.x ? columns[columns.length - 1] : columns[0];
  const across: Way = end > entry.x ? 'E' : 'W';
  const [keptX, keptY] = [new Set(columns), new Set(rows)];
  for (const { x, y } of cellsBetween({ x: entry.x, y: top }, { x: entry.x, y: bottom })) {
    const into = y === entry.y ? from : y > entry.y ? 'N' : 'S';
    const out: (Way | 'R')[] = [];
    if (y >= entry.y && y < bottom) out.push('S');
    if (y <= entry.y && y > top) out.push('N');
    const kept = keptY.has(y);
    if (kept) out.push('R');
    if (kept && end !== x) out.push(across);
    grid.set({ x, y }, route(into, out));
    if (kept) drawRow({ x, y }, { x: end, y }, keptX, grid);
  }
  return Math.abs(end - entry.x) + Math.max(entry.y - top, bottom - entry.y);
}
