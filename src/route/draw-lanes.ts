/** Straight rows: activations into a region in the same rows, and results to the edge of the fabric. */
import type { Region } from '../ir/facts.ts';
import type { MeshAxis, RegionShape } from '../ir/program.ts';
import { columnsOf, type Fabric, rowsOf, type Way } from './fabric.ts';
import { cellsBetween, type Drawn, drawRow, drawTurns, sendersOf } from './drawn.ts';
import { route } from './line-routes.ts';
import type { RouteGrid } from './route-grid.ts';

/** Lanes from `from` to `to` where both stand in the same rows and all routers between pass; else undefined. */
export function drawLanes(from: Region, to: Region, fabric: Fabric, grid: RouteGrid): Drawn | undefined {
  const rows = rowsOf(from);
  const [own, next] = [columnsOf(from), columnsOf(to)];
  const east = next[0] > own[own.length - 1];
  if (rows.join() !== rowsOf(to).join() || (!east && next[next.length - 1] >= own[0])) return undefined;
  const [exit, end] = east ? [own[own.length - 1], next[next.length - 1]] : [own[0], next[0]];
  if (!rows.every((y) => fabric.rowPasses(y, exit, end))) return undefined;
  const receives = new Set(next);
  for (const y of rows) {
    grid.set({ x: exit, y }, route('R', [east ? 'E' : 'W']));
    drawRow({ x: exit, y }, { x: end, y }, receives, grid);
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
