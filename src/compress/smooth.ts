/** SmoothQuant (Xiao et al. 2022): the range of outlying activations moved into the weights that read them. */
import type { Matrix } from './matrix.ts';

const LEAST_SCALE = 1e-5;

/**
 * What to divide inputs by, and to multiply the columns of all `layers` that read them with:
 * max|x|^alpha / max|w|^(1 - alpha) by channel.
 */
export function smoothingScales(layers: readonly Matrix[], absMax: Float64Array, alpha: number): Float32Array {
  const columns = absMax.length;
  const largest = new Float64Array(columns);
  for (const { values } of layers)
    for (let i = 0; i < values.length; i++) largest[i % columns] = Math.max(largest[i % columns], Math.abs(values[i]));
  return Float32Array.from(absMax, (x, i) =>
    x === 0 || largest[i] === 0 ? 1 : Math.max(x ** alpha / largest[i] ** (1 - alpha), LEAST_SCALE),
  );
}
