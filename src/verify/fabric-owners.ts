/** Which cores of the fabric a region has, and where they stand in it; for verifiers. */
import type { RoutedProgram } from './routed.ts';

export interface Core {
  readonly x: number;
  readonly y: number;
}

/** Region of each core of the fabric, -1 = none; and columns and rows of the fabric that a region's are. */
export interface Owners {
  readonly at: (x: number, y: number) => number;
  readonly regions: readonly { readonly columns: readonly number[]; readonly rows: readonly number[] }[];
}

export function ownersOf({ target, placement }: RoutedProgram): Owners {
  const owner = new Int16Array(target.width * target.height).fill(-1);
  const regions = placement.regions.map((region) => ({
    columns: passingOver(region.x, region.width, region.skippedColumns ?? []),
    rows: passingOver(region.y, region.height, region.skippedRows ?? []),
  }));
  for (const [r, { columns, rows }] of regions.entries())
    for (const y of rows) for (const x of columns) owner[y * target.width + x] = r;
  return { at: (x, y) => owner[y * target.width + x], regions };
}

/** `count` numbers from `start` on that are not skipped. */
export function passingOver(start: number, count: number, skipped: readonly number[]): number[] {
  const without = new Set(skipped);
  const found: number[] = [];
  for (let n = start; found.length < count; n++) if (!without.has(n)) found.push(n);
  return found;
}

/** Position in its region of a core of the fabric. */
export function localOf({ regions }: Owners, region: number): (core: Core) => readonly [column: number, row: number] {
  const columns = new Map(regions[region].columns.map((x, i) => [x, i]));
  const rows = new Map(regions[region].rows.map((y, i) => [y, i]));
  return ({ x, y }) => [columns.get(x) ?? -1, rows.get(y) ?? -1];
}
