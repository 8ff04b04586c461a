/** What a model makes of a text, and how far a compressed one is from it: perplexity, KL divergence, agreement of the most likely token. */
import type { Tensor } from '../tensor/tensor.ts';
import { type Model, runSequence } from './sequence.ts';

export interface Quality {
  readonly predictions: number;
  /** Mean negative log-likelihood, in nats a token; perplexity is its exponential. */
  readonly nll: number;
  readonly perplexity: number;
}

/** Against the dense model, on the same tokens. */
export interface Comparison extends Quality {
  readonly dense: Quality;
  /** KL(dense || compressed), nats a token. */
  readonly klMean: number;
  readonly klP99: number;
  /** Share of positions at which both find the same token most likely. */
  readonly agreement: number;
  /** Mean cosine of the logits. */
  readonly cosine: number;
}

/** Log-probabilities of the dense model are kept from comparison to comparison when they take no more than this. */
const KEPT_BYTES = 512 * 2 ** 20;

/** Evaluates on fixed windows; compares any number of models with one dense model. */
export class Evaluator {
  readonly windows: readonly Int32Array[];
  private readonly dense: Model;
  private kept: (Float32Array | undefined)[] = [];
  private keptBytes = 0;

  constructor(dense: Model, windows: readonly Int32Array[]) {
    this.dense = dense;
    this.windows = windows;
  }

  /** How the dense model does. */
  quality(): Quality {
    let nll = 0;
    for (const [i, ids] of this.windows.entries()) {
      const { logProbabilities, width } = this.denseWindow(i);
      nll += nllOf(logProbabilities, width, ids);
    }
    return qualityOf(nll, this.predictions);
  }

  get predictions(): number {
    return this.windows.reduce((n, ids) => n + ids.length - 1, 0);
  }

  /** How a model does, and how far it is from the dense one. */
  compare(model: Model): Comparison {
    const sums = { dense: 0, other: 0, kl: 0, agree: 0, cosine: 0 };
    const kls: number[] = [];
    for (const [i, ids] of this.windows.entries()) {
      const { logProbabilities: p, width } = this.denseWindow(i);
      const logits = runSequence(model, ids.subarray(0, -1));
      const q = logSoftmax(logits);
      sums.dense += nllOf(p, width, ids);
      sums.other += nllOf(q, width, ids);
      for (let row = 0; row < ids.length - 1; row++) {
        const at = divergenceOf(p, q, row * width, width);
        kls.push(at.kl);
        sums.kl += at.kl;
        sums.agree += at.same ? 1 : 0;
        sums.cosine += at.cosine;
      }
    }
    const n = this.predictions;
    kls.sort((a, b) => a - b);
    return {
      ...qualityOf(sums.other, n),
      dense: qualityOf(sums.dense, n),
      klMean: sums.kl / n,
      klP99: kls[Math.min(n - 1, Math.floor(0.99 * n))] ?? 0,
      agreement: sums.agree / n,
      cosine: sums.cosine / n,
    };
  }

  private denseWindow(i: number): { readonly logProbabilities: Float32Array; readonly width: number } {
    const ids = this.windows[i];
    const known = this.kept[i];
    if (known !== undefined) return { logProbabilities: known, width: known.length / (ids.length - 1) };
    const logProbabilities = logSoftmax(runSequence(this.dense, ids.subarray(0, -1)));
    if (this.keptBytes + logProbabilities.byteLength <= KEPT_BYTES) {
      this.kept[i] = logProbabilities;
      this.keptBytes += logProbabilities.byteLength;
    }
    return { logProbabilities, width: logProbabilities.length / (ids.length - 1) };
  }
}

const qualityOf = (nll: number, predictions: number): Quality => ({
  predictions,
  nll: nll / predictions,
  perplexity: Math.exp(nll / predictions),
});

/** Rows of logits as logarithms of probabilities. */
function logSoftmax({ shape, data }: Tensor): Float32Array {
  const width = shape[shape.length - 1];
  const out = new Float32Array(data.length);
  for (let at = 0; at < data.length; at += width) {
    let most = Number.NEGATIVE_INFINITY;
    for (let i = at; i < at + width; i++) if (data[i] > most) most = data[i];
    let sum = 0;
    for (let i = at; i < at + width; i++) sum += Math.exp(data[i] - most);
    const shift = most + Math.log(sum);
    for (let i = at; i < at + width; i++) out[i] = data[i] - shift;
  }
  return out;
}

/** Sum of -log p of each id after the first, from logits [.., V] of all but the last. */
export const nllOfLogits = (logits: Tensor, ids: Int32Array): number =>
  nllOf(logSoftmax(logits), logits.shape[logits.shape.length - 1], ids);

/** Sum of -log p of each id after the first. */
function nllOf(logProbabilities: Float32Array, width: number, ids: Int32Array): number {
  let sum = 0;
  for (let i = 0; i + 1 < ids.length; i++) sum -= logProbabilities[i * width + ids[i + 1]];
  return sum;
}

function divergenceOf(
  p: Float32Array,
  q: Float32Array,
  at: number,
  width: number,
): { kl: number; same: boolean; cosine: number } {
  let kl = 0;
  let [bestP, bestQ] = [at, at];
  let [pq, pp, qq] = [0, 0, 0];
  // Logits are known up to a number a row: their cosine is taken about the mean.
  let [meanP, meanQ] = [0, 0];
  for (let i = at; i < at + width; i++) {
    meanP += p[i] / width;
    meanQ += q[i] / width;
  }
  for (let i = at; i < at + width; i++) {
    kl += Math.exp(p[i]) * (p[i] - q[i]);
    if (p[i] > p[bestP]) bestP = i;
    if (q[i] > q[bestQ]) bestQ = i;
    const [a, b] = [p[i] - meanP, q[i] - meanQ];
    pq += a * b;
    pp += a * a;
    qq += b * b;
  }
  return { kl: Math.max(0, kl), same: bestP === bestQ, cosine: pp * qq === 0 ? 1 : pq / Math.sqrt(pp * qq) };
}
