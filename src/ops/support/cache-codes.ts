/**
 * Keys and values kept as integers: symmetric, 8 bits each or two 4-bit codes to a byte, the even feature in the low
 * half. A 4-bit code is stored plus 8, so that a byte of 0 is not the value 0.
 */
import { allocate, sizeOf, type Tensor, type TensorData, tensor } from '../../tensor/tensor.ts';
import { limitsOf } from './limits.ts';
import { roundEven } from './special.ts';

export interface CacheCodes {
  readonly bits: 4 | 8;
  readonly heads: number;
  /** Features of a head vector. */
  readonly size: number;
  /** One for all, or one for every feature of every head. */
  readonly scales: ArrayLike<number>;
}

const BIAS = 8;
const [LOWEST, HIGHEST] = limitsOf('i8');

/** Stored elements of a head vector of `size` features. */
export const storedWidth = (bits: 4 | 8, size: number): number => (bits === 4 ? Math.ceil(size / 2) : size);

const scaleStart = ({ heads, size, scales }: CacheCodes, row: number, perHead: number): number =>
  scales.length === 1 ? 0 : (Math.floor(row / perHead) % heads) * size;

/** The codes of new keys or values, [B, S, H*D]; a scale of 0, from a cache without data, counts as 1. */
export function encodeHeads(x: Tensor, codes: CacheCodes): Tensor {
  const { bits, heads, size, scales } = codes;
  const width = storedWidth(bits, size);
  const dtype = bits === 4 ? 'u8' : 'i8';
  const shape = [x.shape[0], x.shape[1], heads * width];
  const out = allocate(dtype, sizeOf(shape));
  const step = scales.length === 1 ? 0 : 1;
  const [low, high] = bits === 4 ? [-BIAS, BIAS - 1] : [LOWEST, HIGHEST];
  const code = (v: number, scale: number): number => {
    const units = Math.fround(v * Math.fround(1 / (scale === 0 ? 1 : scale)));
    return Math.min(high, Math.max(low, roundEven(units)));
  };
  for (let row = 0; row < out.length / width; row++) {
    const from = row * size;
    const scale = scaleStart(codes, row, 1);
    const at = (d: number): number => (d < size ? code(x.data[from + d], scales[scale + d * step]) : 0);
    for (let i = 0; i < width; i++) {
      out[row * width + i] = bits === 8 ? at(i) : at(2 * i) + BIAS + 16 * (at(2 * i + 1) + BIAS);
    }
  }
  return tensor(dtype, shape, out);
}

/** The values of a cache [B, H, T, stored width], as f32. */
export function decodeCache(cache: Tensor, codes: CacheCodes): Tensor {
  const { bits, size, scales } = codes;
  const shape = cache.shape.with(3, size);
  const width = cache.shape[3];
  const out = allocate('f32', sizeOf(shape));
  const step = scales.length === 1 ? 0 : 1;
  for (let row = 0; row < out.length / size; row++) {
    const scale = scaleStart(codes, row, cache.shape[2]);
    for (let d = 0; d < size; d++) {
      out[row * size + d] = codeAt(cache.data, row * width, d, bits) * scales[scale + d * step];
    }
  }
  return tensor('f32', shape, out);
}

function codeAt(data: TensorData, row: number, d: number, bits: 4 | 8): number {
  if (bits === 8) return data[row + d];
  const byte = data[row + (d >> 1)];
  return (d % 2 === 0 ? byte & 15 : byte >> 4) - BIAS;
}
