/** Greedy decoding through the placed plan, keys and values resident: the tokens of onnxruntime and of the goldens. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { PlacedModel } from '../../src/exec/placed/model.ts';
import { placedDecoder } from '../../src/generate/decoder.ts';
import { generateGreedy } from '../../src/generate/generate.ts';
import { readPlan } from '../../src/plan/read.ts';
import { temporaryFolder } from '../onnx/support.ts';
import { compiled, hasOrt, hasShared, PICO, SHARED, verified } from './support.ts';

const TOKENS = 64;
const folder = temporaryFolder();
const stories = (file: string): string => join(SHARED, 'models/exports/stories260K', file);

/** `mesh-16x16` but for the model of the demo, which runs on its wafer. */
const CASES = [
  { what: 'pico', model: join(PICO, 'decoder_with_past.onnx'), target: 'wse3', present: true },
  { what: 'pico without past', model: join(PICO, 'decoder.onnx'), target: 'mesh-8x8', present: true },
  {
    what: 'stories260K with past',
    model: stories('decoder_with_past_model.ts17.onnx'),
    target: 'mesh-16x16',
    present: hasShared,
  },
  {
    what: 'stories260K without past',
    model: stories('decoder_model.ts17.onnx'),
    target: 'mesh-16x16',
    present: hasShared,
  },
];

describe.skipIf(!hasOrt)(`${TOKENS} tokens as onnxruntime`, () => {
  for (const { what, model, target, present } of CASES) {
    test.skipIf(!present)(`${what} on ${target}`, async () => {
      const plan = join(folder, what);
      await compiled({ model, target, output: plan, context: 128 });
      const { generation, outputs } = await verified({ plan, against: 'onnxruntime', generate: TOKENS });
      expect(generation?.placed).toHaveLength(TOKENS);
      expect(new Set(generation?.placed).size).toBeGreaterThan(4); // a stuck decoder agrees with anything
      expect(generation?.onnxruntime).toEqual(generation?.placed);
      expect(generation?.reference).toEqual(generation?.placed);
      const outside = outputs.filter((o) => o.of !== 'placed vs reference');
      expect(outside.length).toBeGreaterThan(1);
      for (const { maxRel } of outside) expect(maxRel).toBeLessThanOrEqual(1e-4);
    });
  }
});

async function generate(
  model: string,
  target: string,
  prompt: readonly number[],
  count: number,
): Promise<readonly number[]> {
  const plan = join(folder, 'golden');
  await compiled({ model, target, output: plan, context: prompt.length + count });
  return generateGreedy(placedDecoder(new PlacedModel(readPlan(plan), plan)), prompt, count);
}

describe('golden tokens', () => {
  test('pico', async () => {
    const { prompt, greedy_tokens } = JSON.parse(readFileSync(join(PICO, 'golden.json'), 'utf8'));
    const bytes = [...Buffer.from(prompt, 'latin1')];
    const found = await generate(join(PICO, 'decoder_with_past.onnx'), 'mesh-8x8', bytes, greedy_tokens.length);
    expect(found).toEqual(greedy_tokens);
    expect(found.length).toBeGreaterThanOrEqual(TOKENS);
  });

  const golden: Record<string, { prompt: number[]; greedy: number[] }> = hasShared
    ? JSON.parse(readFileSync(join(SHARED, 'greedy_generation.json'), 'utf8'))
    : {};
  for (const [name, { prompt, greedy }] of Object.entries(golden)) {
    test.each(['decoder_with_past_model.ts17.onnx', 'decoder_model_merged.ts17.onnx', 'decoder_model.dynamo18.onnx'])(
      `${name} %s`,
      async (file) => {
        const after = prompt.every((t, i) => greedy[i] === t) ? greedy.slice(prompt.length) : greedy;
        const expected = after.slice(0, TOKENS);
        expect(expected).toHaveLength(TOKENS);
        expect(await generate(stories(file), 'mesh-16x16', prompt, TOKENS)).toEqual(expected);
      },
    );
  }
});
