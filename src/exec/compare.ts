/** Differences between two tensors, and the bound that rounding explains. */
import type { Tensor } from '../tensor/tensor.ts';

/** How far one tensor, or many pieces of one, is from what it should be. */
export interface Agreement {
  readonly maxAbs: number;
  /** Largest |a - b| / max(|b|, rms(b)): relative, without blowing up at zeros. */
  readonly maxRel: number;
  /** Of the angle between them; 1 where both are zero. */
  readonly cosine: number;
  /** Signal to noise, 10 log10(sum b^2 / sum (a - b)^2); null where there is no noise at all. */
  readonly sqnrDb: number | null;
}

export interface Difference extends Agreement {
  /** Of the worst element. */
  readonly index: number;
  readonly found: number;
  readonly expected: number;
}

const { POSITIVE_INFINITY: INFINITE } = Number;

/** Compares piece by piece. NaN against a number is an infinite difference, against NaN none. */
export class Comparison {
  private maxAbs = 0;
  private worst = { maxRel: 0, index: -1, found: 0, expected: 0 };
  /** Sums of a b, a a, b b, and (a - b)^2, of finite elements. */
  private sums = { ab: 0, aa: 0, bb: 0, noise: 0 };

  add(found: Tensor, expected: Tensor): this {
    const [a, b] = [found.data, expected.data];
    if (a.length !== b.length) {
      this.maxAbs = INFINITE;
      this.sums.noise = INFINITE;
      this.worst = { maxRel: INFINITE, index: -1, found: a.length, expected: b.length };
      return this;
    }
    let squares = 0;
    for (let i = 0; i < b.length; i++) if (Number.isFinite(b[i])) squares += b[i] * b[i];
    const rms = Math.sqrt(squares / Math.max(1, b.length));
    let [ab, aa, noise] = [0, 0, 0];
    for (let i = 0; i < b.length; i++) {
      if (Number.isFinite(a[i])) aa += a[i] * a[i];
      if (Number.isFinite(a[i] * b[i])) ab += a[i] * b[i];
      if (a[i] === b[i] || (Number.isNaN(a[i]) && Number.isNaN(b[i]))) continue;
      const distance = Math.abs(a[i] - b[i]);
      const abs = Number.isNaN(distance) ? INFINITE : distance;
      const rel = abs / (Math.max(Math.abs(b[i]), rms) || 1);
      noise += abs * abs;
      this.maxAbs = Math.max(this.maxAbs, abs);
      if (!(rel <= this.worst.maxRel))
        this.worst = { maxRel: Number.isNaN(rel) ? INFINITE : rel, index: i, found: a[i], expected: b[i] };
    }
    this.sums.ab += ab;
    this.sums.aa += aa;
    this.sums.bb += squares;
    this.sums.noise += noise;
    return this;
  }

  result(): Difference {
    const { ab, aa, bb, noise } = this.sums;
    const both = Math.sqrt(aa * bb);
    return {
      maxAbs: this.maxAbs,
      ...this.worst,
      cosine: both > 0 ? Math.min(1, ab / both) : aa === bb ? 1 : 0,
      sqnrDb: noise === 0 ? null : 10 * Math.log10(bb / noise),
    };
  }
}

/** Compares two tensors element by element. */
export const compare = (found: Tensor, expected: Tensor): Difference => new Comparison().add(found, expected).result();

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
