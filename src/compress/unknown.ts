/** Constants of a model that is planned by its shapes: how they are stored is known, what they hold is not. */
import { type Constant, denseConstant, elementCount, transposeConstant } from '../ir/constant.ts';
import { opaqueSource } from '../ir/sources.ts';
import { bytesFor, type DType } from '../ir/types.ts';
import { type Format, MX_BLOCK, NVFP4_BLOCK, storedType } from './format.ts';
import { groupSize } from './grids.ts';
import { holdsFloatZeros } from './hqq.ts';
import { groupsOf } from './matrix.ts';
import type { Algorithm } from './weights.ts';

/** A constant that no one may read. */
export const unknownConstant = (name: string, dtype: DType, shape: readonly number[]): Constant =>
  denseConstant(
    dtype,
    shape,
    opaqueSource(name, () => bytesFor(dtype, elementCount(shape)), null),
  );

/** The weight [inputs, outputs] of a layer as a format and an algorithm would store it (weightFrom in constant.ts), unread. */
export function unknownWeight(
  name: string,
  { shape: [columns, rows], dtype }: Constant,
  format: Exclude<Format, { kind: 'keep' }>,
  algorithm: Algorithm,
): Constant {
  const codes = unknownConstant(name, storedType(format), [rows, columns]);
  if (format.kind === 'half') return transposeConstant({ ...codes, dtype }, [1, 0]);
  const { group, isShared, scaleType } = groupsFor(format, columns);
  const extents = [isShared ? 1 : rows, groupsOf(columns, group)];
  const block = [isShared ? rows : 1, group];
  const plain = unknownConstant(`${name}.scales`, scaleType, extents);
  const outer = {
    scales: unknownConstant(`${name}.scales.scales`, 'f32', [1, 1]),
    zeros: 0,
    block: extents,
    phase: [0, 0],
    rounded: 'f32',
  } as const;
  const scales: Constant =
    format.kind === 'nvfp4'
      ? { ...plain, dtype: 'f32', quantization: outer }
      : { ...plain, dtype: scaleType === 'f16' ? 'f32' : scaleType };
  const hasZeros = format.kind === 'integer' && format.grid === 'asymmetric';
  const zeroType = algorithm === 'hqq' && holdsFloatZeros(group) && !isShared ? 'f16' : codes.stored;
  const zeros = hasZeros ? unknownConstant(`${name}.zeros`, zeroType, extents) : 0;
  const quantization = { scales, zeros, block, phase: [0, 0], rounded: dtype };
  return transposeConstant({ ...codes, dtype, quantization }, [1, 0]);
}

/** Weights that share a scale, whether rows do, too, and what scales are stored as. */
function groupsFor(
  format: Exclude<Format, { kind: 'keep' } | { kind: 'half' }>,
  columns: number,
): { readonly group: number; readonly isShared: boolean; readonly scaleType: DType } {
  if (format.kind === 'nvfp4') return { group: Math.min(NVFP4_BLOCK, columns), isShared: false, scaleType: 'f8e4m3fn' };
  if (format.kind === 'micro') return { group: Math.min(MX_BLOCK, columns), isShared: false, scaleType: 'f8e8m0' };
  return { group: groupSize(format.group, columns), isShared: format.group === 'tensor', scaleType: 'f16' };
}
