/**
 * Routes of transports on the fabric. Values from the host go down a tree over all regions that need them; an
 * activation goes straight along its rows where the next region has the same rows, else over one bus; results leave along
 * their rows. What each algorithm means is in ARCHITECTURE.md, "Routing".
 */
import { fail } from '../diag/diagnostic.ts';
import type { Region } from '../ir/facts.ts';
import type { MeshAxis, RegionShape } from '../ir/program.ts';
import type { Transport } from '../ir/routing.ts';
import { type Cell, columnsOf, type Fabric, OPPOSITE, rowsOf, stepFrom, type Way, WAYS, wayTo } from './fabric.ts';
import { route } from './line-routes.ts';
import type { Net } from './negotiate.ts';
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
interface Line {
  /** From the farthest sender to the exit, all cells between included. */
  readonly cells: readonly Cell[];
  readonly senders: readonly Cell[];
}

const cellsBetween = (a: Cell, b: Cell): Cell[] => {
  const [dx, dy] = [Math.sign(b.x - a.x), Math.sign(b.y - a.y)];
  const count = Math.max(Math.abs(b.x - a.x), Math.abs(b.y - a.y));
  return Array.from({ length: count + 1 }, (_, i) => ({ x: a.x + i * dx, y: a.y + i * dy }));
};

const sendersOf = (cells: readonly Cell[]): Transport['senders'] => {
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

/** The host's values to all cores of `regions`: in at the W edge, down column 0, along every row. */
export function drawTree(regions: readonly Region[], fabric: Fabric, grid: RouteGrid): Drawn {
  const wants = new Uint8Array(fabric.width * fabric.height);
  const ends = new Map<number, number>();
  for (const region of regions) {
    const columns = columnsOf(region);
    for (const y of rowsOf(region)) {
      for (const x of columns) wants[y * fabric.width + x] = 1;
      ends.set(y, Math.max(ends.get(y) ?? 0, columns[columns.length - 1]));
    }
  }
  const rows = [...ends.keys()].sort((a, b) => a - b);
  const [top, bottom] = [rows[0], rows[rows.length - 1]];
  const entry = rowsOf(regions[0])[0];
  const isStraight =
    cellsBetween({ x: 0, y: top }, { x: 0, y: bottom }).every((c) => fabric.passes(c)) &&
    rows.every((y) => fabric.rowPasses(y, 0, ends.get(y) ?? 0));
  const hops = isStraight
    ? drawStraightTree({ wants, ends, top, bottom, entry }, fabric, grid)
    : drawSearchedTree(wants, entry, fabric, grid);
  return { algorithm: 'tree', flows: [grid.take()], senders: [], hops: hops + 1, depth: 1, sharing: 1 };
}

interface TreePlan {
  /** Cells that receive. */
  readonly wants: Uint8Array;
  /** Last column that receives, by row. */
  readonly ends: ReadonlyMap<number, number>;
  readonly top: number;
  readonly bottom: number;
  readonly entry: number;
}

function drawStraightTree({ wants, ends, top, bottom, entry }: TreePlan, fabric: Fabric, grid: RouteGrid): number {
  let hops = 0;
  for (let y = top; y <= bottom; y++) {
    const end = ends.get(y) ?? 0;
    hops = Math.max(hops, Math.abs(y - entry) + end);
    for (let x = 0; x <= end; x++) {
      const from: Way = x > 0 || y === entry ? 'W' : y > entry ? 'N' : 'S';
      const down = x === 0 && y >= entry && y < bottom;
      const up = x === 0 && y <= entry && y > top;
      const to = [x < end ? 'E' : '', down ? 'S' : '', up ? 'N' : '', wants[y * fabric.width + x] === 1 ? 'R' : ''];
      grid.set({ x, y }, route(from, ports(to)));
    }
  }
  return hops;
}

const ports = (names: readonly string[]): (Way | 'R')[] =>
  names.flatMap((n) => (n === 'N' || n === 'E' || n === 'S' || n === 'W' || n === 'R' ? [n] : []));

/** Shortest ways around routers that do not pass; only branches that end at a receiver are kept. */
function drawSearchedTree(wants: Uint8Array, row: number, fabric: Fabric, grid: RouteGrid): number {
  const came = new Int8Array(wants.length).fill(-1);
  const far = new Int32Array(wants.length);
  const rows = Array.from({ length: fabric.height }, (_, y) => y).sort(
    (a, b) => Math.abs(a - row) - Math.abs(b - row) || a - b,
  );
  const entry = rows.map((y) => ({ x: 0, y })).find((cell) => fabric.passes(cell));
  if (entry === undefined)
    return unreachable('values of the host', 'the W edge of the fabric has no router that passes');
  const start = fabric.index(entry);
  const order = [start];
  for (let i = 0; i < order.length; i++) {
    for (const way of ['E', 'W', 'S', 'N'] as const) {
      const next = stepFrom(fabric.cell(order[i]), way);
      if (!fabric.passes(next)) continue;
      const to = fabric.index(next);
      if (to === start || came[to] !== -1) continue;
      came[to] = WAYS.indexOf(way);
      far[to] = far[order[i]] + 1;
      order.push(to);
    }
  }
  const lost = wants.findIndex((want, i) => want === 1 && i !== start && came[i] === -1);
  if (lost !== -1) {
    const { x, y } = fabric.cell(lost);
    unreachable('values of the host', `core (${x},${y}) is cut off`);
  }
  const branches = new Map<number, Way[]>();
  let hops = 0;
  // From the leaves up: what has no receiver behind it is left out.
  for (const at of order.reverse()) {
    const out = branches.get(at) ?? [];
    if (wants[at] !== 1 && out.length === 0) continue;
    hops = Math.max(hops, far[at]);
    const cell = fabric.cell(at);
    const way = at === start ? undefined : WAYS[came[at]];
    grid.set(cell, route(way === undefined ? 'W' : OPPOSITE[way], wants[at] === 1 ? [...out, 'R'] : out));
    if (way === undefined) continue;
    const parent = fabric.index(stepFrom(cell, OPPOSITE[way]));
    branches.set(parent, [...(branches.get(parent) ?? []), way]);
  }
  return hops;
}

const unreachable = (what: string, why: string): never =>
  fail({
    code: 'route/unreachable',
    message: `${what} find no way over the fabric: ${why}`,
    notes: ['routers of defects are gone around; `defectsForward` in the target file says that they pass messages on'],
  });

/** Lanes from `from` to `to` where both stand in the same rows and all routers between pass; else undefined. */
export function drawLanes(from: Region, to: Region, fabric: Fabric, grid: RouteGrid): Drawn | undefined {
  const rows = rowsOf(from);
  const [own, next] = [columnsOf(from), columnsOf(to)];
  const east = next[0] > own[own.length - 1];
  if (rows.join() !== rowsOf(to).join() || (!east && next[next.length - 1] >= own[0])) return undefined;
  const [exit, end] = east ? [own[own.length - 1], next[next.length - 1]] : [own[0], next[0]];
  if (!rows.every((y) => fabric.rowPasses(y, exit, end))) return undefined;
  const [out, into]: readonly [Way, Way] = east ? ['E', 'W'] : ['W', 'E'];
  const receives = new Set(next);
  for (const y of rows) {
    for (const cell of cellsBetween({ x: exit, y }, { x: end, y })) {
      if (cell.x === exit) grid.set(cell, route('R', [out]));
      else
        grid.set(
          cell,
          route(into, [...(cell.x === end ? [] : [out]), ...(receives.has(cell.x) ? (['R'] as const) : [])]),
        );
    }
  }
  const senders = sendersOf(rows.map((y) => ({ x: exit, y })));
  return { algorithm: 'lanes', flows: [grid.take()], senders, hops: Math.abs(end - exit), depth: 1, sharing: 1 };
}

/** Columns of a region whose cores stand for the parts of a value that `axes` cut; all else holds replicas. */
export function partColumns({ width, groups }: RegionShape, axes: readonly MeshAxis[]): number[] {
  const inner = width / groups;
  const [xo, xi] = [axes.includes('xo'), axes.includes('xi')];
  return Array.from({ length: width }, (_, c) => c).filter((c) => (xi || c % inner === 0) && (xo || c < inner));
}

/**
 * Results along rows to the nearer edge: the parts of a row, or of a column each on a row of its own as far as rows go. Undefined where a
 * router in the way does not pass, or senders would have to take turns without switches.
 */
export function drawExits(
  region: Region,
  parts: { readonly columns: readonly number[]; readonly byRow: boolean },
  fabric: Fabric,
  grid: RouteGrid,
  canTurn: boolean,
): Drawn | undefined {
  const [columns, rows] = [columnsOf(region), rowsOf(region)];
  const lanes = new Map<number, number[]>();
  const count = Math.min(parts.columns.length, rows.length);
  if (parts.byRow)
    for (const y of rows)
      lanes.set(
        y,
        parts.columns.map((c) => columns[c]),
      );
  else
    for (const [i, c] of parts.columns.entries()) {
      const y = rows[Math.floor((i * count) / parts.columns.length)];
      lanes.set(y, [...(lanes.get(y) ?? []), columns[c]]);
    }
  const sharing = Math.max(...[...lanes.values()].map((l) => l.length));
  if (sharing > 1 && !canTurn) return undefined;
  const west = columns[0] <= fabric.width - 1 - columns[columns.length - 1];
  const [edge, out]: readonly [number, Way] = west ? [0, 'W'] : [fabric.width - 1, 'E'];
  const farthest = (list: readonly number[]): number => (west ? Math.max(...list) : Math.min(...list));
  if (![...lanes].every(([y, list]) => fabric.rowPasses(y, farthest(list), edge))) return undefined;
  let hops = 0;
  for (const [y, list] of lanes) {
    const cells = cellsBetween({ x: farthest(list), y }, { x: edge, y });
    hops = Math.max(hops, cells.length);
    drawTurns({ cells, senders: list.map((x) => ({ x, y })) }, out, grid);
  }
  const senders = sendersOf([...lanes].flatMap(([y, list]) => list.map((x) => ({ x, y }))));
  return { algorithm: 'lanes', flows: [grid.take()], senders, hops, depth: 1, sharing };
}

/** Senders of a line in turn, the nearest to its end first; the end sends on towards `out`. */
function drawTurns({ cells, senders }: Line, out: Way, grid: RouteGrid): void {
  const own = new Set(senders.map(({ x, y }) => `${x} ${y}`));
  for (const [i, cell] of cells.entries()) {
    const to = i + 1 < cells.length ? wayTo(cell, cells[i + 1]) : out;
    const passes = i === 0 ? [] : [route(OPPOSITE[wayTo(cells[i - 1], cell)], [to])];
    grid.set(cell, [...(own.has(`${cell.x} ${cell.y}`) ? [route('R', [to])] : []), ...passes].join('|'));
  }
}

/** One line of senders, a way, and what the way ends at: all cores of a region, or the host. */
export interface Bus {
  readonly line: Line;
  readonly to: Region | null;
  /** Where the way ends: a corner of `to`, or any core at the W and E edges. */
  readonly entry: Cell | null;
}

/** Lines and entries of a bus, nearest first: senders along an outer column (or row), entry at a corner. */
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
  const entries =
    to === null ? [null] : ends(columnsOf(to)).flatMap((x) => ends(rowsOf(to)).map((y): Cell | null => ({ x, y })));
  const buses = lines.flatMap((line) => entries.map((entry): Bus => ({ line, to, entry })));
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

/** What a search for the bus's way needs: from the end of its line, around the line and the region it goes to. */
export function netOf({ line, to, entry }: Bus, fabric: Fabric): Net {
  const from = line.cells[line.cells.length - 1];
  const own = new Set(line.cells.map((c) => fabric.index(c)));
  const columns = to === null ? [] : columnsOf(to);
  const rows = to === null ? [] : rowsOf(to);
  const isEntry = ({ x, y }: Cell): boolean => x === entry?.x && y === entry.y;
  const isInside = ({ x, y }: Cell): boolean =>
    columns.length > 0 &&
    x >= columns[0] &&
    x <= columns[columns.length - 1] &&
    y >= rows[0] &&
    y <= rows[rows.length - 1];
  return {
    from,
    isGoal: entry === null ? ({ x }) => x === 0 || x === fabric.width - 1 : isEntry,
    distance: ({ x, y }) =>
      entry === null ? Math.min(x, fabric.width - 1 - x) : Math.abs(x - entry.x) + Math.abs(y - entry.y),
    isClosed: (cell) => own.has(fabric.index(cell)) || (isInside(cell) && !isEntry(cell)),
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
    sharing: 1,
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

/** From a corner of a region to all its cores: along the corner's column, and from there along every row. Gives the hops. */
function drawFan(region: Region, corner: Cell, from: Way, grid: RouteGrid): number {
  const [columns, rows] = [columnsOf(region), rowsOf(region)];
  const [lastX, lastY] = [
    columns[0] === corner.x ? columns[columns.length - 1] : columns[0],
    rows[0] === corner.y ? rows[rows.length - 1] : rows[0],
  ];
  const across: Way = lastX > corner.x ? 'E' : 'W';
  const along: Way = lastY > corner.y ? 'S' : 'N';
  const [keptX, keptY] = [new Set(columns), new Set(rows)];
  for (const { y } of cellsBetween(corner, { x: corner.x, y: lastY })) {
    const onward: readonly Way[] = y === lastY ? [] : [along];
    const into = y === corner.y ? from : OPPOSITE[along];
    const kept = keptY.has(y);
    const aside: readonly (Way | 'R')[] = kept ? (lastX === corner.x ? ['R'] : [across, 'R']) : [];
    grid.set({ x: corner.x, y }, route(into, [...onward, ...aside]));
    if (!kept) continue;
    for (const { x } of cellsBetween({ x: corner.x, y }, { x: lastX, y }).slice(1))
      grid.set(
        { x, y },
        route(OPPOSITE[across], [...(x === lastX ? [] : [across]), ...(keptX.has(x) ? (['R'] as const) : [])]),
      );
  }
  return Math.abs(lastX - corner.x) + Math.abs(lastY - corner.y);
}
