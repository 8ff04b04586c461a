/** NaN and infinity among the bytes of weights: looked for while they are written, so that nothing is read twice. */
import type { DType } from '../ir/types.ts';

/** Exponent bits of the elements in 32 bits: where all of one element's are set, it is no finite number. */
const EXPONENTS: Readonly<Partial<Record<DType, readonly number[]>>> = {
  f32: [0x7f800000],
  f16: [0x7c00, 0x7c000000],
  bf16: [0x7f80, 0x7f800000],
};

/** Whether an element of packed `bytes` is NaN or infinite; false for types that are not looked at. */
export function hasNotFinite(dtype: DType, bytes: Uint8Array): boolean {
  const masks = EXPONENTS[dtype];
  if (masks === undefined) return false;
  // Whole words, a last half of one filled up with zeros.
  const fits = bytes.byteOffset % 4 === 0 && bytes.length % 4 === 0;
  const whole = fits ? bytes : new Uint8Array(Math.ceil(bytes.length / 4) * 4);
  if (!fits) whole.set(bytes);
  const words = new Int32Array(whole.buffer, whole.byteOffset, whole.length >>> 2);
  return masks.some((mask) => words.some((word) => (word & mask) === mask));
}
