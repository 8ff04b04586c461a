/**
 * Where regions go: in shelves, so that consecutive ones touch; where shelves do not hold them all, over columns and rows
 * that have defects, or packed tighter, and the sends between them pay for the distance.
 */
import type { Target } from '../ir/target.ts';
import { type Rect, usableCores } from '../target/cores.ts';
import { placeAround, type Spot } from './around-defects.ts';
import { packRectangles } from './pack.ts';
import { placeSerpentine, type Size } from './serpentine.ts';

type Fabric = Pick<Target, 'width' | 'height' | 'defects'>;

/** More defects than this are scattered ones: what avoids them one by one neither ends soon nor finds much. */
const MOST_SINGLE_DEFECTS = 64;

/** A place for every region, in order; undefined when no way holds them. */
export function placeRegions(sizes: readonly Size[], target: Target): readonly Spot[] | undefined {
  const need = sizes.reduce((n, { width, height }) => n + width * height, 0);
  if (need > target.width * target.height) return undefined;
  const { defects } = target;
  const shelves = defects.length <= MOST_SINGLE_DEFECTS ? placeSerpentine(sizes, target) : { fits: false as const };
  if (shelves.fits) return shelves.regions;
  const around = defects.length === 0 ? undefined : placeAround(sizes, target);
  return around ?? (defects.length <= MOST_SINGLE_DEFECTS ? packRectangles(sizes, target) : undefined);
}

/** The fabric cut into columns x rows equal blocks, each to hold a copy of the model. */
export interface Copies {
  readonly columns: number;
  readonly rows: number;
}

/** The first block, with its own defects. */
export function blockOf<F extends Fabric>(fabric: F, { columns, rows }: Copies): F {
  const width = Math.floor(fabric.width / columns);
  const height = Math.floor(fabric.height / rows);
  return { ...fabric, width, height, defects: fabric.defects.filter((d) => d.x < width && d.y < height) };
}

/** Offsets of the blocks, beside the first, in which `regions` cover no defect; a block of scattered defects is like no other. */
export function replicasOf(
  regions: readonly Spot[],
  fabric: Fabric,
  copies: Copies,
): readonly { readonly x: number; readonly y: number }[] {
  const { width, height } = blockOf(fabric, copies);
  const offsets: { x: number; y: number }[] = [];
  if (regions.some((r) => r.skippedColumns !== undefined || r.skippedRows !== undefined)) return offsets;
  for (let row = 0; row < copies.rows; row++)
    for (let column = 0; column < copies.columns; column++) {
      const [x, y] = [column * width, row * height];
      if (x + y === 0) continue;
      const hit = fabric.defects.some((d) =>
        regions.some(
          (r) =>
            r.x + x < d.x + d.width && d.x < r.x + x + r.width && r.y + y < d.y + d.height && d.y < r.y + y + r.height,
        ),
      );
      if (!hit) offsets.push({ x, y });
    }
  return offsets;
}

/** Share of the usable cores of the fabric that no region covers, all copies counted. */
export const unusedShare = (regions: readonly Rect[], replicas: number, target: Target): number =>
  1 - (regions.reduce((n, r) => n + r.width * r.height, 0) * (1 + replicas)) / usableCores(target);
