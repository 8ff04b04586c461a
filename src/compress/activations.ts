/**
 * Scales of 8-bit activations from calibration (compression.md section 1.7): a histogram of sizes for each tensor, and where it is cut off.
 */

/** How the largest size that is still told apart is chosen. */
export type Clip =
  | { readonly kind: 'max' | 'mse' | 'entropy' }
  /** The smallest size that this share of all values does not exceed. */
  | { readonly kind: 'percentile'; readonly percent: number };

/** `max`, `mse`, `entropy`, `p99.99`; undefined for other words. */
export function parseClip(word: string): Clip | undefined {
  if (word === 'max' || word === 'mse' || word === 'entropy') return { kind: word };
  const percent = Number(/^p(\d{1,3}(?:\.\d{1,9})?)$/.exec(word)?.[1] ?? Number.NaN);
  return percent > 0 && percent <= 100 ? { kind: 'percentile', percent } : undefined;
}

const BINS = 2048;
/** Codes on either side of 0. */
const LEVELS = 127;
/** Bins of TensorRT's quantized distribution. */
const COARSE = 128;

/** Counts of sizes in bins of equal width; the range doubles whenever a larger size comes, and bins are joined in pairs. */
export class SizeHistogram {
  readonly counts = new Float64Array(BINS);
  largest = 0;
  total = 0;
  private range = 0;

  add(values: ArrayLike<number>): void {
    let most = 0;
    for (let i = 0; i < values.length; i++) {
      const size = Math.abs(values[i]);
      if (size > most && size < Number.POSITIVE_INFINITY) most = size;
    }
    if (most > this.largest) this.largest = most;
    if (this.range === 0) this.range = most;
    while (this.range < most) this.double();
    const perBin = this.range === 0 ? 0 : BINS / this.range;
    for (let i = 0; i < values.length; i++) {
      const size = Math.abs(values[i]);
      if (size <= most) this.counts[Math.min(BINS - 1, Math.floor(size * perBin))]++;
    }
    this.total += values.length;
  }

  get binWidth(): number {
    return this.range / BINS;
  }

  /** Share of values beyond a size. */
  beyond(size: number): number {
    const first = Math.ceil(size / (this.binWidth || 1));
    let count = 0;
    for (let b = first; b < BINS; b++) count += this.counts[b];
    return this.total === 0 ? 0 : count / this.total;
  }

  private double(): void {
    this.range *= 2;
    for (let b = 0; b < BINS / 2; b++) this.counts[b] = this.counts[2 * b] + this.counts[2 * b + 1];
    this.counts.fill(0, BINS / 2);
  }
}

/** The size that becomes code 127; 0 where all values were 0. */
export function clipOf(histogram: SizeHistogram, clip: Clip): number {
  if (histogram.largest === 0) return 0;
  switch (clip.kind) {
    case 'max':
      return histogram.largest;
    case 'percentile':
      return percentileOf(histogram, clip.percent / 100);
    case 'mse':
      return leastError(histogram);
    case 'entropy':
      return leastDivergence(histogram);
  }
}

function percentileOf({ counts, total, binWidth, largest }: SizeHistogram, share: number): number {
  let below = 0;
  for (let b = 0; b < BINS; b++) {
    below += counts[b];
    if (below >= share * total) return Math.min(largest, (b + 1) * binWidth);
  }
  return largest;
}

/** The share of the largest size, 0.3 to 1 in hundredths, whose codes have the least squared error; each bin stands at its middle. */
function leastError({ counts, binWidth, largest }: SizeHistogram): number {
  let [best, least] = [largest, Number.POSITIVE_INFINITY];
  for (let r = 100; r >= 30; r--) {
    const scale = ((r / 100) * largest) / LEVELS;
    let error = 0;
    for (let b = 0; b < BINS; b++) {
      if (counts[b] === 0) continue;
      const x = (b + 0.5) * binWidth;
      error += counts[b] * (Math.min(LEVELS, Math.round(x / scale)) * scale - x) ** 2;
    }
    if (error < least) [best, least] = [scale * LEVELS, error];
  }
  return best;
}

/**
 * The cut of least KL(P || Q): P is the histogram with all that is beyond the cut in its last bin, Q the part below the cut in 128 steps, each spread
 * evenly over its bins that are not empty (MXNet, TensorRT).
 */
function leastDivergence({ counts, binWidth, largest }: SizeHistogram): number {
  let end = BINS;
  while (end > COARSE && counts[end - 1] === 0) end--;
  const beyond = new Float64Array(BINS + 1);
  for (let b = BINS - 1; b >= 0; b--) beyond[b] = beyond[b + 1] + counts[b];
  let [best, least] = [end, Number.POSITIVE_INFINITY];
  for (let cut = COARSE; cut <= end; cut++) {
    const divergence = divergenceAt(counts, beyond, cut);
    if (divergence < least) [best, least] = [cut, divergence];
  }
  return Math.min(largest, best * binWidth);
}

const SMOOTH = 1e-4;

function divergenceAt(counts: Float64Array, beyond: Float64Array, cut: number): number {
  const within = beyond[0] - beyond[cut];
  if (within === 0) return Number.POSITIVE_INFINITY;
  let sum = 0;
  for (let step = 0; step < COARSE; step++) {
    const [first, last] = [Math.floor((step * cut) / COARSE), Math.floor(((step + 1) * cut) / COARSE)];
    let [mass, filled] = [0, 0];
    for (let b = first; b < last; b++) {
      mass += counts[b];
      if (counts[b] + (b === cut - 1 ? beyond[cut] : 0) > 0) filled++;
    }
    for (let b = first; b < last; b++) {
      const p = (counts[b] + (b === cut - 1 ? beyond[cut] : 0)) / beyond[0];
      if (p > 0) sum += p * Math.log(p / Math.max(mass / filled / within, SMOOTH / cut));
    }
  }
  return sum;
}
