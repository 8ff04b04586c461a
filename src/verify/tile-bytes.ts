/** Elements of tiles as weights.bin packs them: read, and compared code by code. For verifiers. */
import { readSync } from 'node:fs';
import { DTYPE_BITS } from '../ir/types.ts';
import type { Blob } from '../plan/types.ts';

export interface Elements {
  readonly bytes: Uint8Array;
  /** Elements in `bytes` that come before. */
  readonly skip: number;
}

/** Elements `first` up to `first + count` of a blob, or what the file lacks. */
export function readElementsAt(fd: number, blob: Blob, first: number, count: number): Elements | string {
  const bits = DTYPE_BITS[blob.dtype];
  // Eight elements are whole bytes, whatever their width.
  const skip = first % 8;
  const start = ((first - skip) * bits) / 8;
  const bytes = new Uint8Array(Math.ceil(((skip + count) * bits) / 8));
  const got = readSync(fd, bytes, 0, bytes.length, blob.offset + start);
  if (got === bytes.length) return { bytes, skip };
  return `expected ${bytes.length} bytes at ${blob.offset + start} of weights.bin, found ${got}`;
}

export interface Comparison {
  readonly found: Uint8Array;
  /** First element of the tile in `found`. */
  readonly at: number;
  readonly wanted: Uint8Array;
  /** First element of the tile in `wanted`, whose rows are `stride` elements apart. */
  readonly from: number;
  readonly stride: number;
  readonly height: number;
  readonly width: number;
}

/** The first element of the tile that differs, row-major, or -1. */
export function firstDifference({ found, at, wanted, from, stride, height, width }: Comparison, bits: number): number {
  const bytes = bits / 8;
  for (let row = 0; row < height; row++) {
    const [a, b] = [at + row * width, from + row * stride];
    if (bits < 8) {
      for (let i = 0; i < width; i++)
        if (codeAt(found, a + i, bits) !== codeAt(wanted, b + i, bits)) return row * width + i;
      continue;
    }
    const [start, other, n] = [a * bytes, b * bytes, width * bytes];
    for (let i = 0; i < n; i++) if (found[start + i] !== wanted[other + i]) return row * width + Math.floor(i / bytes);
  }
  return -1;
}

/** Element `index` of a stream of `bits` wide codes, low bits first; a code may lie across two bytes. */
function codeAt(bytes: Uint8Array, index: number, bits: number): number {
  const bit = index * bits;
  const byte = Math.floor(bit / 8);
  const word = bytes[byte] | ((bytes[byte + 1] ?? 0) << 8);
  return (word >>> (bit % 8)) & ((1 << bits) - 1);
}
