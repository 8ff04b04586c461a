/** The range of deferred norms: f16 activations are made small before they are multiplied unnormalised. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { buildModel, CONFIGS, type ModelConfig } from '../../models/configs.ts';
import type { RegionProgram } from '../../src/ir/program.ts';
import { halvings } from '../../src/map/deferred.ts';
import { mapStage } from '../../src/map/stage-mapper.ts';
import { writeModel } from '../../src/onnx/writer.ts';
import { staged } from '../placed/support.ts';

const folder = mkdtempSync(join(tmpdir(), 'wafc-deferred-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function layerOf(dtype: ModelConfig['dtype'], disable: readonly string[] = []): RegionProgram {
  const config = CONFIGS.get('tiny-llama') ?? expect.fail('no tiny-llama');
  const path = join(folder, `${dtype}.onnx`);
  writeModel(path, buildModel({ ...config, dtype, opset: 17 } as ModelConfig));
  const { graph, roles, stages, target } = staged(path, 1, 16);
  const layer = stages.templates.find(({ name }) => name === 'layer') ?? expect.fail('no layer');
  const shape = { width: 4, height: 4, groups: 1 };
  return mapStage(graph, roles, stages.stages[layer.exemplar], shape, { tokens: 1, context: 16 }, target, { disable });
}

const scalesOf = ({ ops }: RegionProgram): number[] =>
  ops.flatMap((op) => (op.op === 'unary' && op.fn === 'scale' ? [op.value] : []));
const epsilonsOf = ({ ops }: RegionProgram): number[] =>
  ops.flatMap((op) => (op.op === 'rms_scale' ? [op.epsilon] : []));

test('f16 activations are halved, and epsilon with them', () => {
  const [narrow, wide] = [layerOf('f16'), layerOf('f32')];
  expect(scalesOf(wide)).toEqual([]);
  expect(epsilonsOf(wide).length).toBeGreaterThan(0);
  const { tensors, ops } = narrow;
  const features = ops.flatMap((op) => (op.op === 'rms_scale' ? [op.features] : []));
  expect(features.length).toBeGreaterThan(0);
  expect(scalesOf(narrow)).toEqual(features.map((n) => 2 ** -halvings(n)));
  for (const [i, epsilon] of epsilonsOf(narrow).entries())
    expect(epsilon).toBe(epsilonsOf(wide)[i] * 4 ** -halvings(features[i]));
  // What is squared and multiplied is the halved activation.
  for (const op of ops) if (op.op === 'sum_squares') expect(tensors[op.x].name).toMatch(/small$/);
  expect(scalesOf(layerOf('f16', ['defer-rmsnorm']))).toEqual([]);
});

test('no f16 activation makes a sum that f16 cannot hold, for columns no longer than 2', () => {
  for (const features of [1, 64, 4096, 5120, 8192])
    expect(2 ** -halvings(features) * Math.sqrt(features) * 2).toBeLessThanOrEqual(1);
});
