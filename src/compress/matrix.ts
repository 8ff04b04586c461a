/**
 * What the compression algorithms work on: a weight as rows of output channels, and what is left of it. Nothing here knows of
 * graphs or files; `src/eval` and `passes/2-compress` bring matrices and take results.
 */
import type { DType } from '../ir/types.ts';

/** `rows` output channels of `columns` weights each, row-major: y = W x. */
export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly values: Float32Array;
}

/** A matrix as codes: value = (code - zero) * scale, each step in f32 (see Quantization in src/ir/constant.ts). */
export interface QuantizedMatrix {
  readonly rows: number;
  readonly columns: number;
  /** What codes are stored as. */
  readonly stored: DType;
  /** One number a code, in the units of `stored`: integers, or values of a narrow float. */
  readonly codes: Int8Array | Uint8Array | Float32Array;
  /** Consecutive weights of a row that share a scale; the last group of a row may be shorter. */
  readonly group: number;
  /** True when all rows share their scales, too (one scale for the tensor, with `group` = columns). */
  readonly shared: boolean;
  /** Row-major, one a group; every one is a value of `scaleType`. */
  readonly scales: Float32Array;
  readonly scaleType: DType;
  /** One for all groups, or one a group. Integers where codes are, unless `zeroType` is a float. */
  readonly zeros: number | Float32Array;
  readonly zeroType?: DType;
  /** NVFP4: every scale is a value of `scaleType` times this f32. */
  readonly tensorScale?: number;
}

/** Scales of a row. */
export const groupsOf = (columns: number, group: number): number => Math.ceil(columns / group);

/** The values the codes stand for, rounded to f32 as every reader of the constant rounds them. */
export function dequantizeMatrix(q: QuantizedMatrix): Float32Array {
  const { rows, columns, group, codes, scales, zeros } = q;
  const out = new Float32Array(rows * columns);
  const perRow = groupsOf(columns, group);
  for (let row = 0; row < rows; row++) {
    const first = q.shared ? 0 : row * perRow;
    for (let g = 0; g < perRow; g++) {
      const scale = effectiveScale(q, scales[first + g]);
      const zero = typeof zeros === 'number' ? zeros : zeros[first + g];
      const end = row * columns + Math.min(columns, (g + 1) * group);
      for (let i = row * columns + g * group; i < end; i++) out[i] = Math.fround(codes[i] - zero) * scale;
    }
  }
  return out;
}

const effectiveScale = ({ tensorScale }: QuantizedMatrix, scale: number): number =>
  tensorScale === undefined ? scale : Math.fround(scale * tensorScale);

/** Signal to quantization noise in decibels: 10 log10(sum w^2 / sum (w - v)^2); Infinity for equal values. */
export function sqnrDb(original: Float32Array, values: Float32Array): number {
  let [signal, noise] = [0, 0];
  for (let i = 0; i < original.length; i++) {
    const w = original[i];
    signal += w * w;
    noise += (w - values[i]) ** 2;
  }
  return 10 * Math.log10(signal / noise);
}
