/** A prompt continued as text: tokenizer in, text out piece by piece, stop texts held back until they are none. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Diagnostic, fail } from '../diag/diagnostic.ts';
import { openTokenizer } from '../tokenizer/open.ts';
import type { TextStream, Tokenizer } from '../tokenizer/tokenizer.ts';
import { checkRoom, type Decoder } from './decoder.ts';
import { type Drafting, generate, type Generated, type GenerateOptions, speculate } from './generate.ts';
import type { Sampling } from './sampling.ts';

/** What every command that generates is asked. */
export interface GenerationArguments {
  readonly prompt?: string;
  readonly ids?: readonly number[];
  readonly tokenizer?: string;
  readonly maxTokens: number;
  readonly sampling: Sampling;
  readonly seed: number;
  /** Generation ends where one of these begins. */
  readonly stop: readonly string[];
}

export interface Participants {
  readonly decoder: Decoder;
  /** Proposes `draftTokens` tokens a round, which `decoder` reviews. */
  readonly drafter?: Decoder;
  readonly draftTokens: number;
  readonly tokenizer?: Tokenizer;
  /** Words of the model, where its interface says. */
  readonly vocabulary?: number;
}

export interface Surroundings {
  /** Text as it becomes known, the prompt's first. */
  stream(text: string): void;
  /** Milliseconds. */
  now(): number;
  readonly signal?: AbortSignal;
}

export interface Continuation extends Generated {
  readonly prompt: { readonly text: string | null; readonly ids: readonly number[] };
  readonly text: string | null;
  /** Until the first token, and from there to the last. Of this machine: measured. */
  readonly seconds: { readonly first: number; readonly rest: number };
  readonly drafting: Drafting | null;
}

/**
 * The tokenizer that was asked for, else one beside the model, else bytes for a vocabulary that can be no more than that.
 * Undefined for a model that only ids can be given to.
 */
export function tokenizerFor(
  wanted: string | undefined,
  folder: string,
  vocabulary: number | undefined,
  report: (diagnostic: Diagnostic) => void,
): Tokenizer | undefined {
  if (wanted !== undefined) return openTokenizer(wanted, vocabulary);
  const beside = ['tokenizer.json', 'tokenizer.bin'].map((name) => join(folder, name)).find((path) => existsSync(path));
  if (beside !== undefined) return openTokenizer(beside, vocabulary);
  if (vocabulary === undefined || vocabulary > 256) return undefined;
  report({
    code: 'run/bytes',
    severity: 'remark',
    message: `tokens are taken for bytes: the vocabulary has ${vocabulary} words, and no tokenizer was given`,
    notes: ['say so with --tokenizer bytes, or give a file'],
  });
  return openTokenizer('bytes', vocabulary);
}

/** Continues a prompt. @throws Diagnosed `run/..`, `tokenizer/..`. */
export async function continuePrompt(
  participants: Participants,
  args: GenerationArguments,
  surroundings: Surroundings,
): Promise<Continuation> {
  const { decoder, drafter, draftTokens, tokenizer } = participants;
  const { stream, now, signal } = surroundings;
  const ids = promptIds(participants, args);
  // Before anything is shown.
  for (const each of [decoder, ...(drafter === undefined ? [] : [drafter])]) checkRoom(each, 0, ids.length);
  const promptText = args.prompt ?? tokenizer?.decode(ids) ?? null;
  const out = tokenizer === undefined ? idStream() : tokenizer.stream();
  for (const id of ids) out.push(id);
  const watch = new StopWatch(args.stop);
  let text = '';
  const show = (piece: string): void => {
    text += piece;
    stream(piece);
  };
  stream(promptText ?? ids.join(' '));
  const began = now();
  let [first, last] = [began, began];
  const options: GenerateOptions = {
    prompt: ids,
    maxTokens: args.maxTokens,
    sampling: args.sampling,
    seed: args.seed,
    ...(signal === undefined ? {} : { signal }),
    onToken(id) {
      last = now();
      if (first === began) first = last;
      if (tokenizer?.ends.includes(id)) return 'stop';
      show(watch.push(out.push(id)));
      return watch.found ? 'stop' : 'go on';
    },
  };
  const generated =
    drafter === undefined
      ? { ...(await generate(decoder, options)), drafting: null }
      : await speculate(decoder, drafter, draftTokens, options);
  if (!watch.found) show(watch.push(out.end()) + watch.rest());
  return {
    ...generated,
    prompt: { text: promptText, ids },
    text: tokenizer === undefined ? null : text,
    seconds: { first: (first - began) / 1000, rest: (last - first) / 1000 },
  };
}

function promptIds({ tokenizer, vocabulary }: Participants, { prompt, ids }: GenerationArguments): readonly number[] {
  if (prompt !== undefined && tokenizer === undefined)
    fail({
      code: 'tokenizer/missing',
      message: 'a prompt of text needs the tokenizer of the model',
      notes: ['give it with --tokenizer FILE, or the token ids themselves with --ids 1,2,3'],
    });
  const found = ids ?? tokenizer?.encode(prompt ?? '') ?? [];
  const bad = vocabulary === undefined ? undefined : found.find((id) => id >= vocabulary);
  if (bad !== undefined)
    fail({ code: 'run/ids', message: `token ${bad} is not in the model's vocabulary of ${vocabulary}` });
  if (found.length > 0) return found;
  return tokenizer?.begin === null || tokenizer === undefined ? [] : [tokenizer.begin];
}

/** Without a tokenizer ids are the text. */
const idStream = (): TextStream => ({ push: (id) => ` ${id}`, end: () => '' });

/** Passes text on up to where a stop text begins; what may be the beginning of one waits. */
class StopWatch {
  found = false;
  private readonly stops: readonly string[];
  private waiting = '';

  constructor(stops: readonly string[]) {
    this.stops = stops.filter((stop) => stop !== '');
  }

  push(text: string): string {
    this.waiting += text;
    const at = this.stops.map((stop) => this.waiting.indexOf(stop)).filter((index) => index >= 0);
    if (at.length > 0) {
      this.found = true;
      return this.take(Math.min(...at));
    }
    const longest = Math.max(0, ...this.stops.map((stop) => overlap(this.waiting, stop)));
    return this.take(this.waiting.length - longest);
  }

  rest(): string {
    return this.take(this.waiting.length);
  }

  private take(length: number): string {
    const out = this.waiting.slice(0, length);
    this.waiting = this.waiting.slice(length);
    return out;
  }
}

/** Length of the longest end of `text` that begins `stop`, and is not all of it. */
function overlap(text: string, stop: string): number {
  for (let n = Math.min(text.length, stop.length - 1); n > 0; n--) if (stop.startsWith(text.slice(-n))) return n;
  return 0;
}
