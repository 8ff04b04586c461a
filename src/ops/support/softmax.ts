/** Softmax along one axis of an (outer, extent, inner) view. */

/** Lane (o, i) is the elements `(o * extent + k) * inner + i`. */
export interface Lanes {
  readonly outer: number;
  readonly extent: number;
  readonly inner: number;
}

/**
 * Softmax (or its logarithm) of every lane, with the maximum taken out first; sums in double. A lane of only
 * -Infinity gives NaN, as the formula does.
 */
export function softmaxInto(out: Float32Array | Float64Array, x: ArrayLike<number>, lanes: Lanes, log = false): void {
  const { outer, extent, inner } = lanes;
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < inner; i++) {
      const base = o * extent * inner + i;
      const end = base + extent * inner;
      let max = Number.NEGATIVE_INFINITY;
      for (let at = base; at < end; at += inner) if (!(x[at] <= max)) max = x[at];
      let sum = 0;
      for (let at = base; at < end; at += inner) {
        const e = Math.exp(x[at] - max);
        out[at] = e;
        sum += e;
      }
      if (log) {
        const shift = max + Math.log(sum);
        for (let at = base; at < end; at += inner) out[at] = x[at] - shift;
      } else {
        const scale = 1 / sum;
        for (let at = base; at < end; at += inner) out[at] *= scale;
      }
    }
  }
}

/** 1 at the first maximum of every lane, 0 elsewhere. */
export function hardmaxInto(out: Float32Array | Float64Array, x: ArrayLike<number>, lanes: Lanes): void {
  const { outer, extent, inner } = lanes;
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < inner; i++) {
      const base = o * extent * inner + i;
      let best = base;
      for (let at = base; at < base + extent * inner; at += inner) if (x[at] > x[best]) best = at;
      out[best] = 1;
    }
  }
}
