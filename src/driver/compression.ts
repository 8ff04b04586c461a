/** Texts that compression looks at, and what is measured of it. */
import { basename } from 'node:path';
import { type Diagnostic, fail, type Report } from '../diag/diagnostic.ts';
import { readCorpus, windowsOf } from '../eval/corpus.ts';
import { Evaluator } from '../eval/evaluate.ts';
import { sampleWindows } from '../eval/sample.ts';
import type { Model } from '../eval/sequence.ts';
import { openTokenizer } from '../tokenizer/open.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { algorithmOf, readsInputs } from './compression-steps.ts';
import type { CompressionArguments, Effects } from './contract.ts';
import type { Quality } from './quality.ts';

/** Windows of calibration, and tokens of each (compression.md section 6.2). */
const WINDOWS = 128;
const WINDOW_TOKENS = 512;
/** Windows of evaluation: the protocol of compression.md section 5.2. */
const EVALUATED_WINDOWS = 32;
/** Fewer calibration tokens say little about the inputs of a layer. */
const FEW_TOKENS = 2000;

/** Windows to calibrate on, if any step looks at inputs. @throws Diagnosed for texts that cannot be read. */
export function calibrationFor(
  args: CompressionArguments,
  lift: () => Model,
  effects: Effects,
  report: Report,
  context = WINDOW_TOKENS,
): readonly Int32Array[] | undefined {
  const { calib } = args;
  if (calib === undefined || !readsInputs(args)) return undefined;
  const model = lift();
  const tokenizer = tokenizerFor(args, model);
  const sampled = /^self(?::(.*))?$/.exec(calib);
  const windows =
    sampled === null
      ? windowsOf(readCorpus(calib, tokenizer), Math.min(context, WINDOW_TOKENS) - 1, WINDOWS)
      : sampleWindows(model, {
          ...selfOptions(sampled[1] ?? ''),
          begin: tokenizer?.begin ?? null,
          progress: (done, all) => effects.progress.update(done, all, 'sampling'),
        });
  effects.progress.clear();
  const tokens = windows.reduce((n, ids) => n + ids.length, 0);
  if (tokens < FEW_TOKENS)
    report({
      code: 'compress/few-tokens',
      severity: 'warning',
      message: `${calib} has ${tokens} tokens; fewer than ${FEW_TOKENS} say little about the inputs of a layer`,
    });
  return windows;
}

/** `n=128,len=512,seed=0`, any of them. */
function selfOptions(text: string): { count: number; length: number; seed: number } {
  const found = new Map<string, number>([
    ['n', WINDOWS],
    ['len', WINDOW_TOKENS],
    ['seed', 0],
  ]);
  for (const part of text.split(',').filter((p) => p !== '')) {
    const [, name, value] = /^(n|len|seed)=(\d{1,9})$/.exec(part) ?? [];
    if (name === undefined || (name !== 'seed' && Number(value) < 2))
      fail({ code: 'eval/corpus', message: `self:${text}: expected n=, len= and seed=, found '${part}'` });
    found.set(name, Number(value));
  }
  return { count: found.get('n') ?? 0, length: found.get('len') ?? 0, seed: found.get('seed') ?? 0 };
}

const tokenizerFor = ({ tokenizer }: CompressionArguments, { graph }: Model): Tokenizer | undefined => {
  const vocabulary = graph.types[graph.outputs[0]]?.shape.at(-1);
  return tokenizer === undefined
    ? undefined
    : openTokenizer(tokenizer, typeof vocabulary === 'number' ? vocabulary : undefined);
};

/** What evaluation found; part of the plan and of its report. */
export interface Measured {
  readonly text: string;
  /** How: figures of another protocol are not comparable. */
  readonly protocol: { readonly predictions: number; readonly window: number; readonly tokenizer: string };
  readonly dense: number;
  readonly compressed: number;
  readonly klMean: number;
  readonly klP99: number;
  readonly agreement: number;
  readonly cosine: number;
}

/** Runs both models on the text of `--eval`, in windows of at most the plan's context when one was asked for. @throws Diagnosed for texts that cannot be read and models without logits. */
export function measure(
  args: CompressionArguments,
  dense: Model,
  compressed: Model,
  context = WINDOW_TOKENS,
): Measured | undefined {
  const { evaluate } = args;
  if (evaluate === undefined) return undefined;
  const tokenizer = tokenizerFor(args, dense);
  const windows = windowsOf(readCorpus(evaluate, tokenizer), Math.min(context, WINDOW_TOKENS), EVALUATED_WINDOWS);
  const found = new Evaluator(dense, windows).compare(compressed);
  return {
    text: basename(evaluate),
    protocol: {
      predictions: found.predictions,
      window: windows[0].length - 1,
      tokenizer: tokenizer === undefined ? 'none' : `${tokenizer.kind} (${tokenizer.size} words)`,
    },
    dense: found.dense.perplexity,
    compressed: found.perplexity,
    klMean: found.klMean,
    klP99: found.klP99,
    agreement: found.agreement,
    cosine: found.cosine,
  };
}

/** The diagnostic of a gate that is not met. */
export function gateFor({ maxPpl }: CompressionArguments, measured: Measured | undefined): Diagnostic | undefined {
  if (maxPpl === undefined || measured === undefined) return undefined;
  const rise = (measured.compressed / measured.dense - 1) * 100;
  if (rise <= maxPpl) return undefined;
  const { predictions, window, tokenizer } = measured.protocol;
  return {
    code: 'compress/max-ppl',
    severity: 'error',
    message: `perplexity rises by ${rise.toFixed(2)} %, from ${measured.dense.toFixed(4)} to ${measured.compressed.toFixed(4)}; at most ${maxPpl} % is allowed`,
    notes: [`measured on ${measured.text}: ${predictions} predictions in windows of ${window}, tokenizer ${tokenizer}`],
  };
}

/** What a plan says of how it was compressed, of what that did to its matrices, and of what was measured. */
export function compressionFacts(
  args: CompressionArguments,
  measured: Measured | undefined,
  quality: Quality | undefined,
): Readonly<Record<string, unknown>> {
  const { quantize = 'keep', prune, calib, budget, kv = 'keep', act = 'keep', override, exclude } = args;
  return {
    quantize,
    algorithm: quantize === 'keep' && override.length === 0 ? null : algorithmOf(args),
    ...(prune === undefined ? {} : { prune }),
    calibration: calib === undefined ? null : basename(calib),
    kv,
    act,
    ...(budget === undefined ? {} : { budget }),
    override,
    exclude,
    measured: measured ?? null,
    sqnrDb: quality?.sqnrDb ?? null,
    matrices: quality?.matrices ?? null,
  };
}
