/** Masks on weights. */

/** Zeroes the weights that `mask` drops, in place. */
export function applyMask(weights: Float32Array, mask: Uint8Array): Float32Array {
  for (let i = 0; i < weights.length; i++) if (mask[i] === 0) weights[i] = 0;
  return weights;
}
