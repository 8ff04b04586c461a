import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { buildModel, CONFIGS } from '../../models/configs.ts';
import { compile, verify } from '../../src/index.ts';
import { writeModel } from '../../src/onnx/writer.ts';

const folder = mkdtempSync(join(tmpdir(), 'wafc-batch-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('an encoder of batch 3 verifies op by op: positions are one row for all sequences', async () => {
  const model = join(folder, 'bert.onnx');
  const plan = join(folder, 'plan');
  const config = CONFIGS.get('tiny-bert') ?? expect.fail('no tiny-bert');
  writeModel(model, buildModel(config));
  const compiled = await compile({ model, target: 'mesh-16x16', output: plan, batch: 3, context: 12 });
  expect(compiled.exitCode).toBe(0);
  const verified = await verify({ plan });
  expect(verified.json()).toMatchObject({ passed: true, firstOut: null });
  expect(verified.exitCode).toBe(0);
});
