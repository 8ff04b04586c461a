/**
 * Which elements of a tensor a core holds. The plan format's definition (ir/program.ts, Layout), read here on its
 * own: the executor takes no code from the passes it checks.
 */
import type { MeshAxis, ProgramTensor, RegionShape, Woven } from '../../ir/program.ts';

const sizeAlong = ({ width, height, groups }: RegionShape, axis: MeshAxis): number =>
  axis === 'y' ? height : axis === 'xo' ? groups : width / groups;

/** Coordinates of every core of a region; core = y * width + xo * inner + xi. */
export interface Cores {
  readonly shape: RegionShape;
  readonly count: number;
  readonly at: Readonly<Record<MeshAxis, Int32Array>>;
  /** By axes: what {@link linesOf} has found. */
  readonly lines: Map<string, readonly Int32Array[]>;
}

export function coresOf(shape: RegionShape): Cores {
  const count = shape.width * shape.height;
  const inner = shape.width / shape.groups;
  const at = { y: new Int32Array(count), xo: new Int32Array(count), xi: new Int32Array(count) };
  for (let core = 0; core < count; core++) {
    const x = core % shape.width;
    at.y[core] = Math.floor(core / shape.width);
    at.xo[core] = Math.floor(x / inner);
    at.xi[core] = x % inner;
  }
  return { shape, count, at, lines: new Map() };
}

/** Start and length, per core, of the range of one dim. */
export interface Ranges {
  readonly start: Int32Array;
  readonly size: Int32Array;
  readonly max: number;
}

/** `lanes` elements stay together. */
function rangesOf(cores: Cores, all: number, axes: readonly MeshAxis[], lanes: number): Ranges {
  const extent = all / lanes;
  const start = new Int32Array(cores.count);
  const size = new Int32Array(cores.count);
  let max = 0;
  for (let core = 0; core < cores.count; core++) {
    let from = 0;
    let length = extent;
    for (const axis of axes) {
      const parts = sizeAlong(cores.shape, axis);
      const part = cores.at[axis][core];
      const a = Math.floor((part * length) / parts);
      const b = Math.floor(((part + 1) * length) / parts);
      from += a;
      length = b - a;
    }
    start[core] = from * lanes;
    size[core] = length * lanes;
    if (size[core] > max) max = size[core];
  }
  return { start, size, max };
}

/** Cyclic dims: row p is on owner p mod owners, as its row floor(p / owners). */
export interface Dealt {
  readonly owners: number;
  readonly owner: Int32Array;
  readonly rows: number;
}

function dealtOf(cores: Cores, extent: number, axes: readonly MeshAxis[]): Dealt {
  const owner = new Int32Array(cores.count);
  let owners = 1;
  for (const axis of axes) owners *= sizeAlong(cores.shape, axis);
  for (let core = 0; core < cores.count; core++) {
    let flat = 0;
    for (const axis of axes) flat = flat * sizeAlong(cores.shape, axis) + cores.at[axis][core];
    owner[core] = flat;
  }
  return { owners, owner, rows: Math.ceil(extent / owners) };
}

/** A tensor spread over the cores: tile of core c = data[c * stride ..], row-major over its ranges. */
export interface Spread {
  readonly tensor: ProgramTensor;
  /** By dim; for a cyclic tensor dim 0 counts the local rows. */
  readonly ranges: readonly Ranges[];
  readonly dealt: Dealt | null;
  readonly stride: number;
  readonly data: Float32Array;
}

/** Which element of the model stands at a place of a woven dim of `extent`. */
export function elementAt(place: number, extent: number, woven: Woven | undefined): number {
  if (woven === undefined) return place;
  const run = extent / woven.runs;
  const within = place % run;
  return place - within + (within % woven.lanes) * (run / woven.lanes) + Math.floor(within / woven.lanes);
}

/** Where an element of the model stands in a woven dim of `extent`. */
export function placeOf(element: number, extent: number, woven: Woven | undefined): number {
  if (woven === undefined) return element;
  const run = extent / woven.runs;
  const lane = run / woven.lanes;
  const within = element % run;
  return element - within + (within % lane) * woven.lanes + Math.floor(within / lane);
}

/** Element of the model at a place of the features. */
export const featureAt = ({ tensor: { shape, layout } }: Spread, place: number): number =>
  elementAt(place, shape[1], layout.woven?.dim === 1 ? layout.woven : undefined);

/** Where a feature of the model stands on `core`. */
export const localFeature = ({ tensor: { shape, layout }, ranges }: Spread, core: number, feature: number): number =>
  placeOf(feature, shape[1], layout.woven?.dim === 1 ? layout.woven : undefined) - ranges[1].start[core];

export function spread(cores: Cores, tensor: ProgramTensor): Spread {
  const { shape, layout } = tensor;
  const dealt = layout.cyclic ? dealtOf(cores, shape[0], layout.dims[0]) : null;
  const ranges = shape.map((extent, d) =>
    d === 0 && dealt !== null
      ? wholeRange(cores, dealt.rows)
      : rangesOf(cores, extent, layout.dims[d], layout.woven?.dim === d ? layout.woven.lanes : 1),
  );
  const stride = ranges.reduce((n, r) => n * r.max, 1);
  return { tensor, ranges, dealt, stride, data: new Float32Array(cores.count * stride) };
}

const wholeRange = (cores: Cores, rows: number): Ranges => ({
  start: new Int32Array(cores.count),
  size: new Int32Array(cores.count).fill(rows),
  max: rows,
});

/** Groups of cores that differ only along `axes`, outermost axis first: the members of one collective. */
export function linesOf(cores: Cores, axes: readonly MeshAxis[]): readonly Int32Array[] {
  const known = cores.lines.get(axes.join());
  if (known !== undefined) return known;
  const rest = (['y', 'xo', 'xi'] as const).filter((a) => !axes.includes(a));
  const lines = new Map<number, number[]>();
  const key = (core: number, of: readonly MeshAxis[]): number =>
    of.reduce((k, axis) => k * sizeAlong(cores.shape, axis) + cores.at[axis][core], 0);
  for (let core = 0; core < cores.count; core++) {
    const line = lines.get(key(core, rest));
    if (line) line.push(core);
    else lines.set(key(core, rest), [core]);
  }
  const found = [...lines.values()].map((line) => Int32Array.from(line.sort((a, b) => key(a, axes) - key(b, axes))));
  cores.lines.set(axes.join(), found);
  return found;
}
