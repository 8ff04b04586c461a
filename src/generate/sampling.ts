/**
 * From logits to a token: temperature, then the k most likely, then the fewest whose probabilities reach p, as Hugging Face
 * orders them. Temperature 0 is greedy: the likeliest token, the first of equal ones.
 */
import { fail } from '../diag/diagnostic.ts';
import type { Random } from '../util/rng.ts';

export interface Sampling {
  /** 0 is greedy. */
  readonly temperature: number;
  /** Only the k most likely tokens; null for all. */
  readonly topK: number | null;
  /** Only the fewest tokens whose probabilities add up to this; 1 for all. */
  readonly topP: number;
}

export const GREEDY: Sampling = { temperature: 0, topK: null, topP: 1 };

/**
 * Probabilities of all words. A greedy one is 1, all others 0.
 * @throws Diagnosed `run/logits` when the logits are not numbers to choose by
 */
export function distribution(logits: ArrayLike<number>, { temperature, topK, topP }: Sampling): Float64Array {
  const best = likeliest(logits);
  const out = new Float64Array(logits.length);
  if (temperature === 0) {
    out[best] = 1;
    return out;
  }
  for (let i = 0; i < out.length; i++) out[i] = Math.exp((logits[i] - logits[best]) / temperature);
  normalize(out);
  if ((topK !== null && topK < out.length) || topP < 1) keepLikeliest(out, topK ?? out.length, topP);
  return out;
}

/** Index of the largest logit, the first of equal ones. */
export function likeliest(logits: ArrayLike<number>): number {
  let best = 0;
  for (let i = 0; i < logits.length; i++) {
    if (Number.isNaN(logits[i]) || logits[i] === Number.POSITIVE_INFINITY) refuse(i, logits[i]);
    if (logits[i] > logits[best]) best = i;
  }
  if (logits.length === 0 || logits[best] === Number.NEGATIVE_INFINITY) refuse(best, logits[best]);
  return best;
}

const refuse = (at: number, found: number | undefined): never =>
  fail({ code: 'run/logits', message: `expected a finite logit to choose by, found ${found} for token ${at}` });

/** Zeroes all but the likeliest `k`, and of those all but the first that reach `p` together. */
function keepLikeliest(probabilities: Float64Array, k: number, p: number): void {
  // Of equal ones the first: one choice everywhere.
  const order = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a] || a - b);
  const within = order.slice(0, k);
  const total = within.reduce((sum, i) => sum + probabilities[i], 0);
  let reached = 0;
  let kept = 0;
  while (kept < within.length && (kept === 0 || reached < p * total)) reached += probabilities[within[kept++]];
  for (const i of order.slice(kept)) probabilities[i] = 0;
  normalize(probabilities);
}

function normalize(weights: Float64Array): void {
  let sum = 0;
  for (const w of weights) sum += w;
  for (let i = 0; i < weights.length; i++) weights[i] /= sum;
}

/** A token drawn from probabilities that add up to 1. No number is drawn where only one token is possible. */
export function draw(probabilities: Float64Array, random: Random): number {
  let last = probabilities.findIndex((p) => p > 0);
  if (probabilities[last] === 1) return last;
  let left = random();
  for (let i = last; i < probabilities.length; i++) {
    if (probabilities[i] === 0) continue;
    last = i;
    left -= probabilities[i];
    if (left < 0) break;
  }
  return last;
}
