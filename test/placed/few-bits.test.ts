/** Keys, values and activations in few bits: codes on the cores are those of the graph, the past is encoded as it comes, and what is computed with them agrees. */
import { describe, expect, test } from 'vitest';
import { CONFIGS } from '../../models/configs.ts';
import quantizeCache from '../../passes/2-compress/quantize-cache.ts';
import roundActivations from '../../passes/2-compress/round-activations.ts';
import { compare } from '../../src/exec/compare.ts';
import { randomFeeds } from '../../src/exec/feeds-for.ts';
import { runGraph } from '../../src/exec/reference.ts';
import { parseDim } from '../../src/ir/dim.ts';
import { step } from '../../src/pass/pass.ts';
import { buildModel, withPlaced } from './support.ts';

const config = (name: string, more: object): Parameters<typeof buildModel>[0] => {
  const found = CONFIGS.get(name);
  if (found === undefined) throw new Error(name);
  return { ...found, ...more } as typeof found;
};
const calibration = [Int32Array.from({ length: 40 }, (_, i) => (i * 7) % 29)];
const CASES = [
  ['tiny-llama', { cache: true, heads: 6, kvHeads: 3, headDim: 8, hidden: 30, vocab: 31 }, [5, 7, 1], 4, 6],
  ['tiny-llama', { cache: true, heads: 4, kvHeads: 2, headDim: 40, vocab: 31 }, [6, 3, 2], 20, 37],
  ['tiny-gpt2', { cache: true, heads: 4, headDim: 8, hidden: 32, vocab: 31 }, [4, 4, 2], 3, 9],
] as const;

describe.each([
  ['kv fp16', step(quantizeCache, { format: 'fp16' })],
  ['kv int8', step(quantizeCache, { format: 'int8' })],
  ['act int8:token', step(roundActivations, { format: 'int8:token' })],
  ['act int8:static', step(roundActivations, { format: 'int8:static:mse' })],
])('%s', (what, compress) => {
  test.each(CASES)('%s %j', (name, more, [width, height, groups], sequence, past) => {
    const model = buildModel(config(name, more));
    const size = { batch: 1, context: 60, steps: [compress], calibration };
    withPlaced(model, size, [{ width, height, groups }], ({ placed, plan, tokens }) => {
      const specs = plan.inputs.map((io) => ({
        ...io,
        shape: io.shape.map((d) => (typeof d === 'number' ? d : parseDim(d))),
      }));
      const feeds = randomFeeds(specs, { batch: 1, sequence, past, vocabulary: 31, seed: 3 });
      const found = placed.call(feeds);
      for (const [output, expected] of runGraph(tokens, feeds)) {
        const of = found.get(output);
        if (of === undefined) throw new Error(output);
        // A key near the middle of two codes may become either.
        expect(compare(of, expected).maxRel).toBeLessThan(2e-2);
        const role = plan.outputs.find((io) => io.name === output)?.role.kind;
        if (role !== 'present' || !what.startsWith('kv')) continue;
        // The past is encoded by itself, bit for bit; new positions differ by the order of additions before they are rounded.
        const [, heads, length, features] = expected.shape;
        let same = 0;
        for (const [at, x] of of.data.entries()) {
          const position = Math.floor(at / features) % length;
          if (position < past) expect(x).toBe(expected.data[at]);
          else if (x === expected.data[at]) same++;
        }
        expect(same / (heads * sequence * features)).toBeGreaterThan(0.9);
      }
    });
  });
});
