/**
 * AWQ (Lin et al. 2023): input channels that carry large activations are scaled up before rounding, and the scale is folded into what computes
 * them; and ranges are clipped where that lessens the error of the outputs (compression.md sections 1.2, 1.5).
 */
import { dense, gemm, transposed } from '../ops/support/gemm.ts';
import type { IntegerFormat } from './format.ts';
import {
  codeRange,
  encode,
  type Extremes,
  extremesOf,
  type GridParameters,
  groupSize,
  parametersFrom,
} from './grids.ts';
import { dequantizeMatrix, groupsOf, type Matrix } from './matrix.ts';
import { roundToNearest } from './rtn.ts';

/** Exponents tried: 0, 1/20, .. 19/20. */
const GRID = 20;
const LEAST_SCALE = 1e-4;

/** What a search over scales needs to know of the inputs. */
export interface SampledInputs {
  /** Mean magnitude by channel. */
  readonly meanAbs: Float64Array;
  /** Rows of inputs, row-major. */
  readonly sample: { readonly rows: number; readonly values: Float32Array };
}

export interface FoundScales {
  /** To multiply the columns of the weights with, and to divide the inputs by; all 1 where scaling does not help. */
  readonly scales: Float32Array;
  readonly exponent: number;
  /** Squared error of the outputs on the sample, without and with the scales. */
  readonly before: number;
  readonly after: number;
}

/** Searches scales for layers that share their inputs; every layer has the format it will be rounded to. */
export function searchScales(
  layers: readonly { readonly matrix: Matrix; readonly format: IntegerFormat }[],
  inputs: SampledInputs,
): FoundScales {
  let best: FoundScales | undefined;
  for (let step = 0; step < GRID; step++) {
    const exponent = step / GRID;
    const scales = scalesOf(inputs.meanAbs, exponent);
    const error = layers.reduce(
      (sum, { matrix, format }) => sum + outputError(matrix, format, scales, inputs.sample),
      0,
    );
    const before = best?.before ?? error; // exponent 0: all scales are 1
    if (best === undefined || error < best.after) best = { scales, exponent, before, after: error };
  }
  if (best === undefined) throw new Error('no exponent was tried');
  return best;
}

/** magnitude^exponent, about 1 in the geometric middle of its extremes. */
function scalesOf(meanAbs: Float64Array, exponent: number): Float32Array {
  const mean = meanAbs.reduce((a, b) => a + b, 0) / meanAbs.length;
  // A channel that was never used must not be taken for one that does not matter.
  const scales = Float32Array.from(meanAbs, (a) => Math.max((a === 0 ? mean : a) ** exponent, LEAST_SCALE));
  let [least, most] = [Number.POSITIVE_INFINITY, 0];
  for (const s of scales) {
    least = Math.min(least, s);
    most = Math.max(most, s);
  }
  const middle = Math.sqrt(least * most);
  return middle > 0 ? scales.map((s) => s / middle) : scales.fill(1);
}

/** Squared error of the layer's outputs when it is rounded after scaling. */
function outputError(
  { rows, columns, values }: Matrix,
  format: IntegerFormat,
  scales: Float32Array,
  sample: SampledInputs['sample'],
): number {
  const scaled = new Float32Array(values.length);
  for (let i = 0; i < values.length; i++) scaled[i] = values[i] * scales[i % columns];
  const rounded = dequantizeMatrix(roundToNearest({ rows, columns, values: scaled }, format));
  for (let i = 0; i < values.length; i++) rounded[i] = rounded[i] / scales[i % columns] - values[i];
  const outputs = new Float32Array(sample.rows * rows);
  const [x, errors] = [dense(sample.values, columns), transposed(dense(rounded, columns))];
  gemm(sample.rows, rows, columns, x, errors, dense(outputs, rows));
  return outputs.reduce((sum, e) => sum + e * e, 0);
}

/** Clips tried: 1, 0.95, .. 0.55 of the largest magnitude. */
const CLIPS = 10;
const CLIP_STEP = 1 / 20;
/** Inputs are taken as independent between runs of so many columns: exact for groups of up to as many. */
const RUN = 128;

/** The grid whose clipped range has the least error in the outputs of every group; clipping nothing is one of those tried. */
export function clippedByInputs(matrix: Matrix, format: IntegerFormat, moments: Float64Array): GridParameters {
  const group = groupSize(format.group, matrix.columns);
  const shared = format.group === 'tensor';
  const extremes = extremesOf(matrix, group, shared);
  const count = extremes.low.length;
  const best = new Float64Array(count).fill(Number.POSITIVE_INFINITY);
  const kept = { scales: new Float32Array(count), zeros: new Float32Array(count) };
  for (let step = 0; step < CLIPS; step++) {
    const tried = parametersFrom(clamped(extremes, 1 - step * CLIP_STEP), format);
    const errors = groupErrors(matrix, { group, shared, ...tried }, format, moments);
    for (let g = 0; g < count; g++) {
      if (errors[g] >= best[g]) continue;
      best[g] = errors[g];
      kept.scales[g] = tried.scales[g];
      kept.zeros[g] = tried.zeros[g];
    }
  }
  return { group, shared, ...kept };
}

/** Extremes of weights clamped to a share of the largest magnitude. */
function clamped({ low, high }: Extremes, share: number): Extremes {
  const bound = low.map((least, g) => Math.max(Math.abs(least), Math.abs(high[g])) * share);
  return { low: low.map((w, g) => Math.max(w, -bound[g])), high: high.map((w, g) => Math.min(w, bound[g])) };
}

/** Sum over runs of d^T M d by group, d the error of the weights and M the moments of their inputs. */
function groupErrors(
  { rows, columns, values }: Matrix,
  { group, shared, scales, zeros }: GridParameters,
  format: IntegerFormat,
  moments: Float64Array,
): Float64Array {
  const range = codeRange(format);
  const perRow = groupsOf(columns, group);
  const sums = new Float64Array(scales.length);
  const d = new Float64Array(columns);
  for (let row = 0; row < rows; row++) {
    for (let g = 0; g < perRow; g++) {
      const at = shared ? g : row * perRow + g;
      const [scale, zero] = [scales[at], zeros[at]];
      const [start, end] = [g * group, Math.min(columns, (g + 1) * group)];
      for (let i = start; i < end; i++) {
        const w = values[row * columns + i];
        d[i] = (encode(w, scale, zero, range) - zero) * scale - w;
      }
      for (let first = start; first < end; first += RUN)
        sums[at] += quadratic(d, first, Math.min(end, first + RUN), moments, columns);
    }
  }
  return sums;
}

function quadratic(d: Float64Array, start: number, end: number, moments: Float64Array, columns: number): number {
  let sum = 0;
  for (let i = start; i < end; i++) {
    let half = 0;
    const row = i * columns;
    for (let j = start; j < i; j++) half += moments[row + j] * d[j];
    sum += d[i] * (2 * half + moments[row + i] * d[i]);
  }
  return sum;
}
