/** report.json, in both its forms, is what schemas/report.schema.json says. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect, test } from 'vitest';
import { packageRoot } from '../../src/util/version.ts';
import { changed, compileTiny, GONE, pathsOf } from './tiny-plan.ts';

const schema: object = JSON.parse(readFileSync(join(packageRoot(), 'schemas', 'report.schema.json'), 'utf8'));
const validate = new Ajv2020({ allErrors: true, strict: true, strictRequired: false, strictTypes: false }).compile(
  schema,
);
const faults = (report: unknown): string[] =>
  validate(report) ? [] : (validate.errors ?? []).map((e) => `${e.instancePath} ${e.message}`);

test.each(['tiny-llama', 'tiny-bert'] as const)('of a plan of %s', async (name) => {
  const { folder, answer } = await compileTiny(name);
  const file: unknown = JSON.parse(readFileSync(join(folder, 'report.json'), 'utf8'));
  expect(faults(file)).toEqual([]);
  expect(JSON.parse(JSON.stringify(answer.json()))).toEqual(file);
});

test('of a model that does not fit', async () => {
  const { answer } = await compileTiny('tiny-llama', { target: 'mesh-4x4', context: 100_000, weights: false });
  expect(answer.exitCode).toBe(1);
  const report: unknown = JSON.parse(JSON.stringify(answer.json()));
  expect(faults(report)).toEqual([]);
  expect(faults(changed(report, '/sram', () => ({})))).not.toEqual([]);
  expect(faults(changed(report, '/shortfall', () => null))).toContain('/shortfall must be object');
});

test('every key is needed, and no other is known', async () => {
  const { answer } = await compileTiny('tiny-llama');
  const report: unknown = JSON.parse(JSON.stringify(answer.json()));
  const keys = [...pathsOf(report, () => true)].filter((p) => /\/[A-Za-z]\w*$/.test(p) && !p.startsWith('/options/'));
  expect(keys.length).toBeGreaterThan(50);
  expect(keys.filter((path) => faults(changed(report, path, () => GONE)).length === 0)).toEqual([]);
  const records = keys.filter((path) => /^\/(?:sram|model|target|decode|prefill|collectives|compression)$/.test(path));
  expect(records).toHaveLength(7);
  for (const path of records)
    expect(faults(changed(report, `${path}/more`, () => 1)), `more in ${path}`).not.toEqual([]);
  expect(faults(changed(report, '/fits', () => false))).not.toEqual([]);
});
