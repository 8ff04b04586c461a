/** What the fullest core of a region holds of a tensor, from the definition of Layout (src/ir/program.ts). */
import type { Coding } from '../ir/coding.ts';
import { groupCount } from '../ir/constant.ts';
import { axisSize, type Layout, type MeshAxis, type ProgramTensor, type RegionShape } from '../ir/program.ts';
import { bytesFor, type DType, DTYPE_BITS } from '../ir/types.ts';
import { type Estimate, estimateTile, even } from './sparse.ts';

/**
 * Largest part of each dim. Cutting n into p balanced parts leaves ceil(n/p) in the largest, axis after axis; dealing
 * rows over p cores leaves ceil(n/p) on the first.
 */
export function tileShape({ shape, layout }: ProgramTensor, region: RegionShape): number[] {
  return shape.map((extent, d) => {
    const sizes = layout.dims[d].map((axis) => axisSize(region, axis));
    if (layout.cyclic && d === 0) return Math.ceil(extent / sizes.reduce((a, b) => a * b, 1));
    const lanes = lanesOf(layout, d);
    return lanes * sizes.reduce((left, size) => Math.ceil(left / size), extent / lanes);
  });
}

/** Elements of a dim that no cut parts. */
const lanesOf = ({ woven }: Layout, d: number): number => (woven?.dim === d ? woven.lanes : 1);

/** Elements of the fullest core. */
export const tileElements = (tensor: ProgramTensor, region: RegionShape): number =>
  tileShape(tensor, region).reduce((a, b) => a * b, 1);

/** Bytes of the fullest core, packed; of a coded weight with the scales and zero points of its groups, of a sparse one without its zeros. */
export function tileBytes(tensor: ProgramTensor, region: RegionShape): number {
  if (tensor.sparsity !== undefined) return tensor.sparsity.bytes;
  const dense = denseTileBytes(tensor, region);
  const estimate = sparseEstimate(tensor, region);
  if (estimate === undefined) return dense;
  const codes = even(bytesFor(tensor.dtype, tileElements(tensor, region)));
  return tensor.coding === undefined ? estimate.bytes : dense - codes + estimate.bytes;
}

/** The same, as if zeros were stored like other values. */
export const denseTileBytes = (tensor: ProgramTensor, region: RegionShape): number =>
  tensor.coding === undefined
    ? bytesFor(tensor.dtype, tileElements(tensor, region))
    : codedTileBytes(tensor, tensor.coding, region);

/** How a weight full of zeros would be stored; undefined where nothing is known of its zeros, and where all of it takes no more. */
export function sparseEstimate(tensor: ProgramTensor, region: RegionShape): Estimate | undefined {
  if (tensor.density === undefined) return undefined;
  const [rows, columns] = tileShape(tensor, region);
  const estimate = estimateTile(rows, columns, DTYPE_BITS[tensor.dtype], tensor.density);
  return estimate.bytes < bytesFor(tensor.dtype, rows * columns) ? estimate : undefined;
}

/** Where parts of a dim begin, in the order of their coordinates (outermost axis first), and where the last one ends. */
export function boundsOfDim(
  { shape, layout }: Pick<ProgramTensor, 'shape' | 'layout'>,
  d: number,
  region: RegionShape,
) {
  const lanes = lanesOf(layout, d);
  return partBounds(shape[d] / lanes, layout.dims[d], region).map((bound) => bound * lanes);
}

/** The same of `extent` elements. */
export function partBounds(extent: number, axes: readonly MeshAxis[], region: RegionShape): readonly number[] {
  let bounds = [0, extent];
  for (const axis of axes) {
    const n = axisSize(region, axis);
    const next: number[] = [];
    for (let p = 0; p + 1 < bounds.length; p++) {
      for (let i = 0; i < n; i++) next.push(bounds[p] + Math.floor((i * (bounds[p + 1] - bounds[p])) / n));
    }
    bounds = [...next, extent];
  }
  return bounds;
}

/** What a part of a dim of a coded weight has: elements, and groups that it touches. A group cut by a border counts on both sides. */
export interface CodedPart {
  readonly size: number;
  readonly groups: number;
}

/** Bytes of the sections of a coded tile, in their order; each is filled up to 16 bits, which is what a core addresses. */
export function codedSections(
  dtype: DType,
  { scale, tensorScale, zero }: Coding,
  rows: CodedPart,
  columns: CodedPart,
): readonly [codes: number, scales: number, tensorScale: number, zeros: number] {
  if (rows.size === 0 || columns.size === 0) return [0, 0, 0, 0];
  const section = (type: DType, count: number): number => even(bytesFor(type, count));
  const groups = rows.groups * columns.groups;
  return [
    section(dtype, rows.size * columns.size),
    section(scale, groups),
    tensorScale === null ? 0 : section(tensorScale, 1),
    typeof zero === 'number' ? 0 : section(zero, groups),
  ];
}

/** Largest tile: the kinds of parts are few, so all pairs of them are tried. */
function codedTileBytes({ dtype, shape, layout }: ProgramTensor, coding: Coding, region: RegionShape): number {
  const [rows, columns] = shape.map((extent, d) =>
    partKinds(extent, layout.dims[d], region, coding.block[d], coding.phase[d]),
  );
  let most = 0;
  for (const r of rows)
    for (const c of columns)
      most = Math.max(
        most,
        codedSections(dtype, coding, r, c).reduce((a, b) => a + b),
      );
  return most;
}

/** Distinct sizes of parts: cutting n into p leaves floor(n / p), and one more where it does not come out even. */
function partSizes(extent: number, axes: readonly MeshAxis[], region: RegionShape): ReadonlySet<number> {
  let sizes = new Set([extent]);
  for (const axis of axes) {
    const p = axisSize(region, axis);
    sizes = new Set([...sizes].flatMap((n) => [Math.floor(n / p), Math.ceil(n / p)]));
  }
  return sizes;
}

const knownKinds = new Map<string, readonly CodedPart[]>();

/** Distinct parts of a dim. The search over regions asks for the same ones again and again. */
function partKinds(
  extent: number,
  axes: readonly MeshAxis[],
  region: RegionShape,
  block: number,
  phase: number,
): readonly CodedPart[] {
  const key = `${extent}/${axes.map((axis) => axisSize(region, axis))}/${block}/${phase}`;
  let kinds = knownKinds.get(key);
  if (kinds !== undefined) return kinds;
  const distinct = new Map<string, CodedPart>();
  const add = (size: number, groups: number): void => void distinct.set(`${size} ${groups}`, { size, groups });
  // Where groups are single elements, or one is all of the dim, sizes say everything: parts may be as many as cores.
  if (block === 1 || extent + phase <= block)
    for (const size of partSizes(extent, axes, region)) add(size, size === 0 ? 0 : block === 1 ? size : 1);
  else {
    const bounds = partBounds(extent, axes, region);
    for (let p = 0; p + 1 < bounds.length; p++) {
      const size = bounds[p + 1] - bounds[p];
      add(size, groupCount(size, block, (bounds[p] + phase) % block));
    }
  }
  kinds = [...distinct.values()];
  knownKinds.set(key, kinds);
  return kinds;
}

/** Bytes on the fabric: 4 for f32 and 32-bit integers, else 2 an element; activations travel as 16 bit. */
export const wireBytes = (tensor: ProgramTensor, region: RegionShape): number =>
  tileElements(tensor, region) * (tensor.dtype === 'f32' || tensor.dtype === 'i32' || tensor.dtype === 'u32' ? 4 : 2);
