/** What `--prune` means: passes that run before weights are quantized, in the order of compression.md section 6.1. */
import pruneChannels from '../../passes/2-compress/prune-channels.ts';
import pruneDepth from '../../passes/2-compress/prune-depth.ts';
import pruneWeights from '../../passes/2-compress/prune-weights.ts';
import splitStages from '../../passes/3-partition/split-stages.ts';
import { estimateTile } from '../cost/sparse.ts';
import { isRefused, parsePrune, PRUNE_WORDS, type Prune, type WeightPruning } from '../compress/prune/words.ts';
import { type Diagnostic, fail } from '../diag/diagnostic.ts';
import { type Step, step } from '../pass/pass.ts';
import type { CompressionArguments } from './contract.ts';

/** Formats by layer, as quantize-weights takes them. */
export interface FormatRules {
  readonly format: string;
  readonly head: string;
  readonly overrides: readonly string[];
}
const NO_FORMATS: FormatRules = { format: 'keep', head: 'keep', overrides: [] };

/** The words of `--prune`, read. @throws Diagnosed `compress/prune` for words that are none, or that do not go together. */
export function prunesOf({ prune = [] }: CompressionArguments): readonly Prune[] {
  const prunes = prune.map((word): Prune => {
    const found = parsePrune(word);
    return isRefused(found)
      ? fail({
          code: 'compress/prune',
          message: found.problem,
          notes: [`--prune takes ${PRUNE_WORDS}; it may be repeated`],
        })
      : found;
  });
  const twice = prunes.find(({ kind }, i) => prunes.findIndex((other) => other.kind === kind) !== i);
  if (twice !== undefined)
    fail({
      code: 'compress/prune',
      message: `--prune is given twice for ${twice.kind === 'weights' ? 'single weights' : twice.kind}`,
      notes: ['one share of each kind: wanda:0.5 and ffn:0.25 go together, wanda:0.5 and 2:4 do not'],
    });
  if (prunes.length > 1 && prunes.some(({ kind }) => kind === 'auto'))
    fail({ code: 'compress/prune', message: '--prune auto chooses by itself: it goes with no other --prune' });
  return prunes;
}

const methodOf = ({ method }: WeightPruning, { calib }: CompressionArguments): NonNullable<WeightPruning['method']> =>
  method ?? (calib === undefined ? 'magnitude' : 'sparsegpt');

/** Whether a way of pruning looks at what the model computes. */
const looks = (prune: Prune, args: CompressionArguments): boolean =>
  prune.kind !== 'weights' || prune.owl || methodOf(prune, args) !== 'magnitude';

export const pruningNeedsInputs = (args: CompressionArguments): boolean =>
  prunesOf(args).some((prune) => looks(prune, args));

export interface PruningContext {
  /** Whether weights have values; none are chosen from shapes alone. */
  readonly values: boolean;
  /** What sparsegpt rounds to in the same sweep. */
  readonly formats?: FormatRules;
  /** Tiles of each layer on the cores, for `:tile`. */
  readonly grids?: readonly string[] | undefined;
}

/** What `--no-weights` makes of `--prune`. */
const PLANNED_DENSE: Diagnostic = {
  code: 'compress/no-values',
  severity: 'remark',
  message: '--prune chooses by the weights that --no-weights leaves out: the plan is that of the dense model',
};

/**
 * The passes of `--prune`, parts before single weights.
 *
 * @throws Diagnosed `compress/no-calibration` when a text is needed and there is none
 */
export function pruningSteps(
  args: CompressionArguments,
  { values, formats = NO_FORMATS, grids = [] }: PruningContext,
): readonly Step[] {
  const prunes = prunesOf(args);
  if (!values) return [];
  const blind = args.calib === undefined ? prunes.findIndex((prune) => looks(prune, args)) : -1;
  if (blind >= 0)
    fail({
      code: 'compress/no-calibration',
      message: `--prune ${args.prune?.[blind]} needs inputs to look at`,
      notes: ['give a text with --calib, or prune by magnitude'],
    });
  const parts = prunes.toSorted((a, b) => ORDER[a.kind] - ORDER[b.kind]).flatMap((prune) => partSteps(prune, args));
  const weights = prunes.find((prune) => prune.kind === 'weights');
  if (weights === undefined) return parts;
  const { structure, sparsity, keep, of, owl } = weights;
  const method = methodOf(weights, args);
  return [
    ...parts,
    step(pruneWeights, {
      method,
      structure,
      sparsity,
      owl,
      exclude: args.exclude,
      ...(structure === 'n:m' ? { keep, of } : {}),
      ...(structure === 'tile' ? { grids } : {}),
      ...(method === 'sparsegpt' ? formats : {}),
    }),
  ];
}

/** What there is to say of `--prune` before anything is done. */
export const pruningRemarks = (args: CompressionArguments, values: boolean): Diagnostic[] => [
  ...(values || args.prune === undefined ? [] : [PLANNED_DENSE]),
  ...sparseWarning(args),
];

/** Bits of a weight in int4 with groups of 32, scales and zero points: what half of the weights in 8 bits do not beat (compression.md section 4.2). */
const INT4_BITS = 4.625;
const SIDE = 128;

/** Warns when the weights that are left take more room than all of them in 4 bits. */
export function sparseWarning(args: CompressionArguments): Diagnostic[] {
  const weights = prunesOf(args).find((prune) => prune.kind === 'weights');
  const bits = /^(int[2-8]|fp8|mx)/.test(args.quantize ?? '')
    ? /^(int[5-8]|fp8|mxfp8|mxint8)/.test(args.quantize ?? '')
      ? 8
      : 4
    : 16;
  if (weights === undefined || bits < 8 || args.quantize === 'auto') return [];
  const run = weights.structure === 'n:m' ? { keep: weights.keep, of: weights.of } : null;
  const { bytes } = estimateTile(SIDE, SIDE, bits, { share: 1 - weights.sparsity, spread: 0, run });
  const taken = Math.min(bits, (bytes * 8) / SIDE ** 2);
  if (taken < INT4_BITS) return [];
  return [
    {
      code: 'compress/int4-wins',
      severity: 'warning',
      message: `${((1 - weights.sparsity) * 100).toFixed(0)} % of the weights in ${bits} bits take ${taken.toFixed(2)} bits a weight; all of them in int4 take ${INT4_BITS}, and lose less`,
      notes: ['--quantize int4 for room; sparse weights are for models that were trained sparse'],
    },
  ];
}

/** Layers before what is in them; single weights last. */
const ORDER = { depth: 0, heads: 1, reap: 2, ffn: 3, weights: 4, auto: 5 } as const;

/** What changes shapes. */
function partSteps(prune: Prune, { exclude }: CompressionArguments): readonly Step[] {
  switch (prune.kind) {
    case 'ffn':
      return [step(pruneChannels, { share: prune.share, repair: prune.greedy ? 'greedy' : 'squares', exclude })];
    case 'depth':
      return [step(splitStages, {}), step(pruneDepth, { layers: prune.count })];
    case 'heads':
    case 'reap':
    case 'auto':
      return fail({
        code: 'compress/unsupported',
        message: {
          heads: 'heads stay whole: taking groups of heads out is not there yet',
          reap: 'experts are not taken out: mixtures of experts are run, but not placed yet',
          auto: '--prune auto is not there yet: say what goes',
        }[prune.kind],
        notes: ['ffn, depth, wanda, sparsegpt and magnitude are there'],
      });
    case 'weights':
      return [];
  }
}
