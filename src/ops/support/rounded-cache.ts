/**
 * Keys and values as a cache of few bits keeps them (compression.md section 1.10): what wafc.attention computes when it names a cache format.
 *
 * `fp16`: the nearest f16.
 *
 * `int8`: a scale for every feature of every head, known beforehand; code = clip(rne(x / scale), -128, 127), value = code * scale. A position is
 * rounded by itself, so it can be stored when it arrives.
 *
 * `int4:kivi32`: 16 levels from the least to the largest of a group, value = low + code * scale, with low and scale in f16. A group of keys is 32
 * consecutive positions of one feature, a group of values up to 32 features of one position. Blocks of 32 positions are rounded when they are
 * complete and no longer hold the query's own position; until then they are kept as they are.
 */
import { roundTo } from '../../tensor/pack.ts';
import { allocate, sizeOf, type Tensor, type TensorData, tensor } from '../../tensor/tensor.ts';
import { limitsOf } from './limits.ts';
import { roundEven } from './special.ts';

export const CACHE_FORMATS = ['fp16', 'int8', 'int4:kivi32'] as const;
export type CacheFormat = (typeof CACHE_FORMATS)[number];

export const isCacheFormat = (word: string): word is CacheFormat => CACHE_FORMATS.some((known) => known === word);

/** Positions of a block, and most features of a group of values. */
export const BLOCK = 32;
const LEVELS = 15;
const MOST_HALF = 65504;
const [LOWEST, HIGHEST] = limitsOf('i8');

/** Positions before this one are rounded for a query at `position`. */
export const roundedBefore = (position: number): number => BLOCK * Math.floor(position / BLOCK);

/** Codes of `int8` of keys or values [B, H, T, d]; `scales` are by head and feature. */
export function int8Codes({ shape, data }: Tensor, scales: TensorData): Float32Array {
  const [, heads, length, size] = shape;
  const codes = new Float32Array(data.length);
  for (let row = 0; row < data.length / size; row++) {
    const first = (Math.floor(row / length) % heads) * size;
    for (let d = 0; d < size; d++) {
      const q = roundEven(Math.fround(data[row * size + d] / scales[first + d]));
      // Codes are integers: there is no -0 among them.
      codes[row * size + d] = (q < LOWEST ? LOWEST : q > HIGHEST ? HIGHEST : q) + 0;
    }
  }
  return codes;
}

/** Elements [.., heads * d] or [B, H, T, d] times the scale of their head and feature, in f32. */
export function scaledByFeature(
  values: TensorData,
  scales: TensorData,
  { heads, length, size }: { readonly heads: number; readonly length: number; readonly size: number },
  into: TensorData,
): void {
  const share = (heads * size) / scales.length;
  for (let row = 0; row < values.length / size; row++) {
    const first = Math.floor((Math.floor(row / length) % heads) / share) * size;
    for (let d = 0; d < size; d++) into[row * size + d] = Math.fround(values[row * size + d] * scales[first + d]);
  }
}

const half = new Float32Array(1);
function toHalf(x: number): number {
  half[0] = x > MOST_HALF ? MOST_HALF : x < -MOST_HALF ? -MOST_HALF : x;
  roundTo('f16', half);
  return half[0];
}

/** Rounds `count` elements from `start` on, `step` apart, to 16 levels between their extremes. */
function roundGroup(data: TensorData, start: number, count: number, step: number): void {
  let [low, high] = [data[start], data[start]];
  for (let i = 1; i < count; i++) {
    const x = data[start + i * step];
    if (x < low) low = x;
    if (x > high) high = x;
  }
  low = toHalf(low);
  const scale = toHalf((high - low) / LEVELS);
  for (let i = 0; i < count; i++) {
    const at = start + i * step;
    const q = scale > 0 ? roundEven(Math.fround(data[at] - low) / scale) : 0;
    data[at] = Math.fround(low + Math.fround((q < 0 ? 0 : q > LEVELS ? LEVELS : q) * scale));
  }
}

/** Keys [B, H, T, d] with all whole blocks rounded, each feature of a block by itself. */
export function kiviKeys(keys: Tensor): Tensor {
  const [batch, heads, length, size] = keys.shape;
  const out = copyOf(keys);
  for (let head = 0; head < batch * heads; head++)
    for (let block = 0; block + BLOCK <= length; block += BLOCK)
      for (let d = 0; d < size; d++) roundGroup(out.data, (head * length + block) * size + d, BLOCK, size);
  return out;
}

/** Values [B, H, T, d] with the positions of all whole blocks rounded, each position by runs of 32 features. */
export function kiviValues(values: Tensor): Tensor {
  const [batch, heads, length, size] = values.shape;
  const out = copyOf(values);
  const end = BLOCK * Math.floor(length / BLOCK);
  for (let head = 0; head < batch * heads; head++)
    for (let t = 0; t < end; t++)
      for (let d = 0; d < size; d += BLOCK)
        roundGroup(out.data, (head * length + t) * size + d, Math.min(BLOCK, size - d), 1);
  return out;
}

function copyOf({ dtype, shape, data }: Tensor): Tensor {
  const out = allocate(dtype, sizeOf(shape));
  out.set(data);
  return tensor(dtype, shape, out);
}
