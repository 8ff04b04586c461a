/** Elements that are zero among the bytes of weights: counted while they are written, so that nothing is read twice. */
import { type Constant, groupCount, isQuantized, type Quantized } from '../ir/constant.ts';
import { DTYPE_BITS, type DType, isFloat } from '../ir/types.ts';
import { readConstant } from '../tensor/read.ts';

/** Bits of an element that are 0 in every zero of its type: all but the sign of a float that has a -0. */
const maskOf = (dtype: DType): number => {
  const bits = Math.min(32, DTYPE_BITS[dtype]);
  const signed = isFloat(dtype) && !dtype.endsWith('uz') && dtype !== 'f8e8m0';
  return signed ? 2 ** (bits - 1) - 1 : 2 ** bits - 1;
};

/** Zeros among packed elements of whole bytes. */
export function countZeros(dtype: DType, bytes: Uint8Array): number {
  const size = DTYPE_BITS[dtype] / 8;
  const aligned = bytes.byteOffset % 8 === 0 ? bytes : Uint8Array.from(bytes);
  const { buffer, byteOffset, byteLength } = aligned;
  let zeros = 0;
  if (size === 8) {
    const words = new BigUint64Array(buffer, byteOffset, byteLength / 8);
    const mask = isFloat(dtype) ? 2n ** 63n - 1n : 2n ** 64n - 1n;
    for (const word of words) if ((word & mask) === 0n) zeros++;
    return zeros;
  }
  const words =
    size === 4
      ? new Uint32Array(buffer, byteOffset, byteLength / 4)
      : size === 2
        ? new Uint16Array(buffer, byteOffset, byteLength / 2)
        : aligned;
  const mask = maskOf(dtype);
  for (let i = 0; i < words.length; i++) if ((words[i] & mask) === 0) zeros++;
  return zeros;
}

/** Counts the zeros of a box of a matrix, coded or dense, from its units. */
export type ZeroMeter = (
  units: Uint8Array,
  starts: readonly [number, number],
  sizes: readonly [number, number],
) => number;

export const zeroMeter = (c: Constant): ZeroMeter =>
  isQuantized(c) ? zeroCounter(c) : (units) => countZeros(c.stored, units);

/**
 * A counter of the zeros of a quantized matrix, to be called with boxes of its codes (one a byte): a value is zero where the
 * code is its zero point.
 */
export function zeroCounter({ shape, stored, quantization: { zeros, block, phase } }: Quantized): ZeroMeter {
  const mask = maskOf(stored);
  const across = groupCount(shape[1], block[1], phase[1]);
  const points = typeof zeros === 'number' ? [zeros] : readConstant(zeros).data;
  const low = stored.startsWith('i') ? -(2 ** (DTYPE_BITS[stored] - 1)) : 0;
  // A float zero point between two codes, or beyond them, is no code.
  const isCode = (z: number): boolean => Number.isInteger(z) && z >= low && z <= low + mask;
  const codes = Int16Array.from(points, (z) => (isCode(z) ? z & mask : -1));
  const single = codes.length === 1 ? codes[0] : undefined;
  return (units, starts, sizes) => {
    let count = 0;
    if (single !== undefined) {
      for (let i = 0; i < units.length; i++) if ((units[i] & mask) === single) count++;
      return count;
    }
    for (let r = 0, i = 0; r < sizes[0]; r++) {
      const row = Math.floor((starts[0] + r + phase[0]) / block[0]) * across;
      for (let c = 0; c < sizes[1]; c++, i++)
        if ((units[i] & mask) === codes[row + Math.floor((starts[1] + c + phase[1]) / block[1])]) count++;
    }
    return count;
  };
}
