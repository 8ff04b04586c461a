/**
 * Puts regions on the fabric in shelves, like lines of text that run left to right, then right to left: consecutive
 * regions of a shelf touch (on a fabric without defects), and the first region of a shelf starts under the end of the
 * shelf before. A region that would cover a defect moves on past it. No search: what it leaves empty is reported.
 */
import type { Target } from '../ir/target.ts';
import { overlaps, type Rect, usableCores } from '../target/cores.ts';

export interface Size {
  readonly width: number;
  readonly height: number;
}

export type SerpentineResult =
  | {
      readonly fits: true;
      /** In the order of the sizes. */
      readonly regions: readonly Rect[];
      readonly shelves: number;
      /** Part of the usable cores in the rows down to the last shelf (or columns, when shelves stand) that no region covers. */
      readonly waste: number;
    }
  | {
      readonly fits: false;
      /** Cores of all regions. */
      readonly need: number;
      /** Usable cores of the target. */
      readonly have: number;
      /** First region that found no place; those before it did. */
      readonly failed: number;
    };

type Fabric = Pick<Target, 'width' | 'height' | 'defects'>;

/** Regions of the given sizes, in order; rows of regions first, columns of regions where rows do not fit. */
export function placeSerpentine(sizes: readonly Size[], target: Target): SerpentineResult {
  const rows = shelve(sizes, target);
  const done = rows.shelves > 0 || sizes.length === 0;
  if (done) return { fits: true, ...rows, waste: wasteOf(rows.regions, target) };
  const columns = shelve(sizes.map(turn), { ...turn(target), defects: target.defects.map(turnRect) });
  if (columns.shelves > 0) {
    const regions = columns.regions.map(turnRect);
    return { fits: true, regions, shelves: columns.shelves, waste: wasteOf(columns.regions, turnedTarget(target)) };
  }
  const need = sizes.reduce((n, s) => n + s.width * s.height, 0);
  return {
    fits: false,
    need,
    have: usableCores(target),
    failed: Math.max(rows.regions.length, columns.regions.length),
  };
}

const turn = ({ width, height }: Size): Size => ({ width: height, height: width });
const turnRect = ({ x, y, width, height }: Rect): Rect => ({ x: y, y: x, width: height, height: width });
const turnedTarget = (target: Target): Target => ({
  ...target,
  ...turn(target),
  defects: target.defects.map(turnRect),
});

interface Shelved {
  /** All regions, or those before the first that found no place. */
  readonly regions: Rect[];
  /** 0 when not all found a place. */
  readonly shelves: number;
}

interface Shelf {
  readonly regions: Rect[];
  readonly height: number;
}

function shelve(sizes: readonly Size[], fabric: Fabric): Shelved {
  const regions: Rect[] = [];
  let [y, shelves, end] = [0, 0, 0];
  while (regions.length < sizes.length) {
    const rest = sizes.slice(regions.length);
    const shelf = fillShelf(rest, fabric, { y, leftward: shelves % 2 === 1, end });
    if (shelf.regions.length === 0) {
      const below = nextClearRow(rest[0], fabric, y);
      if (below === undefined) return { regions, shelves: 0 };
      y = below;
      continue;
    }
    regions.push(...shelf.regions);
    const last = shelf.regions[shelf.regions.length - 1];
    end = shelves % 2 === 1 ? last.x : last.x + last.width;
    y += shelf.height;
    shelves++;
  }
  return { regions, shelves };
}

/** A shelf from under the end of the last one, or from the edge of the fabric where that holds more regions. */
function fillShelf(
  sizes: readonly Size[],
  fabric: Fabric,
  { y, leftward, end }: { readonly y: number; readonly leftward: boolean; readonly end: number },
): Shelf {
  const edge = leftward ? fabric.width : 0;
  const fromEnd = fillFrom(end, { sizes, fabric, y, leftward });
  const fromEdge = end === edge ? fromEnd : fillFrom(edge, { sizes, fabric, y, leftward });
  return fromEdge.regions.length > fromEnd.regions.length ? fromEdge : fromEnd;
}

interface Row {
  readonly sizes: readonly Size[];
  readonly fabric: Fabric;
  readonly y: number;
  readonly leftward: boolean;
}

/** As many of `sizes` as fit side by side with their tops at row y, from column `start` on. */
function fillFrom(start: number, { sizes, fabric, y, leftward }: Row): Shelf {
  const regions: Rect[] = [];
  let at = start;
  let height = 0;
  for (const size of sizes) {
    const region = firstFree(at, { size, fabric, y, leftward });
    if (region === undefined) break;
    regions.push(region);
    height = Math.max(height, size.height);
    at = leftward ? region.x : region.x + size.width;
  }
  return { regions, height };
}

/** The place for `size` nearest to column `at` on which no defect lies. */
function firstFree(
  at: number,
  { size, fabric, y, leftward }: Omit<Row, 'sizes'> & { readonly size: Size },
): Rect | undefined {
  if (y + size.height > fabric.height) return undefined;
  let x = leftward ? at - size.width : at;
  while (x >= 0 && x + size.width <= fabric.width) {
    const region: Rect = { x, y, width: size.width, height: size.height };
    const hit = fabric.defects.find((d) => overlaps(d, region));
    if (hit === undefined) return region;
    x = leftward ? hit.x - size.width : hit.x + hit.width;
  }
  return undefined;
}

/** First row below y where a defect that crosses the rows of `size` ends; before it the same defects are in the way. */
function nextClearRow(size: Size, { height, defects }: Fabric, y: number): number | undefined {
  const rows = defects
    .filter((d) => d.y < y + size.height && d.y + d.height > y)
    .map((d) => d.y + d.height)
    .filter((row) => row + size.height <= height);
  return rows.length === 0 ? undefined : rows.reduce((a, b) => Math.min(a, b));
}

function wasteOf(regions: readonly Rect[], target: Target): number {
  const bottom = regions.reduce((row, r) => Math.max(row, r.y + r.height), 0);
  if (bottom === 0) return 0;
  const defects = target.defects
    .filter((d) => d.y < bottom)
    .map((d) => ({ ...d, height: Math.min(d.height, bottom - d.y) }));
  const cores = usableCores({ ...target, height: bottom, defects });
  return 1 - regions.reduce((n, r) => n + r.width * r.height, 0) / cores;
}
