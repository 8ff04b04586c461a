/** Values from the host: a tree over all cores of all regions that read them. */
import { fail } from '../diag/diagnostic.ts';
import type { Region } from '../ir/facts.ts';
import { columnsOf, type Fabric, OPPOSITE, rowsOf, stepFrom, type Way, WAYS } from './fabric.ts';
import { cellsBetween, type Drawn } from './drawn.ts';
import { route } from './line-routes.ts';
import type { RouteGrid } from './route-grid.ts';

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
  // A wafer has close to 10^6 routers on a row's way: their routes are three words.
  const [passed, taken, last] = [route('W', ['E']), route('W', ['E', 'R']), route('W', ['R'])];
  for (let y = top; y <= bottom; y++) {
    const end = ends.get(y) ?? 0;
    const wanted = (x: number): boolean => wants[y * fabric.width + x] === 1;
    hops = Math.max(hops, Math.abs(y - entry) + end);
    const trunk: (Way | 'R')[] = end > 0 ? ['E'] : [];
    if (y >= entry && y < bottom) trunk.push('S');
    if (y <= entry && y > top) trunk.push('N');
    if (wanted(0)) trunk.push('R');
    grid.set({ x: 0, y }, route(y === entry ? 'W' : y > entry ? 'N' : 'S', trunk));
    for (let x = 1; x <= end; x++) grid.set({ x, y }, x === end ? last : wanted(x) ? taken : passed);
  }
  return hops;
}

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
