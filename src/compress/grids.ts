/**
 * Integer grids: the scale and zero point of a group of weights, and rounding to it (compression.md section 1.1). Scales are rounded to the
 * type they are stored in before any code is computed, so that what is evaluated is what is stored.
 */
import { roundTo } from '../tensor/pack.ts';
import type { IntegerFormat } from './format.ts';
import { encodeBlocks, extremesInBlocks } from '../kernels/quant.ts';
import { groupsOf, type Matrix } from './matrix.ts';

/** Codes go from `low` to `high`. */
export interface CodeRange {
  readonly low: number;
  readonly high: number;
}

/** Integers that a format's codes take. */
export function codeRange({ bits, grid }: IntegerFormat): CodeRange {
  const half = 2 ** (bits - 1);
  if (grid === 'asymmetric') return { low: 0, high: 2 * half - 1 };
  return { low: grid === 'signed' ? -half : 1 - half, high: half - 1 };
}

/** Weights of a row that share a scale in a matrix of `columns`. */
export const groupSize = (group: number | 'row' | 'tensor', columns: number): number =>
  typeof group === 'number' ? Math.min(group, columns) : columns;

/** Scales and zero points by group, row-major; one group for all rows where `shared`. */
export interface GridParameters {
  readonly group: number;
  readonly shared: boolean;
  readonly scales: Float32Array;
  readonly zeros: Float32Array;
}

/** Least and largest weight of each group. */
export interface Extremes {
  readonly low: Float32Array;
  readonly high: Float32Array;
}

/** Extremes of groups of `group` weights of each row; of the whole matrix where `shared`. */
export function extremesOf({ rows, columns, values }: Matrix, group: number, shared: boolean): Extremes {
  const perRow = groupsOf(columns, group);
  const count = shared ? perRow : rows * perRow;
  const low = new Float32Array(count).fill(Number.POSITIVE_INFINITY);
  const high = new Float32Array(count).fill(Number.NEGATIVE_INFINITY);
  if (!shared && extremesInBlocks({ rows, columns, group }, values, low, high)) return { low, high };
  for (let row = 0; row < rows; row++) {
    for (let g = 0; g < perRow; g++) {
      const start = row * columns + g * group;
      const end = row * columns + Math.min(columns, (g + 1) * group);
      let [least, most] = [values[start], values[start]];
      for (let i = start + 1; i < end; i++) {
        const w = values[i];
        if (w < least) least = w;
        if (w > most) most = w;
      }
      const at = shared ? g : row * perRow + g;
      if (least < low[at]) low[at] = least;
      if (most > high[at]) high[at] = most;
    }
  }
  return { low, high };
}

/** The smallest positive f16: what a scale is that would round to 0. */
const LEAST_HALF = 2 ** -24;

/** Scales as f16 values. A group of zeros has scale 1; a scale never becomes 0 or infinite. */
export function storeScales(scales: Float32Array): Float32Array {
  const signs = scales.map(Math.sign);
  roundTo('f16', scales);
  for (let i = 0; i < scales.length; i++) {
    if (scales[i] === 0) scales[i] = signs[i] === 0 ? 1 : signs[i] * LEAST_HALF;
    else if (!Number.isFinite(scales[i])) scales[i] = signs[i] * MOST_HALF;
  }
  return scales;
}
const MOST_HALF = 65504;

/** Parameters whose grid spans `shrink` times the extremes. */
export function parametersFrom(
  { low, high }: Extremes,
  format: IntegerFormat,
  shrink: number | Float32Array = 1,
): Pick<GridParameters, 'scales' | 'zeros'> {
  const range = codeRange(format);
  const scales = new Float32Array(low.length);
  const zeros = new Float32Array(low.length);
  for (let g = 0; g < low.length; g++) {
    const by = typeof shrink === 'number' ? shrink : shrink[g];
    const [least, most] = [low[g] * by, high[g] * by];
    if (format.grid === 'symmetric') scales[g] = Math.max(-least, most, 0) / range.high;
    // A tie takes the negative one, as onnxruntime does.
    else if (format.grid === 'signed') scales[g] = (Math.abs(most) > Math.abs(least) ? most : least) / range.low;
    else scales[g] = (Math.max(0, most) - Math.min(0, least)) / range.high;
  }
  storeScales(scales);
  if (format.grid === 'asymmetric') {
    for (let g = 0; g < low.length; g++) {
      const by = typeof shrink === 'number' ? shrink : shrink[g];
      zeros[g] = Math.min(range.high, Math.max(0, roundEven(-Math.min(0, low[g] * by) / scales[g])));
    }
  }
  return { scales, zeros };
}

/** The grid of round-to-nearest: the extremes of every group are on it. */
export function gridOf(matrix: Matrix, format: IntegerFormat): GridParameters {
  const group = groupSize(format.group, matrix.columns);
  const shared = format.group === 'tensor';
  return { group, shared, ...parametersFrom(extremesOf(matrix, group, shared), format) };
}

/** Adding and subtracting it rounds a double of less than 2^51 to an integer, ties to even. */
const ROUND_MAGIC = 1.5 * 2 ** 52;

/** Nearest integer, ties to even; |x| < 2^51. */
export const roundEven = (x: number): number => x + ROUND_MAGIC - ROUND_MAGIC;

/** The code of one weight, by f32 steps as QuantizeLinear has them. */
export function encode(w: number, scale: number, zero: number, { low, high }: CodeRange): number {
  const q = Math.fround(w / scale) + ROUND_MAGIC - ROUND_MAGIC + zero;
  return q < low ? low : q > high ? high : q;
}

/** Codes of all weights on a grid, in `codes`. */
export function encodeAll(
  { rows, columns, values }: Matrix,
  { group, shared, scales, zeros }: GridParameters,
  range: CodeRange,
  codes: Int8Array | Uint8Array,
): void {
  const perRow = groupsOf(columns, group);
  const { low, high } = range;
  if (!shared && encodeBlocks({ rows, columns, group }, values, scales, zeros, range, codes)) return;
  for (let row = 0; row < rows; row++) {
    for (let g = 0; g < perRow; g++) {
      const at = shared ? g : row * perRow + g;
      const [scale, zero] = [scales[at], zeros[at]];
      const end = row * columns + Math.min(columns, (g + 1) * group);
      for (let i = row * columns + g * group; i < end; i++) {
        const q = Math.fround(values[i] / scale) + ROUND_MAGIC - ROUND_MAGIC + zero;
        codes[i] = q < low ? low : q > high ? high : q;
      }
    }
  }
}
