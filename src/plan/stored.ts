/** Which elements of a weight a sparse tile stores: all but those with the bits of +0, or with the code of their zero point. */
import { type Constant, groupCount, isQuantized, type Quantized } from '../ir/constant.ts';
import { DTYPE_BITS } from '../ir/types.ts';
import { readConstant } from '../tensor/read.ts';

/** Marks a box of units (as readUnits gives them): 1 where an element is stored. */
export type Marker = (units: Uint8Array, starts: readonly number[], sizes: readonly number[]) => Uint8Array;

export const markerOf = (c: Constant): Marker =>
  isQuantized(c) ? codeMarker(c) : bitsMarker(DTYPE_BITS[c.stored] / 8);

const bitsMarker =
  (bytes: number): Marker =>
  (units) => {
    const marks = new Uint8Array(units.length / bytes);
    for (let i = 0, at = 0; i < marks.length; i++) for (let b = 0; b < bytes; b++) if (units[at++] !== 0) marks[i] = 1;
    return marks;
  };

function codeMarker({ shape, stored, quantization: { zeros, block, phase } }: Quantized): Marker {
  const points = zeroCodes({ stored, zeros });
  const across = groupCount(shape[1], block[1], phase[1]);
  return (units, starts, sizes) => {
    const marks = new Uint8Array(units.length);
    for (let r = 0, i = 0; r < sizes[0]; r++) {
      const row = Math.floor((starts[0] + r + phase[0]) / block[0]) * across;
      for (let c = 0; c < sizes[1]; c++, i++) {
        const group = points.length === 1 ? 0 : row + Math.floor((starts[1] + c + phase[1]) / block[1]);
        marks[i] = units[i] === points[group] ? 0 : 1;
      }
    }
    return marks;
  };
}

/** By group, or one for all: the bits of the code that stands for zero; -1 where none does. */
function zeroCodes({ stored, zeros }: { stored: Constant['stored']; zeros: Constant | number }): Int16Array {
  const points = typeof zeros === 'number' ? [zeros] : readConstant(zeros).data;
  const bits = DTYPE_BITS[stored];
  const low = stored.startsWith('i') ? -(2 ** (bits - 1)) : 0;
  // Codes of narrow floats begin with that of +0.
  const isInteger = /^[iu]\d+$/.test(stored);
  return Int16Array.from(points, (z) => {
    if (!isInteger) return z === 0 ? 0 : -1;
    return Number.isInteger(z) && z >= low && z < low + 2 ** bits ? z & (2 ** bits - 1) : -1;
  });
}
