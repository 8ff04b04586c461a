/**
 * Sizes of tiles by counting, from the definition of Layout: part i of p of n is [floor(i n/p), floor((i+1) n/p)), and
 * dealt row r is on core r mod p. For verifiers: shares no code with the cost model or the passes.
 */
import { axisSize, type ProgramTensor, type RegionShape } from '../ir/program.ts';
import { bytesFor } from '../ir/types.ts';

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
    let lengths = new Set([extent]);
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
    elements *= [...lengths].reduce((a, b) => Math.max(a, b), 0);
  }
  return elements;
}

export const mostBytes = (tensor: ProgramTensor, region: RegionShape): number =>
  bytesFor(tensor.dtype, mostElements(tensor, region));
