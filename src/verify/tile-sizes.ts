/**
 * Sizes of tiles by counting, from the definition of Layout: part i of p of n is [floor(i n/p), floor((i+1) n/p)), and
 * dealt row r is on core r mod p. For verifiers: shares no code with the cost model or the passes.
 */
import type { Coding } from '../ir/coding.ts';
import { axisSize, type ProgramTensor, type RegionShape } from '../ir/program.ts';
import { bytesFor, DTYPE_BITS } from '../ir/types.ts';
import { cutsOf } from './tile-table.ts';

/** Distinct lengths of the parts that `parts` cores cut `extent` into. */
function cutLengths(extent: number, parts: number): Set<number> {
  const lengths = new Set<number>();
  for (let i = 0; i < parts; i++)
    lengths.add(Math.floor(((i + 1) * extent) / parts) - Math.floor((i * extent) / parts));
  return lengths;
}

/** Distinct numbers of rows that dealing `extent` rows over `owners` cores leaves. */
function dealtLengths(extent: number, owners: number): Set<number> {
  const lengths = new Set<number>();
  for (let owner = 0; owner < owners; owner++) {
    let rows = 0;
    for (let row = owner; row < extent; row += owners) rows++;
    lengths.add(rows);
  }
  return lengths;
}

/** Most elements of `tensor` on one core; the axes of a layout are independent, so the largest parts meet. */
export function mostElements({ shape, layout }: ProgramTensor, region: RegionShape): number {
  let elements = 1;
  for (const [d, extent] of shape.entries()) {
    const sizes = layout.dims[d].map((axis) => axisSize(region, axis));
    const lanes = layout.woven?.dim === d ? layout.woven.lanes : 1;
    let lengths = new Set([extent / lanes]);
    if (layout.cyclic && d === 0) {
      let owners = 1;
      for (const size of sizes) owners *= size;
      lengths = dealtLengths(extent, owners);
    } else {
      for (const size of sizes) {
        const next = new Set<number>();
        for (const length of lengths) for (const part of cutLengths(length, size)) next.add(part);
        lengths = next;
      }
    }
    elements *= lanes * [...lengths].reduce((a, b) => Math.max(a, b), 0);
  }
  return elements;
}

/** Most bytes of `tensor` on one core; of a coded weight, with what its codes need. */
export function mostBytes(tensor: ProgramTensor, region: RegionShape): number {
  const { coding, shape, layout, sparsity } = tensor;
  // What the plan states; C4 compares it with the tiles.
  if (sparsity !== undefined) return sparsity.bytes;
  if (coding === undefined) return bytesFor(tensor.dtype, mostElements(tensor, region));
  const [rows, columns] = shape.map((extent, d) => cutsOf(extent, layout.dims[d], region, []));
  const seen = new Set<string>();
  let most = 0;
  for (let r = 0; r + 1 < rows.length; r++) {
    // Parts of equal length that lie alike over the groups need the same.
    const like = `${rows[r + 1] - rows[r]} ${(rows[r] + coding.phase[0]) % coding.block[0]}`;
    if (seen.has(like)) continue;
    seen.add(like);
    for (let c = 0; c + 1 < columns.length; c++)
      most = Math.max(most, codedTileBytes(tensor, coding, [rows[r], rows[r + 1]], [columns[c], columns[c + 1]]));
  }
  return most;
}

type Range = readonly [start: number, end: number];

/** Bytes of the tile of rows and columns [start, end): codes, scales, a scale of scales, zero points; each in whole 16-bit words. */
export function codedTileBytes(
  { dtype }: Pick<ProgramTensor, 'dtype'>,
  { scale, tensorScale, zero, block, phase }: Coding,
  rows: Range,
  columns: Range,
): number {
  if (rows[0] === rows[1] || columns[0] === columns[1]) return 0;
  const touched = ([start, end]: Range, d: 0 | 1): number =>
    Math.floor((end - 1 + phase[d]) / block[d]) - Math.floor((start + phase[d]) / block[d]) + 1;
  const groups = touched(rows, 0) * touched(columns, 1);
  let words = Math.ceil(((rows[1] - rows[0]) * (columns[1] - columns[0]) * DTYPE_BITS[dtype]) / 16);
  words += Math.ceil((groups * DTYPE_BITS[scale]) / 16);
  if (tensorScale !== null) words += Math.ceil(DTYPE_BITS[tensorScale] / 16);
  if (typeof zero !== 'number') words += Math.ceil((groups * DTYPE_BITS[zero]) / 16);
  return words * 2;
}
