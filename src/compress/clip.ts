/**
 * Clipping by weight error (`mse` of the GPTQ repository): each group's range is shrunk as long as the sum of |error|^2.4 falls.
 * Grids that clip one large weight serve the others better.
 */
import type { IntegerFormat } from './format.ts';
import { codeRange, encode, extremesOf, type GridParameters, groupSize, parametersFrom } from './grids.ts';
import { groupsOf, type Matrix } from './matrix.ts';

/** Ranges tried: 1, 0.99, .. 0.21 of the extremes. */
const STEPS = 80;
const STEP = 1 / 100;
const NORM = 2.4;

/** The grid whose shrunk range has the least error in every group; never worse than round to nearest. */
export function clippedGrid(matrix: Matrix, format: IntegerFormat): GridParameters {
  const group = groupSize(format.group, matrix.columns);
  const shared = format.group === 'tensor';
  const extremes = extremesOf(matrix, group, shared);
  const count = extremes.low.length;
  const best = new Float64Array(count).fill(Number.POSITIVE_INFINITY);
  const kept = { scales: new Float32Array(count), zeros: new Float32Array(count) };
  for (let step = 0; step < STEPS; step++) {
    const tried = parametersFrom(extremes, format, 1 - step * STEP);
    const errors = errorsOf(matrix, { group, shared, ...tried }, format, best);
    for (let g = 0; g < count; g++) {
      if (errors[g] >= best[g]) continue;
      best[g] = errors[g];
      kept.scales[g] = tried.scales[g];
      kept.zeros[g] = tried.zeros[g];
    }
  }
  return { group, shared, ...kept };
}

/** Sum of |error|^2.4 by group. A group whose sum passes `limit` is given up. */
function errorsOf(
  { rows, columns, values }: Matrix,
  { group, shared, scales, zeros }: GridParameters,
  format: IntegerFormat,
  limit: Float64Array,
): Float64Array {
  const range = codeRange(format);
  const perRow = groupsOf(columns, group);
  const sums = new Float64Array(scales.length);
  for (let row = 0; row < rows; row++) {
    for (let g = 0; g < perRow; g++) {
      const at = shared ? g : row * perRow + g;
      const [scale, zero] = [scales[at], zeros[at]];
      let sum = sums[at];
      const end = row * columns + Math.min(columns, (g + 1) * group);
      for (let i = row * columns + g * group; i < end && sum < limit[at]; i++) {
        const w = values[i];
        sum += Math.abs((encode(w, scale, zero, range) - zero) * scale - w) ** NORM;
      }
      sums[at] = sum;
    }
  }
  return sums;
}
