/** What a constant takes when it is stored packed, and what its format is called. */
import { type Constant, elementCount } from './constant.ts';
import type { ProgramTensor } from './program.ts';
import { bytesFor, DTYPE_BITS, type DType } from './types.ts';

/** Bytes of a constant when stored packed: codes, scales and zero points; of a dense one, its elements. */
export function storedBytes({ shape, stored, quantization: q }: Constant): number {
  const codes = bytesFor(stored, elementCount(shape));
  if (q === undefined) return codes;
  return codes + storedBytes(q.scales) + (typeof q.zeros === 'number' ? 0 : storedBytes(q.zeros));
}

/** Stored bits for every element, scales and zero points included: 4.5 for 4-bit codes with an f16 scale for 32. */
export function bitsPerWeight(c: Constant): number {
  const count = elementCount(c.shape);
  return count === 0 ? 0 : (storedBytes(c) * 8) / count;
}

/**
 * The format as compression.md spells it: `int4:g32`, `int4:g32:asym`, `int8:row`, `int8:tensor`, `fp8:e4m3:row`, `mxfp4`, `mxfp8`,
 * `nvfp4`; of a dense constant, its type. `row` means a scale for each index of one dim (an output channel).
 */
export function formatName({ shape, stored, quantization: q }: Constant): string {
  if (q === undefined) return stored;
  const { scales, zeros, block } = q;
  const zero = typeof zeros === 'number' ? zeros : zeros.stored;
  return nameOf(stored, shape, { scale: scales.stored, nested: scales.quantization !== undefined, zero, block });
}

/** The same of a weight of a region program. */
export function codingName({ dtype, shape, coding }: Pick<ProgramTensor, 'dtype' | 'shape' | 'coding'>): string {
  if (coding === undefined) return dtype;
  const { scale, tensorScale, zero, block } = coding;
  return nameOf(dtype, shape, { scale, nested: tensorScale !== null, zero, block });
}

interface Groups {
  readonly scale: DType;
  readonly nested: boolean;
  readonly zero: DType | number;
  readonly block: readonly number[];
}

function nameOf(stored: DType, shape: readonly number[], { scale, nested, zero, block }: Groups): string {
  if (scale === 'f8e8m0' && stored in MICROSCALING) return MICROSCALING[stored] ?? stored;
  if (stored === 'f4e2m1' && nested) return 'nvfp4';
  const grouped = block.find((b, d) => b > 1 && b < shape[d]);
  const codes = /^[iu]\d+$/.test(stored) ? `int${DTYPE_BITS[stored]}` : stored.replace(/^f8(e\dm\d).*/, 'fp8:$1');
  const single = block.every((b, d) => b >= shape[d]);
  const spread = grouped !== undefined ? `g${grouped}` : single ? 'tensor' : 'row';
  return `${codes}:${spread}${typeof zero === 'number' ? '' : ':asym'}`;
}

/** Blocks with a power of two as their scale, by their codes. */
const MICROSCALING: Readonly<Partial<Record<DType, string>>> = {
  f4e2m1: 'mxfp4',
  f8e4m3fn: 'mxfp8',
  f8e5m2: 'mxfp8',
  i8: 'mxint8',
};
