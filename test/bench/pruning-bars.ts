/** Bars B13-B15 and B25 of compression.md section 1.19: masks and structure; head and embedding dense. */
import pruneChannels from '../../passes/2-compress/prune-channels.ts';
import pruneWeights from '../../passes/2-compress/prune-weights.ts';
import type { Comparison } from '../../src/eval/evaluate.ts';
import { type Step, step } from '../../src/pass/pass.ts';

export interface PruningBar {
  readonly name: string;
  readonly what: string;
  readonly steps: readonly Step[];
  /** What the page asks for. */
  readonly asked: string;
  holds(found: Comparison, of: (name: string) => Comparison): boolean;
}

type Method = 'magnitude' | 'wanda' | 'sparsegpt';
/** Sets as the page measured them. */
const STRUCTURES = { magnitude: 'layer', wanda: 'row', sparsegpt: 'layer' } as const;

const prune = (method: Method, sparsity: number, more: Partial<typeof pruneWeights.options> = {}): Step =>
  step(pruneWeights, { method, structure: STRUCTURES[method], sparsity, ...more });

/** SparseGPT <= Wanda < magnitude. */
function ordered(share: number, limit: number): PruningBar[] {
  const name = (method: Method): string => `B13 ${share * 100} ${method}`;
  return (['magnitude', 'wanda', 'sparsegpt'] as const).map((method) => ({
    name: name(method),
    what: `${method} ${share * 100} %`,
    steps: [prune(method, share)],
    asked:
      method === 'magnitude'
        ? '> wanda'
        : method === 'wanda'
          ? '< magnitude'
          : `<= wanda${Number.isFinite(limit) ? `, <= ${limit}` : ''}`,
    holds: ({ perplexity }, of) =>
      method === 'magnitude' ||
      (method === 'wanda'
        ? perplexity < of(name('magnitude')).perplexity
        : perplexity <= of(name('wanda')).perplexity && perplexity <= limit),
  }));
}

const runs = (method: Method): Step => prune(method, 0.5, { structure: 'n:m', keep: 2, of: 4 });

export const PRUNING_BARS: readonly PruningBar[] = [
  ...ordered(0.2, 5.08),
  ...ordered(0.3, 6.05),
  ...ordered(0.5, Number.POSITIVE_INFINITY),
  { name: 'B14 magnitude', what: 'magnitude 2:4', steps: [runs('magnitude')], asked: '> wanda', holds: () => true },
  {
    name: 'B14 wanda',
    what: 'wanda 2:4',
    steps: [runs('wanda')],
    asked: '< magnitude',
    holds: (c, of) => c.perplexity < of('B14 magnitude').perplexity,
  },
  {
    name: 'B14 sparsegpt',
    what: 'sparsegpt 2:4',
    steps: [runs('sparsegpt')],
    asked: '< wanda',
    holds: (c, of) => c.perplexity < of('B14 wanda').perplexity,
  },
  {
    name: 'B15',
    what: 'sparsegpt 30 % + int8, one sweep',
    steps: [prune('sparsegpt', 0.3, { format: 'int8' })],
    asked: '<= B13 x 1.01',
    holds: (c, of) => c.perplexity <= of('B13 30 sparsegpt').perplexity * 1.01,
  },
  {
    name: 'B15 int4',
    what: 'sparsegpt 30 % + int4:g32, one sweep',
    steps: [prune('sparsegpt', 0.3, { format: 'int4' })],
    asked: '6.249 + 15 % of the rise',
    holds: (c) => c.perplexity <= c.dense.perplexity * (1 + 0.297 * 1.15),
  },
  {
    name: 'B25 zeroed',
    what: 'ffn 12.5 %, zeroed',
    steps: [step(pruneChannels, { share: 0.125, repair: 'none' })],
    asked: '-',
    holds: () => true,
  },
  {
    name: 'B25',
    what: 'ffn 12.5 %, least squares',
    steps: [step(pruneChannels, { share: 0.125 })],
    asked: '25 % of the log gap',
    holds: (c, of) => recovered(of('B25 zeroed'), c) >= 0.25,
  },
  {
    name: 'B25 greedy',
    what: 'ffn 12.5 %, one by one',
    steps: [step(pruneChannels, { share: 0.125, repair: 'greedy' })],
    asked: '< B25',
    holds: (c, of) => c.perplexity < of('B25').perplexity,
  },
];

/** Share of the logarithm of the rise that is won back. */
const recovered = (zeroed: Comparison, { perplexity, dense }: Comparison): number =>
  Math.log(zeroed.perplexity / perplexity) / Math.log(zeroed.perplexity / dense.perplexity);
