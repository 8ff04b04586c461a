/** The models of the repository: compiled for `wse3` and for a small mesh, verified on paper and core by core. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { PlacedModel } from '../../src/exec/placed/model.ts';
import { runGraph } from '../../src/exec/reference.ts';
import { loadModel } from '../../src/driver/compile.ts';
import { readPlan } from '../../src/plan/read.ts';
import { readNpy } from '../../src/tensor/npy.ts';
import { type Tensor, zeros } from '../../src/tensor/tensor.ts';
import { temporaryFolder } from '../onnx/support.ts';
import { compiled, expectClose, PICO, verified } from './support.ts';

const folder = temporaryFolder();

describe('models of the repository', () => {
  for (const name of ['decoder_with_past', 'decoder', 'reviewer_with_past']) {
    test.each([name === 'reviewer_with_past' ? 'mesh-16x16' : 'mesh-8x8', 'wse3'])(`${name} on %s`, async (target) => {
      const plan = join(folder, `${name}-${target}`);
      const report = await compiled({ model: join(PICO, `${name}.onnx`), target, output: plan });
      expect(report).toMatchObject({ fits: true, mode: 'stream', target: { name: target } });
      await verified({ plan });
    });
  }
});

test.each(['decoder', 'decoder_with_past'])('%s: golden logits of the repository', async (name) => {
  const [ids, logits] = ['golden_input_ids.npy', 'golden_logits.npy'].map((file) => readNpy(join(PICO, file)));
  const plan = join(folder, 'pico-golden');
  const model = join(PICO, `${name}.onnx`);
  await compiled({ model, target: 'mesh-16x16', output: plan, context: ids.shape[1] });
  const placed = new PlacedModel(readPlan(plan), plan);
  const feeds = new Map<string, Tensor>();
  for (const { name: input, role, shape, dtype } of placed.plan.inputs) {
    if (role.kind === 'tokens') feeds.set(input, ids);
    else if (role.kind === 'mask') feeds.set(input, { ...ids, data: ids.data.map(() => 1) });
    else if (role.kind === 'positions') feeds.set(input, { ...ids, data: ids.data.map((_, i) => i) });
    else feeds.set(input, zeros(dtype, [1, Number(shape[1]), 0, Number(shape[3])]));
  }
  const reference = runGraph(loadModel(model, 1, {}).graph, feeds);
  const golden = new Map([['logits', logits]]);
  expectClose(reference, golden, 'reference vs golden', 1e-4);
  expectClose(placed.call(feeds), golden, 'placed vs golden', 1e-4);
});
