/** What the compression options of `wafc compile` mean: passes to run after the graph passes, texts to look at, and what is measured. */
import { basename } from 'node:path';
import quantizeCache from '../../passes/2-compress/quantize-cache.ts';
import quantizeWeights from '../../passes/2-compress/quantize-weights.ts';
import scaleInputs from '../../passes/2-compress/scale-inputs.ts';
import { readFormat } from '../compress/assign.ts';
import { type Algorithm, ALGORITHMS, isAlgorithm, needsInputs } from '../compress/weights.ts';
import { type Diagnostic, fail, type Report } from '../diag/diagnostic.ts';
import { readCorpus, windowsOf } from '../eval/corpus.ts';
import { Evaluator } from '../eval/evaluate.ts';
import { sampleWindows } from '../eval/sample.ts';
import type { Model } from '../eval/sequence.ts';
import { type Step, step } from '../pass/pass.ts';
import { openTokenizer } from '../tokenizer/open.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import type { CompressionArguments, Effects } from './contract.ts';
import { pruningNeedsInputs, pruningSteps } from './pruning.ts';

/** Windows of calibration, and tokens of each (compression.md section 6.2). */
const WINDOWS = 128;
const WINDOW_TOKENS = 512;
/** Windows of evaluation: the protocol of compression.md section 5.2. */
const EVALUATED_WINDOWS = 32;
/** Fewer calibration tokens say little about the inputs of a layer. */
const FEW_TOKENS = 2000;

/** What else the passes have to know. */
export interface Known {
  /** Whether weights have values: a plan without any is made from shapes alone. */
  readonly values: boolean;
}

/** The passes that compression options ask for, in order (section 6.1): scales, pruning, codes, caches. @throws Diagnosed for words that are none. */
export const compressionSteps = (
  args: CompressionArguments,
  known: Known = { values: true },
  grids?: readonly string[],
): readonly Step[] => [...weightSteps(args, known, grids), ...cacheSteps(args, known)];

/** Keys and values last: their scales are those of the compressed model. */
const cacheSteps = ({ kv }: CompressionArguments, { values }: Known): readonly Step[] =>
  kv === undefined ? [] : [step(quantizeCache, { format: kv, shapesOnly: !values })];

function weightSteps(args: CompressionArguments, { values }: Known, grids?: readonly string[]): readonly Step[] {
  const { quantize } = args;
  if (quantize === undefined || quantize === 'keep' || quantize === 'auto') return pruningSteps(args, undefined, grids);
  const format = readFormat(quantize);
  const algorithm = algorithmOf(args);
  const isNarrow = format.kind === 'integer' && format.bits < 8;
  const formats = {
    format: quantize,
    // Few bits in the head cost more than anywhere else (compression.md section 6.1).
    head: isNarrow ? 'int8' : quantize,
    overrides: args.override,
  };
  const rules = { ...formats, exclude: args.exclude };
  return [
    ...(algorithm.includes('awq') && format.kind === 'integer' && values ? [step(scaleInputs, rules)] : []),
    ...pruningSteps(args, formats, grids),
    step(quantizeWeights, { ...rules, algorithm, shapesOnly: !values }),
  ];
}

/** The steps of `--quantize auto`: formats by layer. */
export function autoSteps(
  args: CompressionArguments,
  chosen: readonly string[],
  known: Known,
  grids?: readonly string[],
): readonly Step[] {
  const formats = { format: 'keep', head: 'keep', overrides: [...chosen, ...args.override] };
  if (formats.overrides.length === 0) return [...pruningSteps(args, undefined, grids), ...cacheSteps(args, known)];
  const rules = { ...formats, exclude: args.exclude };
  const algorithm = algorithmOf({ ...args, quantize: 'int4' });
  return [
    ...(algorithm.includes('awq') && known.values ? [step(scaleInputs, rules)] : []),
    ...pruningSteps(args, formats, grids),
    step(quantizeWeights, { ...rules, algorithm, shapesOnly: !known.values }),
    ...cacheSteps(args, known),
  ];
}

/** By default: gptq with a text, hqq without; nearest for 8 bits and for formats that have no search. */
export function algorithmOf({ quantize = 'keep', algo, calib }: CompressionArguments): Algorithm {
  if (algo !== undefined) {
    if (isAlgorithm(algo)) return algo;
    return fail({ code: 'compress/algorithm', message: `'${algo}' is none of ${ALGORITHMS.join(', ')}` });
  }
  const format = readFormat(quantize === 'auto' ? 'int4' : quantize);
  if (format.kind !== 'integer' || format.bits === 8) return 'rtn';
  return calib === undefined ? 'hqq' : 'gptq';
}

export const wantsCompression = ({ quantize, prune = [], kv, evaluate }: CompressionArguments): boolean =>
  (quantize !== undefined && quantize !== 'keep') || prune.length > 0 || kv !== undefined || evaluate !== undefined;

/** Windows to calibrate on, if any step looks at inputs. @throws Diagnosed for texts that cannot be read. */
export function calibrationFor(
  args: CompressionArguments,
  lift: () => Model,
  effects: Effects,
  report: Report,
  context = WINDOW_TOKENS,
): readonly Int32Array[] | undefined {
  const { calib, quantize, kv } = args;
  const quantizes = quantize !== undefined && needsInputs(algorithmOf(args));
  if (calib === undefined || !(quantizes || kv === 'int8' || pruningNeedsInputs(args))) return undefined;
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
