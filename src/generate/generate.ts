/** Generates tokens, one decoder alone or a drafter and a reviewer. */
import { setImmediate } from 'node:timers/promises';
import { fail } from '../diag/diagnostic.ts';
import { type Random, randomStream } from '../util/rng.ts';
import type { Decoder } from './decoder.ts';
import { distribution, draw, GREEDY, type Sampling } from './sampling.ts';

export interface GenerateOptions {
  readonly prompt: readonly number[];
  readonly maxTokens: number;
  readonly sampling: Sampling;
  readonly seed: number;
  /** Told of every token; `stop` ends generation after it. */
  onToken(id: number): 'go on' | 'stop';
  /** Ends generation before the next token. */
  readonly signal?: AbortSignal;
}

export interface Generated {
  readonly ids: readonly number[];
  readonly reason: 'max-tokens' | 'stop' | 'context' | 'interrupted';
}

/** How drafting went: every round the reviewer is asked once. */
export interface Drafting {
  readonly rounds: number;
  readonly drafted: number;
  readonly accepted: number;
}

/** Tokens after the prompt, by one decoder. @throws Diagnosed `run/..`. */
export async function generate(decoder: Decoder, options: GenerateOptions): Promise<Generated> {
  const { maxTokens, sampling, seed } = options;
  const random = randomStream(seed, 'sample');
  const ids = new Sequence(options, decoder.context);
  let next = options.prompt;
  while (await ids.goesOn(maxTokens)) {
    const logits = await decoder.extend(next);
    const id = draw(distribution(logits.row(next.length - 1), sampling), random);
    ids.add(id);
    next = [id];
  }
  return ids.result();
}

/** The `count` likeliest tokens after the prompt, or as many as the context takes. */
export async function generateGreedy(
  decoder: Decoder,
  prompt: readonly number[],
  count: number,
): Promise<readonly number[]> {
  const options: GenerateOptions = { prompt, maxTokens: count, sampling: GREEDY, seed: 0, onToken: () => 'go on' };
  return (await generate(decoder, options)).ids;
}

/**
 * Speculative decoding: the drafter proposes `count` tokens, the reviewer sees them all at once and keeps those it would have given
 * itself. A token x of the drafter (probability q) is kept with probability min(1, p(x) / q(x)), else one is drawn from what p has more
 * than q: the tokens are distributed as the reviewer's own (Leviathan, Kalman, Matias: Fast Inference from Transformers via Speculative
 * Decoding, ICML 2023). Greedy, that is: the reviewer's own tokens.
 */
export async function speculate(
  reviewer: Decoder,
  drafter: Decoder,
  count: number,
  options: GenerateOptions,
): Promise<Generated & { readonly drafting: Drafting }> {
  const { maxTokens, sampling, seed } = options;
  const [sample, guess, accept] = ['sample', 'draft', 'accept'].map((name) => randomStream(seed, name));
  const ids = new Sequence(options, Math.min(reviewer.context, drafter.context));
  let [rounds, drafted, accepted] = [0, 0, 0];
  while (await ids.goesOn(maxTokens)) {
    // One token of a round is the reviewer's own, so that all drafts of the last one can still be wanted.
    const wanted = Math.min(count, maxTokens - ids.generated - 1, ids.room - 1);
    const drafts = await propose(drafter, ids.all, wanted, sampling, guess);
    const pending = ids.all.slice(reviewer.length);
    const logits = await reviewer.extend([...pending, ...drafts.map(({ id }) => id)]);
    if (drafts.length > 0 && drafts[0].q.length !== logits.width) refuseVocabularies(drafts[0].q.length, logits.width);
    rounds++;
    drafted += drafts.length;
    for (let i = 0; i <= drafts.length && !ids.stopped; i++) {
      const p = distribution(logits.row(pending.length - 1 + i), sampling);
      const draft = drafts[i];
      if (draft !== undefined && isKept(p[draft.id], draft.q[draft.id], accept)) {
        accepted++;
        ids.add(draft.id);
        continue;
      }
      ids.add(draw(draft === undefined ? p : excess(p, draft.q), sample));
      break;
    }
    // The last token of a round was drawn, not fed.
    const known = ids.all.length - 1;
    if (reviewer.length > known) reviewer.rewind(known);
    if (drafter.length > known) drafter.rewind(known);
  }
  return { ...ids.result(), drafting: { rounds, drafted, accepted } };
}

/** @throws Diagnosed `run/draft` */
export const refuseVocabularies = (drafter: number, reviewer: number): never =>
  fail({
    code: 'run/draft',
    message: `the drafter has ${drafter} words, the reviewer ${reviewer}`,
    notes: ['both must be trained with one vocabulary'],
  });

interface Draft {
  readonly id: number;
  /** What it was drawn from. */
  readonly q: Float64Array;
}

async function propose(
  drafter: Decoder,
  ids: readonly number[],
  count: number,
  sampling: Sampling,
  random: Random,
): Promise<Draft[]> {
  const drafts: Draft[] = [];
  let next = ids.slice(drafter.length);
  while (drafts.length < count) {
    const logits = await drafter.extend(next);
    const q = distribution(logits.row(next.length - 1), sampling);
    const id = draw(q, random);
    drafts.push({ id, q });
    next = [id];
  }
  return drafts;
}

/** No number is drawn where the answer is certain. */
const isKept = (p: number, q: number, random: Random): boolean => p >= q || (p > 0 && random() < p / q);

/** max(0, p - q), as probabilities. */
function excess(p: Float64Array, q: Float64Array): Float64Array {
  const out = p.map((value, i) => Math.max(0, value - q[i]));
  const sum = out.reduce((a, b) => a + b, 0);
  return sum > 0 ? out.map((value) => value / sum) : p;
}

/** The tokens so far, and why there are no more. */
class Sequence {
  readonly all: number[];
  private readonly options: GenerateOptions;
  private readonly context: number;
  private reason: Generated['reason'] = 'max-tokens';
  stopped = false;

  constructor(options: GenerateOptions, context: number) {
    if (options.prompt.length === 0)
      fail({
        code: 'run/prompt',
        message: 'the prompt is empty, and no token begins a sequence',
        notes: ['give text with --prompt or --file, or token ids with --ids'],
      });
    this.options = options;
    this.context = context;
    this.all = [...options.prompt];
  }

  get generated(): number {
    return this.all.length - this.options.prompt.length;
  }

  /** Tokens that the context still takes. */
  get room(): number {
    return this.context - this.all.length + 1;
  }

  add(id: number): void {
    this.all.push(id);
    if (this.options.onToken(id) === 'stop') this.end('stop');
  }

  /** Between tokens signals are heard. */
  async goesOn(maxTokens: number): Promise<boolean> {
    await setImmediate();
    if (this.options.signal?.aborted === true) this.end('interrupted');
    else if (this.generated >= maxTokens) this.end('max-tokens');
    else if (this.generated > 0 && this.room < 1) this.end('context');
    return !this.stopped;
  }

  private end(reason: Generated['reason']): void {
    if (!this.stopped) this.reason = reason;
    this.stopped = true;
  }

  result(): Generated {
    return { ids: this.all.slice(this.options.prompt.length), reason: this.reason };
  }
}
