/** What a constant takes when it is stored packed, and what its format is called. */
import { type Constant, elementCount } from './constant.ts';
import { bytesFor, DTYPE_BITS } from './types.ts';

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
 * The format as compression.md spells it: `int4:g32`, `int4:g32:asym`, `int8:row`, `int8:tensor`, `e4m3:row`, `mxfp4`, `mxfp8`,
 * `nvfp4`; of a dense constant, its type. `row` means a scale for each index of one dim (an output channel).
 */
export function formatName({ shape, stored, quantization: q }: Constant): string {
  if (q === undefined) return stored;
  const grouped = q.block.findIndex((b, d) => b > 1 && b < shape[d]);
  const group = grouped < 0 ? 0 : q.block[grouped];
  if (stored === 'f4e2m1' && q.scales.dtype === 'f8e8m0') return 'mxfp4';
  if (stored === 'f4e2m1' && q.scales.quantization !== undefined) return 'nvfp4';
  if (stored.startsWith('f8') && q.scales.dtype === 'f8e8m0') return 'mxfp8';
  if (stored === 'i8' && q.scales.dtype === 'f8e8m0') return 'mxint8';
  const integer = /^[iu]\d+$/.test(stored);
  const codes = integer ? `int${DTYPE_BITS[stored]}` : stored.replace(/^f8(e\dm\d).*/, '$1');
  const single = q.block.every((b, d) => b >= shape[d]);
  const spread = group > 0 ? `g${group}` : single ? 'tensor' : 'row';
  return `${codes}:${spread}${typeof q.zeros === 'number' ? '' : ':asym'}`;
}
