/**
 * How the elements of a quantized weight are coded on the cores: what a constant's Quantization says, without the numbers.
 * Stages whose weights are coded alike can share a template.
 */
import { type Constant, isQuantized } from './constant.ts';
import { DTYPE_BITS, type DType } from './types.ts';

/**
 * The weight's `dtype` is that of its codes. value = (code - zero) * scale in f32, rounded to `rounded`; element (i, j) is of
 * group (floor((i + phase[0]) / block[0]), floor((j + phase[1]) / block[1])).
 */
export interface Coding {
  /** Type of the scales, one for every group that a tile touches. */
  readonly scale: DType;
  /** Type of the one number that every scale is multiplied by first (rounded to f32), or null. */
  readonly tensorScale: DType | null;
  /** Type of the zero points, as many as scales; or the number that all of them are. */
  readonly zero: DType | number;
  readonly block: readonly [number, number];
  readonly phase: readonly [number, number];
  readonly rounded: DType;
}

/**
 * The coding of a matrix, undefined of a dense one. Throws Error for what {@link isPlaceable} refuses.
 */
export function codingOf(c: Constant): Coding | undefined {
  if (!isQuantized(c)) return undefined;
  if (!isPlaceable(c)) throw new Error(`${c.source.label} is quantized in a way that tiles cannot hold`);
  const { scales, zeros, block, phase, rounded } = c.quantization;
  return {
    scale: scales.stored,
    tensorScale: scales.quantization?.scales.stored ?? null,
    zero: typeof zeros === 'number' ? zeros : zeros.stored,
    block: [Math.min(block[0], phase[0] + c.shape[0]), Math.min(block[1], phase[1] + c.shape[1])],
    phase: [phase[0], phase[1]],
    rounded,
  };
}

/** Whether tiles can hold a constant: dense, or a matrix of codes of 2, 4 or 8 bits whose scales have at most one scale themselves. */
export function isPlaceable(c: Constant): boolean {
  if (!isQuantized(c)) return true;
  const { scales, zeros } = c.quantization;
  const outer = scales.quantization;
  const nested =
    outer === undefined ||
    (outer.zeros === 0 &&
      outer.rounded === 'f32' &&
      outer.scales.quantization === undefined &&
      outer.scales.shape.every((n) => n === 1));
  const plainZeros = typeof zeros === 'number' || zeros.quantization === undefined;
  return nested && plainZeros && c.shape.length === 2 && [2, 4, 8].includes(DTYPE_BITS[c.stored]);
}
