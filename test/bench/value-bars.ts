/** Bars of compression.md section 1.19 on what flows through the model: keys and values (B16), activations (B17, B18). */
import quantizeCache from '../../passes/2-compress/quantize-cache.ts';
import quantizeWeights from '../../passes/2-compress/quantize-weights.ts';
import roundActivations from '../../passes/2-compress/round-activations.ts';
import scaleInputs from '../../passes/2-compress/scale-inputs.ts';
import type { Comparison } from '../../src/eval/evaluate.ts';
import { type Step, step } from '../../src/pass/pass.ts';

interface Bar {
  readonly name: string;
  readonly what: string;
  readonly steps: readonly Step[];
  readonly isTwin?: boolean;
  readonly asked: string;
  holds(found: Comparison, of: (name: string) => Comparison): boolean;
}

const kv = (format: string): Step => step(quantizeCache, { format });
const w8 = step(quantizeWeights, { format: 'int8', head: 'keep' });
const a8 = (format: string): readonly Step[] => [w8, step(roundActivations, { format })];
const smooth = step(scaleInputs, { method: 'smooth', alpha: 0.5 });
const under =
  (limit: number) =>
  ({ perplexity }: Comparison): boolean =>
    perplexity <= limit;

export const VALUE_BARS: readonly Bar[] = [
  { name: 'B16 int8', what: 'kv int8', steps: [kv('int8')], asked: '<= 4.84', holds: under(4.84) },
  { name: 'B16 kivi', what: 'kv int4:kivi32', steps: [kv('int4:kivi32')], asked: '<= 5.02', holds: under(5.02) },
  { name: 'B17 token', what: 'int8, act int8:token', steps: a8('int8:token'), asked: '<= 4.85', holds: under(4.85) },
  {
    name: 'B17 p99.99',
    what: 'int8, act int8:static:p99.99',
    steps: a8('int8:static:p99.99'),
    asked: '<= 4.87',
    holds: under(4.87),
  },
  {
    name: 'B17 max',
    what: 'int8, act int8:static:max',
    steps: a8('int8:static:max'),
    asked: 'token < p99.99 < max',
    holds: ({ perplexity }, of) =>
      of('B17 token').perplexity < of('B17 p99.99').perplexity && of('B17 p99.99').perplexity < perplexity,
  },
  {
    name: 'mse',
    what: 'int8, act int8:static:mse',
    steps: a8('int8:static:mse'),
    asked: '4.856 +- 1 %',
    holds: ({ perplexity }) => Math.abs(perplexity / 4.856 - 1) < 0.01,
  },
  {
    name: 'entropy',
    what: 'int8, act int8:static:entropy',
    steps: a8('int8:static:entropy'),
    asked: '-',
    holds: () => true,
  },
  {
    name: 'B18 max',
    what: 'twin, int8, act int8:static:max',
    isTwin: true,
    steps: a8('int8:static:max'),
    asked: '> 10',
    holds: ({ perplexity }) => perplexity > 10,
  },
  {
    name: 'B18',
    what: 'twin, smooth .5, the same',
    isTwin: true,
    steps: [smooth, ...a8('int8:static:max')],
    asked: '<= 4.95',
    holds: under(4.95),
  },
];
