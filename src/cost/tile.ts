/** What the fullest core of a region holds of a tensor, from the definition of Layout (src/ir/program.ts). */
import { axisSize, type ProgramTensor, type RegionShape } from '../ir/program.ts';
import { bytesFor } from '../ir/types.ts';

/**
 * Largest part of each dim. Cutting n into p balanced parts leaves ceil(n/p) in the largest, axis after axis; dealing
 * rows over p cores leaves ceil(n/p) on the first.
 */
export function tileShape({ shape, layout }: ProgramTensor, region: RegionShape): number[] {
  return shape.map((extent, d) => {
    const sizes = layout.dims[d].map((axis) => axisSize(region, axis));
    if (layout.cyclic && d === 0) return Math.ceil(extent / sizes.reduce((a, b) => a * b, 1));
    return sizes.reduce((left, size) => Math.ceil(left / size), extent);
  });
}

/** Elements of the fullest core. */
export const tileElements = (tensor: ProgramTensor, region: RegionShape): number =>
  tileShape(tensor, region).reduce((a, b) => a * b, 1);

/** Bytes of the fullest core, packed. */
export const tileBytes = (tensor: ProgramTensor, region: RegionShape): number =>
  bytesFor(tensor.dtype, tileElements(tensor, region));

/** Bytes on the fabric: 4 for f32 and 32-bit integers, else 2 an element; activations travel as 16 bit. */
export const wireBytes = (tensor: ProgramTensor, region: RegionShape): number =>
  tileElements(tensor, region) * (tensor.dtype === 'f32' || tensor.dtype === 'i32' || tensor.dtype === 'u32' ? 4 : 2);
