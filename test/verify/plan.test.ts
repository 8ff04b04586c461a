import { createHash } from 'node:crypto';
import { cpSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import type { Plan } from '../../src/plan/types.ts';
import { checkPlan } from '../../src/verify/plan.ts';
import { type Compiled, compileTiny, temporaryFolder } from '../plan/tiny-plan.ts';

let compiled: Compiled;
let plan: Plan;
beforeAll(async () => {
  compiled = await compileTiny('tiny-llama', { target: 'mesh-16x16', regions: 2 });
  plan = compiled.json();
});

/** A copy of the plan's folder, changed. */
function folderWith(change: (weights: string) => void): string {
  const folder = temporaryFolder();
  cpSync(compiled.folder, folder, { recursive: true });
  change(join(folder, 'weights.bin'));
  return folder;
}
const flip = (at: number) => (path: string) => {
  const bytes = readFileSync(path);
  bytes[at] ^= 1;
  writeFileSync(path, bytes);
};
const found = (p: Plan, folder: string, hashes = true): string[] =>
  checkPlan(p, folder, { hashes }).map((d) => `${d.code} ${d.message}`);

test('what compile writes holds', () => expect(checkPlan(plan, compiled.folder)).toEqual([]));

test('W1: weights.bin is missing', () => {
  const folder = folderWith((path) => rmSync(path));
  expect(found(plan, folder)).toEqual([
    `verify/W1 expected a file of ${plan.weights.bytes} bytes at ${join(folder, 'weights.bin')}, found none`,
  ]);
});

test('W1: a plan made without weights needs none', async () => {
  const bare = await compileTiny('tiny-llama', { weights: false });
  expect(bare.json().weights.sha256).toBeNull();
  expect(found(bare.json(), bare.folder)).toEqual([]);
});

test('W2: weights.bin is cut short', () => {
  const folder = folderWith((path) => truncateSync(path, plan.weights.bytes - 1));
  expect(found(plan, folder)[0]).toContain(`verify/W2 expected ${plan.weights.bytes} bytes`);
});

test('W3 and W4: one bit of a weight', () => {
  const { weights, name } = plan.stages[2];
  const blob = weights[3];
  const list = found(plan, folderWith(flip(blob.offset + blob.bytes - 1)));
  expect(list).toHaveLength(2);
  expect(list[0]).toContain(`verify/W3 weight ${blob.name} of stage ${name}: SHA-256 ${blob.sha256}, found `);
  expect(list[1]).toContain(`verify/W4 the whole file: SHA-256 ${plan.weights.sha256}, found `);
});

test('W4: one bit that belongs to no weight', () => {
  const longer = Buffer.concat([readFileSync(join(compiled.folder, 'weights.bin')), Buffer.alloc(64)]);
  const weights = { ...plan.weights, bytes: longer.length, sha256: createHash('sha256').update(longer).digest('hex') };
  const folder = folderWith((path) => writeFileSync(path, longer));
  expect(found({ ...plan, weights }, folder)).toEqual([]);
  flip(longer.length - 5)(join(folder, 'weights.bin'));
  expect(found({ ...plan, weights }, folder).map((f) => f.slice(0, 9))).toEqual(['verify/W4']);
});

test('W3: a weight without digest', () => {
  const [first, ...rest] = plan.stages;
  const stages = [{ ...first, weights: first.weights.map((b) => ({ ...b, sha256: null })) }, ...rest];
  expect(found({ ...plan, stages }, compiled.folder)[0]).toContain('no SHA-256 in the plan, found ');
});

test('digests are skipped when asked', () => {
  expect(found(plan, folderWith(flip(0)), false)).toEqual([]);
});

test('placement and fit are recomputed', () => {
  const codes = (p: Plan): string[] => [
    ...new Set(checkPlan(p, compiled.folder, { hashes: false }).map((d) => d.code)),
  ];
  const regions = plan.regions.map((r, i) => (i === 0 ? { ...r, x: plan.target.width } : r));
  expect(codes({ ...plan, regions })).toContain('verify/P1');
  const last = plan.regions.length - 1;
  expect(last).toBeGreaterThan(0);
  const swapped = plan.stages.map((s, i) => (i === 0 ? { ...s, region: last } : s));
  expect(codes({ ...plan, stages: swapped })).toContain('verify/P6');
  const memory = plan.memory.map((m) => ({ ...m, peakBytes: m.peakBytes + 2 }));
  expect(codes({ ...plan, memory })).toEqual(['verify/F4']);
});
