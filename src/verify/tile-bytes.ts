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
  if (bits < 8) {
    for (let i = 0; i < height * width; i++) {
      const other = from + Math.floor(i / width) * stride + (i % width);
      if (codeAt(found, at + i, bits) !== codeAt(wanted, other, bits)) return i;
    }
    return -1;
  }
  const [a, b] = [wordsOf(found, bits), wordsOf(wanted, bits)];
  const words = bits / 8 / a.BYTES_PER_ELEMENT;
  const n = width * words;
  for (let row = 0; row < height; row++) {
    const [start, other] = [(at + row * width) * words, (from + row * stride) * words];
    for (let i = 0; i < n; i++) if (a[start + i] !== b[other + i]) return row * width + Math.floor(i / words);
  }
  return -1;
}

/** Bit patterns of elements, 32 bits of them at most. */
function wordsOf(bytes: Uint8Array, bits: number): Uint8Array | Uint16Array | Uint32Array {
  if (bits === 8) return bytes;
  const { buffer, byteOffset, byteLength } = bytes;
  return bits === 16
    ? new Uint16Array(buffer, byteOffset, byteLength / 2)
    : new Uint32Array(buffer, byteOffset, byteLength / 4);
}

/** Element `index` of a stream of `bits` wide codes, low bits first; a code may lie across two bytes. */
function codeAt(bytes: Uint8Array, index: number, bits: number): number {
  const bit = index * bits;
  const byte = Math.floor(bit / 8);
  const word = bytes[byte] | ((bytes[byte + 1] ?? 0) << 8);
  return (word >>> (bit % 8)) & ((1 << bits) - 1);
}
