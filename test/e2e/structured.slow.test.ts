/** Shapes that really change: channels and layers taken out, in the plan and in the exported ONNX, of models with gates and with biases. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { loadModel } from '../../src/driver/compile.ts';
import { NO_COMPRESSION } from '../../src/driver/contract.ts';
import { verify } from '../../src/driver/verify.ts';
import { SILENT } from '../../src/index.ts';
import { elementCount } from '../../src/ir/constant.ts';
import { compileTiny, temporaryFolder } from '../plan/tiny-plan.ts';

const calib = 'self:n=2,len=24';

test.each(['tiny-llama', 'tiny-gpt2'] as const)('%s: a quarter of the channels and a layer less', async (name) => {
  const dense = (await compileTiny(name)).json();
  const exportOnnx = join(temporaryFolder(), 'plain.onnx');
  const prune = ['ffn:0.25', 'depth:1'];
  const pruned = await compileTiny(name, { compression: { ...NO_COMPRESSION, prune, calib, exportOnnx } });
  const plan = pruned.json();
  expect(plan.stages.length).toBeLessThan(dense.stages.length);
  const sides = (p: typeof plan): number[] =>
    p.templates.flatMap(({ program }) => program.tensors.flatMap((t) => (t.role === 'weight' ? t.shape : [])));
  const layer = dense.templates.find((t) => t.name === 'layer');
  const width = Math.max(...(layer?.program.tensors ?? []).flatMap((t) => (t.role === 'weight' ? t.shape : [])));
  expect(sides(plan)).not.toContain(width);
  expect(sides(plan)).toContain(width * 0.75);
  expect(plan.outputs.length).toBe(dense.outputs.length - 2);
  expect((await verify({ plan: pruned.folder, seed: 0 }, SILENT)).exitCode).toBe(0);
  const parameters = (path: string): number =>
    [...loadModel(path, 1, {}).graph.constants.values()].reduce((n, c) => n + elementCount(c.shape), 0);
  expect(parameters(exportOnnx)).toBeLessThan(parameters(pruned.model) * 0.9);
});

test('what is not there is refused', async () => {
  const compression = { ...NO_COMPRESSION, calib };
  await expect(compileTiny('tiny-llama', { compression: { ...compression, prune: ['depth:9'] } })).rejects.toThrow(
    /at least one stays/,
  );
  await expect(compileTiny('tiny-llama', { compression: { ...compression, prune: ['reap:0.5'] } })).rejects.toThrow(
    /experts/,
  );
});
