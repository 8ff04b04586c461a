/** Differences between two tensors, and the bound that rounding explains. */
import type { Tensor } from '../tensor/tensor.ts';

export interface Difference {
  readonly maxAbs: number;
  /** Largest |a - b| / max(|b|, rms(b)): relative, without blowing up at zeros. */
  readonly maxRel: number;
  /** Of the worst element. */
  readonly index: number;
  readonly found: number;
  readonly expected: number;
}

/** Compares element by element; NaN against a number is an infinite difference, against NaN none. */
export function compare(found: Tensor, expected: Tensor): Difference {
  const [a, b] = [found.data, expected.data];
  if (a.length !== b.length)
    return {
      maxAbs: Number.POSITIVE_INFINITY,
      maxRel: Number.POSITIVE_INFINITY,
      index: -1,
      found: a.length,
      expected: b.length,
    };
  let squares = 0;
  for (let i = 0; i < b.length; i++) if (Number.isFinite(b[i])) squares += b[i] * b[i];
  const rms = Math.sqrt(squares / Math.max(1, b.length));
  let worst: Difference = { maxAbs: 0, maxRel: 0, index: -1, found: 0, expected: 0 };
  let maxAbs = 0;
  for (let i = 0; i < b.length; i++) {
    if (a[i] === b[i] || (Number.isNaN(a[i]) && Number.isNaN(b[i]))) continue;
    const abs = Math.abs(a[i] - b[i]);
    const rel = Number.isNaN(abs) ? Number.POSITIVE_INFINITY : abs / (Math.max(Math.abs(b[i]), rms) || 1);
    maxAbs = Number.isNaN(abs) ? Number.POSITIVE_INFINITY : Math.max(maxAbs, abs);
    if (rel > worst.maxRel) worst = { maxAbs, maxRel: rel, index: i, found: a[i], expected: b[i] };
  }
  return { ...worst, maxAbs };
}

/** Unit roundoff of f32. */
const UNIT = 2 ** -24;

/**
 * What another order of additions may change, relative to the largest values: each reduction of n terms rounds n times, the
 * errors of random signs add as sqrt(n), and they accumulate along the model. `safety` covers what randomness does not.
 */
export class ErrorBound {
  private sum = 8;
  private static readonly SAFETY = 4;

  /** Counts an op that adds `terms` numbers per element. */
  add(terms: number): void {
    this.sum += Math.sqrt(terms);
  }
  /** Relative; narrow storage types allow their own roundoff. */
  bound(narrowest: 'f32' | 'f16' | 'bf16' | 'other'): number {
    if (narrowest !== 'f32') return narrowest === 'f16' ? 2e-2 : 8e-2;
    return UNIT * ErrorBound.SAFETY * this.sum;
  }
}
