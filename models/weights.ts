/**
 * Seeded weights as byte sources: every element is a function of (seed, tensor name, index), so any range of any
 * tensor can be made without the others, in any order, and 2.5 GB of them never exist at once.
 */
import type { ByteSource } from '../src/ir/constant.ts';
import { bytesFor, DTYPE_BITS } from '../src/ir/types.ts';
import { pack } from '../src/tensor/pack.ts';

export type FloatType = 'f32' | 'f16' | 'bf16';

/** Sum of three 10-bit uniforms and two bits between its steps: close to normal, cut at 3 standard deviations. */
const LEVELS = 4 * 3069 + 4;
const SIGMA = 512; // of the sum, in its own steps

export interface WeightOptions {
  readonly seed: number;
  /** Standard deviation; 0 gives a constant tensor. */
  readonly std: number;
  readonly mean?: number;
}

/** Roughly normal weights; `name` picks the stream. */
export function normalWeights(name: string, dtype: FloatType, count: number, options: WeightOptions): ByteSource {
  const { seed, std, mean = 0 } = options;
  const [key, key2] = [hashText(name, seed | 0), hashText(name, ~seed)];
  const width = DTYPE_BITS[dtype] / 8;
  let table: Uint16Array | Uint32Array | undefined;
  return {
    label: name,
    byteLength: bytesFor(dtype, count),
    read(offset, into) {
      if (offset + into.length > count * width) throw new RangeError(`${name}: read past the end`);
      table ??= levelTable(dtype, mean, std);
      const first = Math.floor(offset / width);
      const elements = Math.ceil((offset + into.length) / width) - first;
      const whole = offset % width === 0 && into.byteOffset % width === 0 && into.length % width === 0;
      const out = whole ? into : new Uint8Array(elements * width);
      const words =
        width === 2
          ? new Uint16Array(out.buffer, out.byteOffset, elements)
          : new Uint32Array(out.buffer, out.byteOffset, elements);
      fill(words, table, first, key, key2);
      if (!whole) into.set(out.subarray(offset - first * width, offset - first * width + into.length));
    },
  };
}

/** The packed element of each level. */
function levelTable(dtype: FloatType, mean: number, std: number): Uint16Array | Uint32Array {
  const values = Float32Array.from({ length: LEVELS }, (_, i) => mean + ((i - (LEVELS - 1) / 2) / 4 / SIGMA) * std);
  const bytes = pack(dtype, values);
  return dtype === 'f32' ? new Uint32Array(bytes.buffer) : new Uint16Array(bytes.buffer);
}

/** An integer hash (the constants of Wellons' lowbias32) with a key before and a key between its rounds. */
function fill(
  out: Uint16Array | Uint32Array,
  table: Uint16Array | Uint32Array,
  first: number,
  key: number,
  key2: number,
): void {
  for (let i = 0; i < out.length; i++) {
    let h = (first + i) ^ key;
    h = Math.imul(h ^ (h >>> 16), 0x7feb352d) ^ key2;
    h = Math.imul(h ^ (h >>> 15), 0x846ca68b);
    h ^= h >>> 16;
    out[i] = table[((h & 1023) + ((h >>> 10) & 1023) + ((h >>> 20) & 1023)) * 4 + (h >>> 30)];
  }
}

/** FNV-1a. */
function hashText(text: string, seed: number): number {
  let h = seed ^ 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x7feb352d);
  return h ^ (h >>> 15);
}
