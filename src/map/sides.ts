/**
 * Sides that a region may have. Cutting n into s parts leaves ceil(n / s) in the largest, so only sides at which some
 * dim's share shrinks are worth trying, and those at which several regions fill the fabric.
 */
import type { MeshAxis, RegionProgram } from '../ir/program.ts';
import type { Target } from '../ir/target.ts';

/** One side is kept per step of this ratio: the one that leaves least of the last core of a line empty. */
const STEP = 1.05;
/** Sides up to here are all tried. */
const DENSE = 16;
/** Regions that fill the fabric side by side. */
const ABREAST = 16;

/** Extents that an axis of the region cuts, of weights or of state; ascending. */
function extentsOf(programs: readonly RegionProgram[], role: 'weight' | 'state', axes: readonly MeshAxis[]): number[] {
  const found = programs.flatMap(({ tensors }) =>
    tensors.flatMap(({ role: own, shape, layout }) =>
      own === role ? shape.filter((_, d) => layout.dims[d].some((axis) => axes.includes(axis))) : [],
    ),
  );
  return [...new Set(found)].sort((a, b) => a - b);
}

interface Line {
  readonly extents: readonly number[];
  /** Cores of the fabric along this axis. */
  readonly fabric: number;
  /** Sides are multiples of this; below it: any. */
  readonly unit: number;
  /** A longer line has nothing more to hold. */
  readonly widest: number;
}

/** Ascending. */
function sidesFor({ extents, fabric, unit, widest }: Line): number[] {
  const most = Math.min(fabric, widest);
  const rounded = (s: number): number => (s < unit ? s : Math.ceil(s / unit) * unit);
  const fill = Array.from({ length: ABREAST }, (_, i) => Math.floor(fabric / (i + 1) / unit) * unit);
  const kept = new Set(fill.filter((s) => s > 0 && s <= most));
  for (let s = 1; s <= Math.min(DENSE, most); s++) if (rounded(s) <= most) kept.add(rounded(s));
  const waste = (s: number): number => extents.reduce((n, e) => n + (Math.ceil(e / s) * s) / e, 0);
  let best: { readonly side: number; readonly waste: number } | undefined;
  let end = DENSE * STEP;
  for (let s = rounded(DENSE + 1); s <= most; s += unit) {
    if (s > end) {
      if (best !== undefined) kept.add(best.side);
      best = undefined;
      end = Math.max(end, s) * STEP;
    }
    const lost = waste(s);
    if (best === undefined || lost < best.waste) best = { side: s, waste: lost };
  }
  if (best !== undefined) kept.add(best.side);
  return [...kept].sort((a, b) => a - b);
}

/** Widths and heights worth trying for `programs` that share a region; widths are multiples of `unit` columns. */
export function sidesOf(
  programs: readonly RegionProgram[],
  unit: number,
  { width, height }: Pick<Target, 'width' | 'height'>,
): { readonly widths: readonly number[]; readonly heights: readonly number[] } {
  const line = (axes: readonly MeshAxis[], cores: number, multiple: number): readonly number[] => {
    const extents = extentsOf(programs, 'weight', axes);
    const widest = Math.max(multiple, 2, ...extents, ...extentsOf(programs, 'state', axes));
    return sidesFor({ extents, fabric: cores, unit: multiple, widest });
  };
  return { widths: line(['xo', 'xi'], width, unit), heights: line(['y'], height, 1) };
}
