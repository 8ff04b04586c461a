/** The same model, target and options: the same bytes in every file, also when the model lists its nodes in another order. */
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { OnnxGraph } from '../../src/onnx/model.ts';
import { openModel } from '../../src/onnx/reader.ts';
import { temporaryFolder } from '../onnx/support.ts';
import { compiled, digests, hasShared, permuteModel, PICO, SHARED } from './support.ts';

const folder = temporaryFolder();
const FILES = ['executor.ts', 'model.onnx', 'plan.json', 'report.json', 'weights.bin'];

const CASES = [
  { model: join(PICO, 'decoder_with_past.onnx'), target: 'wse3', present: true },
  ...[
    ['stories260K/decoder_model_merged.ts17.onnx', 'mesh-8x8'], // bodies of If
    ['stories260K/decoder_with_past_model.dynamo23.onnx', 'mesh-8x8'], // external data
    ['stories260K/decoder_model.dynamo18.onnx', 'mesh-16x16'],
    ['hfzoo/gpt2.ts17.onnx', 'mesh-8x8'], // fused projections
    ['hfzoo/qwen2.dynamo18.onnx', 'mesh-16x16'],
    ['hfzoo/bert.ts17.onnx', 'mesh-8x8'],
  ].map(([file, target]) => ({ model: join(SHARED, 'models/exports', file), target, present: hasShared })),
];

/** First outputs of nodes, bodies included. */
const namesOf = ({ nodes }: OnnxGraph): string[] =>
  nodes.flatMap((node) => [
    node.outputs[0],
    ...[...node.attributes.values()].flatMap((a) => (a.kind === 'graph' ? namesOf(a.value) : [])),
  ]);

describe.each(CASES)('$model', ({ model, target, present }) => {
  test.skipIf(!present)(`twice for ${target}, and in other orders of its nodes`, async () => {
    const compiledTo = async (name: string, path: string): Promise<Record<string, string>> => {
      const plan = join(folder, name);
      await compiled({ model: path, target, output: plan, context: 32 });
      const found = digests(plan);
      rmSync(plan, { recursive: true });
      return found;
    };
    const first = await compiledTo('first', model);
    expect(Object.keys(first)).toEqual(FILES);
    expect(await compiledTo('second', model)).toEqual(first);
    for (const seed of [1, 2]) {
      mkdirSync(join(folder, `${seed}`), { recursive: true });
      const other = join(folder, `${seed}`, basename(model));
      permuteModel(model, other, seed);
      const names = (path: string): string[] => namesOf(openModel(path).graph);
      expect(names(other)).not.toEqual(names(model));
      expect(names(other).sort()).toEqual(names(model).sort());
      expect(await compiledTo('permuted', other)).toEqual(first);
    }
  });
});

test('other weights, other bytes: the comparison above can fail', async () => {
  const model = join(PICO, 'decoder_with_past.onnx');
  const [a, b] = [join(folder, 'a'), join(folder, 'b')];
  await compiled({ model, target: 'mesh-8x8', output: a, context: 64 });
  await compiled({ model, target: 'mesh-8x8', output: b, context: 63 });
  expect(readFileSync(join(a, 'plan.json')).equals(readFileSync(join(b, 'plan.json')))).toBe(false);
  expect(digests(a)['weights.bin']).toBe(digests(b)['weights.bin']);
});
