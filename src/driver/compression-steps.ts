/** What the compression options of `wafc compile` mean: passes to run after the graph passes, in the order of compression.md section 6.1. */
import quantizeCache from '../../passes/2-compress/quantize-cache.ts';
import quantizeWeights from '../../passes/2-compress/quantize-weights.ts';
import roundActivations from '../../passes/2-compress/round-activations.ts';
import scaleInputs from '../../passes/2-compress/scale-inputs.ts';
import { readFormat } from '../compress/assign.ts';
import { type Algorithm, ALGORITHMS, isAlgorithm, needsInputs } from '../compress/weights.ts';
import { fail } from '../diag/diagnostic.ts';
import { type Step, step } from '../pass/pass.ts';
import type { CompressionArguments } from './contract.ts';
import { pruningNeedsInputs, pruningSteps } from './pruning.ts';

/** What else the passes have to know. */
export interface Known {
  /** Whether weights have values: a plan without any is made from shapes alone. */
  readonly values: boolean;
  /** `layer=format` that `--quantize auto` has chosen. */
  readonly chosen?: readonly string[];
}

/** The passes that compression options ask for, in order (section 6.1): scales, pruning, codes, caches. @throws Diagnosed for words that are none. */
export const compressionSteps = (
  args: CompressionArguments,
  known: Known = { values: true },
  grids?: readonly string[],
): readonly Step[] => [...smoothSteps(args, known), ...weightSteps(args, known, grids), ...valueSteps(args, known)];

/** Activations, keys and values last: their scales are those of the compressed model. */
export const valueSteps = ({ act, kv, exclude }: CompressionArguments, { values }: Known): readonly Step[] => [
  ...(act === undefined ? [] : [step(roundActivations, { format: act, exclude, shapesOnly: !values })]),
  ...(kv === undefined ? [] : [step(quantizeCache, { format: kv, shapesOnly: !values })]),
];

/** SmoothQuant before anything is rounded. */
function smoothSteps(args: CompressionArguments, { values }: Known): readonly Step[] {
  const alpha = smoothing(args);
  return alpha > 0 && values ? [step(scaleInputs, { method: 'smooth', alpha })] : [];
}

const SMOOTHING = 0.5;
/** Fewer bits than 8 have scales of their own for the weights; smoothing would only spread those. */
function smoothing({ smooth, act, calib, quantize = 'keep' }: CompressionArguments): number {
  const isWide = /^(keep|fp16|int8|fp8|mxint8|mxfp8)/.test(quantize);
  return smooth ?? (act !== undefined && calib !== undefined && isWide ? SMOOTHING : 0);
}

/** Whether a pass looks at inputs of layers, or at keys and values. */
export function readsInputs(args: CompressionArguments): boolean {
  const { quantize, kv, act = '' } = args;
  if (quantize === 'auto' || kv === 'int8' || act.startsWith('int8:static') || smoothing(args) > 0) return true;
  return (quantize !== undefined && needsInputs(algorithmOf(args))) || pruningNeedsInputs(args);
}

function weightSteps(
  args: CompressionArguments,
  { values, chosen = [] }: Known,
  grids?: readonly string[],
): readonly Step[] {
  const { quantize = 'keep' } = args;
  if (quantize === 'keep' || quantize === 'auto') return layerSteps(args, chosen, values, grids);
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
    ...pruningSteps(args, { values, grids, formats }),
    step(quantizeWeights, { ...rules, algorithm, shapesOnly: !values }),
  ];
}

/** The steps of formats by layer: those that `--quantize auto` has chosen, and `--override`. */
function layerSteps(
  args: CompressionArguments,
  chosen: readonly string[],
  values: boolean,
  grids?: readonly string[],
): readonly Step[] {
  const formats = { format: 'keep', head: 'keep', overrides: [...chosen, ...args.override] };
  if (formats.overrides.length === 0) return pruningSteps(args, { values, grids });
  const rules = { ...formats, exclude: args.exclude };
  const algorithm = algorithmOf({ ...args, quantize: 'int4' });
  return [
    ...(algorithm.includes('awq') && values ? [step(scaleInputs, rules)] : []),
    ...pruningSteps(args, { values, grids, formats }),
    step(quantizeWeights, { ...rules, algorithm, shapesOnly: !values }),
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

export const wantsCompression = ({
  quantize = 'keep',
  prune = [],
  override,
  ...asked
}: CompressionArguments): boolean =>
  quantize !== 'keep' ||
  prune.length + override.length > 0 ||
  [asked.kv, asked.act, asked.smooth, asked.evaluate].some((option) => option !== undefined);
