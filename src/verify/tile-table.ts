/**
 * Where the tiles of a weight stand in weights.bin, and who holds them: part by part, the dim that rows of cores cut in the
 * outer loop. From the definitions of Layout (ir/program.ts) and of weights.bin (ARCHITECTURE.md) alone; for verifiers.
 */
import type { Layout, MeshAxis, RegionShape } from '../ir/program.ts';

/** Consecutive parts of one dim: part i is `starts[i]` up to `starts[i + 1]`. */
export type Cuts = Float64Array;

export interface TileTable {
  readonly rows: Cuts;
  readonly cols: Cuts;
  /** By row part * column parts + column part: its first element in the file, counted from the start of the blob. */
  readonly offsets: Float64Array;
  /** The first core that holds the tile, y * width + x; -1 where none does. */
  readonly owners: Int32Array;
  /** What breaks the rule that every element is in exactly one tile. */
  readonly faults: readonly string[];
}

/** The tiles of a weight of `rows` x `cols` elements whose dims are cut as `layout` says. */
export function tileTable(extents: readonly [number, number], layout: Layout, region: RegionShape): TileTable {
  const faults: string[] = [];
  if (layout.cyclic) faults.push('expected rows in consecutive parts, found them dealt');
  if (layout.partial !== null) faults.push('expected no owed combination, found one');
  const [rowAxes, colAxes] = layout.dims.length < 2 ? [[], layout.dims[0] ?? []] : layout.dims;
  // A woven dim is cut between groups of places, one of each lane.
  const cut = (d: 0 | 1, axes: readonly MeshAxis[]): Cuts => {
    const woven = layout.woven !== undefined && layout.woven.dim + 2 - layout.dims.length === d;
    const lanes = woven ? (layout.woven?.lanes ?? 1) : 1;
    return cutsOf(extents[d] / lanes, axes, region, faults).map((start) => start * lanes);
  };
  const rows = cut(0, rowAxes);
  const cols = cut(1, colAxes);
  const across = cols.length - 1;
  const offsets = new Float64Array((rows.length - 1) * across);
  const owners = new Int32Array(offsets.length).fill(-1);
  const inner = region.width / region.groups;
  const partOf = (axes: readonly MeshAxis[], x: number, y: number): number => {
    let part = 0;
    for (const axis of axes)
      part = part * sizeOf(axis, region) + (axis === 'y' ? y : axis === 'xo' ? Math.floor(x / inner) : x % inner);
    return part;
  };
  for (let y = 0; y < region.height; y++)
    for (let x = 0; x < region.width; x++) {
      const tile = partOf(rowAxes, x, y) * across + partOf(colAxes, x, y);
      if (owners[tile] < 0) owners[tile] = y * region.width + x;
    }
  const down = rows.length - 1;
  const byColumns = colAxes.includes('y');
  let end = 0;
  for (let i = 0; i < offsets.length; i++) {
    const [r, c] = byColumns ? [i % down, Math.floor(i / down)] : [Math.floor(i / across), i % across];
    offsets[r * across + c] = end;
    end += (rows[r + 1] - rows[r]) * (cols[c + 1] - cols[c]);
  }
  if (owners.includes(-1)) faults.push('expected a core for every tile, found tiles on none');
  if (end !== extents[0] * extents[1])
    faults.push(`expected ${extents[0] * extents[1]} elements in the tiles, found ${end}`);
  return { rows, cols, offsets, owners, faults };
}

const sizeOf = (axis: MeshAxis, { width, height, groups }: RegionShape): number =>
  axis === 'y' ? height : axis === 'xo' ? groups : width / groups;

/** Each axis cuts the range it is given; parts in order of the coordinates, outermost first. */
export function cutsOf(extent: number, axes: readonly MeshAxis[], region: RegionShape, faults: string[]): Cuts {
  const sizes = axes.map((axis) => sizeOf(axis, region));
  const count = sizes.reduce((n, size) => n * size, 1);
  const starts = new Float64Array(count + 1);
  let before = 0;
  for (let part = 0; part < count; part++) {
    let [from, length, radix] = [0, extent, count];
    for (const size of sizes) {
      radix /= size;
      const i = Math.floor(part / radix) % size;
      const [low, high] = [Math.floor((i * length) / size), Math.floor(((i + 1) * length) / size)];
      from += low;
      length = high - low;
    }
    if (from !== before && faults.length === 0)
      faults.push(`expected part ${part} of ${count} to start at ${before}, found ${from}`);
    starts[part] = from;
    before = from + length;
  }
  starts[count] = before;
  if (before !== extent) faults.push(`expected the parts to end at ${extent}, found ${before}`);
  return starts;
}
