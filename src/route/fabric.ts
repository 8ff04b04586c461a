/** Where regions and their cores stand on the fabric, and which routers let messages pass. */
import type { Region } from '../ir/facts.ts';
import type { Port } from '../ir/routing.ts';
import type { Target } from '../ir/target.ts';

/** A router of the fabric, by column and row. */
export interface Cell {
  readonly x: number;
  readonly y: number;
}

export const STEPS: Readonly<Record<Exclude<Port, 'R'>, Cell>> = {
  N: { x: 0, y: -1 },
  E: { x: 1, y: 0 },
  S: { x: 0, y: 1 },
  W: { x: -1, y: 0 },
};
export type Way = keyof typeof STEPS;
export const WAYS: readonly Way[] = ['N', 'E', 'S', 'W'];
export const OPPOSITE: Readonly<Record<Way, Way>> = { N: 'S', E: 'W', S: 'N', W: 'E' };

/** The first `count` numbers from `start` that are not skipped. */
function left(start: number, count: number, skipped: readonly number[] | undefined): number[] {
  const out: number[] = [];
  const over = new Set(skipped);
  for (let n = start; out.length < count; n++) if (!over.has(n)) out.push(n);
  return out;
}

/** Columns of the fabric in which the region's columns stand, in order. */
export const columnsOf = ({ x, width, skippedColumns }: Region): number[] => left(x, width, skippedColumns);
export const rowsOf = ({ y, height, skippedRows }: Region): number[] => left(y, height, skippedRows);

/** The fabric as routers see it. */
export class Fabric {
  readonly width: number;
  readonly height: number;
  /** Routers that pass nothing on, by row * width + column; null = there are none. */
  private readonly blocked: Uint8Array | null;

  constructor({ width, height, defects, defectsForward }: Target) {
    this.width = width;
    this.height = height;
    this.blocked = defects.length === 0 || defectsForward === true ? null : new Uint8Array(width * height);
    if (this.blocked === null) return;
    for (const d of defects)
      for (let y = d.y; y < d.y + d.height; y++) this.blocked.fill(1, y * width + d.x, y * width + d.x + d.width);
  }

  index({ x, y }: Cell): number {
    return y * this.width + x;
  }
  cell(index: number): Cell {
    return { x: index % this.width, y: Math.floor(index / this.width) };
  }
  has({ x, y }: Cell): boolean {
    return x >= 0 && y >= 0 && x < this.width && y < this.height;
  }
  /** Whether the router at a cell passes on what arrives. */
  passes(cell: Cell): boolean {
    return this.has(cell) && (this.blocked === null || this.blocked[this.index(cell)] === 0);
  }
  /** Whether all routers of a row, from column `from` to `to` in either order, pass. */
  rowPasses(y: number, from: number, to: number): boolean {
    if (this.blocked === null) return true;
    for (let x = Math.min(from, to); x <= Math.max(from, to); x++) if (!this.passes({ x, y })) return false;
    return true;
  }
}

export const stepFrom = ({ x, y }: Cell, way: Way): Cell => ({ x: x + STEPS[way].x, y: y + STEPS[way].y });

/** The way from a cell to its neighbour. */
export function wayTo(from: Cell, to: Cell): Way {
  const way = WAYS.find((w) => from.x + STEPS[w].x === to.x && from.y + STEPS[w].y === to.y);
  if (way === undefined) throw new Error(`(${from.x},${from.y}) and (${to.x},${to.y}) are no neighbours`);
  return way;
}
