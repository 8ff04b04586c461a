/**
 * The exports of decoders: compiled for a small mesh, one of each kind for `wse3` too, verified on paper and core by core, and their
 * golden cases run through both executors.
 */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { PlacedModel } from '../../src/exec/placed/model.ts';
import { runGraph } from '../../src/exec/reference.ts';
import { loadModel } from '../../src/driver/compile.ts';
import { readPlan } from '../../src/plan/read.ts';
import { temporaryFolder } from '../onnx/support.ts';
import { compiled, expectClose, goldenOf, hasShared, MUST_SHOW, SHARED, verified } from './support.ts';

const folder = temporaryFolder();

describe.skipIf(!hasShared)('exports', () => {
  describe.each(MUST_SHOW.map((m) => [m.model, m] as const))('%s', (model, { mesh, wafer }) => {
    test.each(wafer ? [mesh, 'wse3'] : [mesh])('%s', async (target) => {
      const plan = join(folder, target);
      const report = await compiled({ model: join(SHARED, model), target, output: plan });
      expect(report).toMatchObject({ fits: true, mode: 'stream', target: { name: target } });
      expect(report.sram.peakBytes).toBeLessThanOrEqual(report.sram.limitBytes);
      await verified({ plan });
    });

    test.each(goldenOf(model))('golden $name', async ({ name, inputs, outputs }) => {
      const batch = [...inputs.values()][0].shape[0];
      const plan = join(folder, 'golden');
      await compiled({ model: join(SHARED, model), target: mesh, output: plan, batch, context: 40 });
      const placed = new PlacedModel(readPlan(plan), plan);
      // A merged export's use_cache_branch is bound: it is no input of the plan.
      const feeds = new Map([...inputs].filter(([input]) => placed.plan.inputs.some((io) => io.name === input)));
      const found = placed.call(feeds);
      const { graph } = loadModel(join(SHARED, model), batch, {});
      const reference = runGraph(graph, feeds);
      expectClose(reference, outputs, `${name}: reference vs onnxruntime`, 1e-4);
      expectClose(found, outputs, `${name}: placed vs onnxruntime`, 1e-4);
      expectClose(found, reference, `${name}: placed vs reference`, 1e-5);
    });
  });

  test('an image transformer is placed from its first norm on', async () => {
    const plan = join(folder, 'vit');
    const model = join(SHARED, 'models/exports/hfzoo/vit.ts17.onnx');
    expect(await compiled({ model, target: 'mesh-16x16', output: plan })).toMatchObject({ fits: true, context: 17 });
    await verified({ plan });
  });
});
