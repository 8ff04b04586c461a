/** Plans of pruned models: stored without their zeros, balanced over the cores, verified from weights.bin on, and the same from a model that comes with its zeros. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { check } from '../../src/driver/check.ts';
import { compile } from '../../src/driver/compile.ts';
import { NO_COMPRESSION } from '../../src/driver/contract.ts';
import { verify } from '../../src/driver/verify.ts';
import { SILENT } from '../../src/index.ts';
import { NO_FLAGS } from '../../src/pass/flags.ts';
import { buildReport } from '../../src/report/report.ts';
import { type Compiled, compileTiny, temporaryFolder } from '../plan/tiny-plan.ts';

let pruned: Compiled;
beforeAll(async () => {
  const compression = { ...NO_COMPRESSION, prune: ['magnitude:0.5:tile'], quantize: 'int8' };
  pruned = await compileTiny('tiny-llama', { compression });
});

test('50 % of int8: the fullest core within 3 % of the mean, 5 bits a weight and its scales', async () => {
  const plan = pruned.json();
  const { compression } = buildReport(plan);
  expect(compression.sparse?.weights.length).toBeGreaterThan(5);
  for (const { ratio } of compression.sparse?.fullestOverMean ?? []) expect(ratio).toBeLessThan(1.03);
  for (const { kind, density, bytes, denseBytes } of compression.sparse?.weights ?? []) {
    expect(kind).toBe('bitmap');
    expect(density).toBeCloseTo(0.5, 1);
    expect(bytes).toBeLessThan(denseBytes);
  }
  for (const { template, weights } of plan.stages) {
    const { program } = plan.templates[template];
    for (const [w, { bytes }] of weights.entries()) {
      const { sparsity, shape } = program.tensors[program.weights[w]];
      if (sparsity === undefined) continue;
      const tiles = sparsity.tiles / plan.stages.filter((s) => s.template === template).length;
      const table = 4 * (tiles + 1);
      // A bit an element, 8 bits for half of them; sections end on even bytes, and every column of a tile has its scale.
      const elements = shape[0] * shape[1];
      expect(bytes - table).toBeGreaterThanOrEqual((elements * 5) / 8);
      expect(sparsity.bytes * tiles).toBeGreaterThanOrEqual(bytes - table);
    }
  }
  expect(pruned.answer.diagnostics.map(({ code }) => code)).toContain('fit/sparse');
});

test('the plan on paper and core by core', async () => {
  expect(check({ plan: pruned.folder }, SILENT).exitCode).toBe(0);
  const { exitCode } = await verify({ plan: pruned.folder, seed: 0 }, SILENT);
  expect(exitCode).toBe(0);
});

test('a model that comes with its zeros gives the same weights.bin', async () => {
  const folder = join(temporaryFolder(), 'again');
  const model = join(pruned.folder, 'model.onnx');
  const again = {
    model,
    target: 'mesh-8x8',
    output: folder,
    context: 32,
    bindings: {},
    objective: 'latency',
    weights: true,
    seed: 0,
    compression: NO_COMPRESSION,
    flags: NO_FLAGS,
  } as const;
  expect((await compile(again, SILENT)).exitCode).toBe(0);
  expect(readFileSync(join(folder, 'weights.bin'))).toEqual(readFileSync(join(pruned.folder, 'weights.bin')));
});

test('C4: figures of tiles that are not those of weights.bin', () => {
  const folder = temporaryFolder();
  for (const name of ['weights.bin', 'model.onnx'])
    writeFileSync(join(folder, name), readFileSync(join(pruned.folder, name)));
  const plan = readFileSync(join(pruned.folder, 'plan.json'), 'utf8');
  const broken = plan.replace(
    /("nonZeros":\{"min":)(\d+)/,
    (_, head: string, min: string) => `${head}${Number(min) - 1}`,
  );
  expect(broken).not.toBe(plan);
  writeFileSync(join(folder, 'plan.json'), broken);
  const { exitCode, diagnostics } = check({ plan: folder }, SILENT);
  expect(exitCode).toBe(3);
  expect(diagnostics.map(({ code }) => code)).toEqual(['verify/C4']);
});

test('without weights nothing is counted, and that is said', async () => {
  const compression = { ...NO_COMPRESSION, prune: ['magnitude:0.5'] };
  const { answer, json } = await compileTiny('tiny-llama', { compression, weights: false });
  expect(answer.diagnostics.map(({ code }) => code)).toContain('compress/no-values');
  expect(json().templates.flatMap(({ program }) => program.tensors.filter((t) => t.sparsity !== undefined))).toEqual(
    [],
  );
});
