/** Bar B23 of compression.md section 1.19: int4 and int8 by layer within 5 bits a weight, chosen by divergence, beside three random choices. */
import quantizeWeights from '../../passes/2-compress/quantize-weights.ts';
import { widen } from '../../src/compress/mixed.ts';
import { type Comparison, Evaluator } from '../../src/eval/evaluate.ts';
import { linearsOf } from '../../src/eval/linears.ts';
import { elementCount } from '../../src/ir/constant.ts';
import type { Program } from '../../src/ir/facts.ts';
import { QUIET, runPasses } from '../../src/pass/manager.ts';
import { type Step, step } from '../../src/pass/pass.ts';
import { randomBelow, randomStream } from '../../src/util/rng.ts';

const FORMATS = ['int4:g32:asym', 'int8:g32:asym'] as const;
/** Of the codes alone, as the page counts them: all int4 is an average of 4. */
const BITS = [4, 8] as const;
const MOST_BITS = 5;
/** Windows of calibration that divergence is measured on. */
const WINDOWS = 2;

const stepOf = (overrides: readonly string[]): Step =>
  step(quantizeWeights, { format: 'keep', head: 'keep', overrides });

interface Layers {
  readonly names: readonly string[];
  readonly sizes: readonly number[];
}
function layersOf({ graph }: Program): Layers {
  const linears = linearsOf(graph).filter(({ isHead }) => !isHead);
  return { names: linears.map(({ name }) => name), sizes: linears.map(({ constant }) => elementCount(constant.shape)) };
}

const isWithin = ({ sizes }: Layers, rungs: readonly number[]): boolean =>
  sizes.reduce((n, size, i) => n + size * BITS[rungs[i]], 0) <= MOST_BITS * sizes.reduce((a, b) => a + b);

const overridesOf = ({ names }: Layers, rungs: readonly number[]): string[] =>
  names.map((name, i) => `${name}=${FORMATS[rungs[i]]}`);

function chosen(dense: Program): Step[] {
  const layers = layersOf(dense);
  const evaluator = new Evaluator(dense, (dense.calibration ?? []).slice(0, WINDOWS));
  const units = layers.names.map((name, i) => ({
    costs: FORMATS.map((format, rung) => ({
      bytes: (layers.sizes[i] * BITS[rung]) / 8,
      harm: evaluator.compare(runPasses(dense, [stepOf([`${name}=${format}`])], QUIET)).klMean,
    })),
  }));
  return [stepOf(overridesOf(layers, widen(units, (rungs) => isWithin(layers, rungs)).rungs))];
}

/** Layers in a random order, each widened while there is room. */
function drawn(dense: Program, seed: number): Step[] {
  const layers = layersOf(dense);
  const random = randomStream(seed, 'mixed');
  const left = layers.names.map((_, i) => i);
  let rungs = layers.names.map(() => 0);
  while (left.length > 0) {
    const [i] = left.splice(randomBelow(random, left.length), 1);
    const wider = rungs.with(i, 1);
    if (isWithin(layers, wider)) rungs = wider;
  }
  return [stepOf(overridesOf(layers, rungs))];
}

const RANDOM = ['B23 random 1', 'B23 random 2', 'B23 random 3'];

export const MIXED_BARS = [
  ...RANDOM.map((name, i) => ({
    name,
    what: 'int4/int8 at 5 bits, at random',
    steps: [],
    choose: (dense: Program) => drawn(dense, i + 1),
    asked: '-',
    holds: () => true,
  })),
  {
    name: 'B23',
    what: 'int4/int8 at 5 bits, by KL',
    steps: [],
    choose: chosen,
    asked: '< mean of random',
    holds: ({ perplexity }: Comparison, of: (name: string) => Comparison) =>
      perplexity < RANDOM.reduce((n, name) => n + of(name).perplexity, 0) / RANDOM.length,
  },
];
