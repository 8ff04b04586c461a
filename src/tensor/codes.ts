/** The bits of stored elements, for what moves codes about without decoding them: tiles and exports. */
import { codesOf, type Constant, elementCount } from '../ir/constant.ts';
import { bytesFor, DTYPE_BITS } from '../ir/types.ts';
import { readCodes, readPacked } from './read.ts';

/** Elements of a box, row-major: `bits / 8` bytes each, or a byte each where they are narrower. */
export function readUnits(c: Constant, starts: readonly number[], sizes: readonly number[]): Uint8Array {
  const codes = codesOf(c);
  if (DTYPE_BITS[c.stored] < 8) return readCodes(codes, starts, sizes);
  const bytes = new Uint8Array(bytesFor(c.stored, elementCount(sizes)));
  readPacked(codes, starts, sizes, bytes);
  return bytes;
}
