/** Masks on weights, and what they leave on each core. */
import type { Extents } from './select.ts';

/** Zeroes the weights that `mask` drops, in place. */
export function applyMask(weights: Float32Array, mask: Uint8Array): Float32Array {
  for (let i = 0; i < weights.length; i++) if (mask[i] === 0) weights[i] = 0;
  return weights;
}

export interface NonZeros {
  readonly min: number;
  readonly mean: number;
  /** Of the fullest tile: the one that SRAM is provided for. */
  readonly max: number;
}

/** Non-zeros by tile of a grid of `rowParts x colParts` cores; the parts of rows and columns are those of layouts. */
export function nonZerosByTile(
  weights: Float32Array,
  { rows, cols }: Extents,
  rowParts: number,
  colParts: number,
): NonZeros {
  const counts = new Uint32Array(rowParts * colParts);
  for (let i = 0; i < rowParts; i++)
    for (let r = part(rows, rowParts, i); r < part(rows, rowParts, i + 1); r++)
      for (let j = 0; j < colParts; j++)
        for (let c = part(cols, colParts, j); c < part(cols, colParts, j + 1); c++)
          if (weights[r * cols + c] !== 0) counts[i * colParts + j]++;
  let [min, max, sum] = [Number.POSITIVE_INFINITY, 0, 0];
  for (const n of counts) {
    min = Math.min(min, n);
    max = Math.max(max, n);
    sum += n;
  }
  return { min, mean: sum / counts.length, max };
}

const part = (n: number, parts: number, i: number): number => Math.floor((i * n) / parts);
