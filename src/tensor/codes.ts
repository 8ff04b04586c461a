/** The bits of stored elements, for what moves codes about without decoding them: tiles and exports. */
import { codesOf, type Constant, elementCount } from '../ir/constant.ts';
import { bytesFor, DTYPE_BITS } from '../ir/types.ts';
import { readElements, readPacked } from './read.ts';

const UNSIGNED = { 2: 'u2', 4: 'u4' } as const;

/** Elements of a box, row-major: `bits / 8` bytes each, or a byte each where they are narrower. */
export function readCodes(c: Constant, starts: readonly number[], sizes: readonly number[]): Uint8Array {
  const bits = DTYPE_BITS[c.stored];
  const codes = codesOf(c);
  if (bits === 2 || bits === 4) {
    const { data } = readElements({ ...codes, dtype: UNSIGNED[bits], stored: UNSIGNED[bits] }, starts, sizes);
    if (!(data instanceof Uint8Array)) throw new Error(`codes of ${bits} bits are read as bytes`);
    return data;
  }
  const bytes = new Uint8Array(bytesFor(c.stored, elementCount(sizes)));
  readPacked(codes, starts, sizes, bytes);
  return bytes;
}
