/** schemas/plan.schema.json and src/plan/types.ts say the same: the compiler holds one side of each sample, ajv the other. */
import { beforeAll, describe, expect, test } from 'vitest';
import type { IoRole } from '../../src/ir/facts.ts';
import { checkPlanJson } from '../../src/plan/check.ts';
import type { Plan } from '../../src/plan/types.ts';
import { placeFor, samples } from './op-samples.ts';
import { changed, compileTiny, GONE, pathsOf } from './tiny-plan.ts';

let plan: Plan;
beforeAll(async () => {
  plan = (await compileTiny('tiny-llama')).json();
});

const findings = (json: unknown): string[] => checkPlanJson(json).map((d) => `${d.code} ${d.message}`);

describe('ops', () => {
  test.each(Object.keys(samples(0, 0)))('%s', (name) => {
    const { A, S, path } = placeFor(plan);
    const op = new Map(Object.entries(samples(A, S))).get(name);
    if (op === undefined) throw new Error(`no sample of ${name}`);
    const json = changed(plan, path, () => op);
    expect(findings(json)).toEqual([]);
    expect(findings(changed(json, `${path}/more`, () => 1))).toHaveLength(1);
    const needless = Object.keys(op).filter(
      (key) => findings(changed(json, `${path}/${key}`, () => GONE)).length === 0,
    );
    expect(needless).toEqual([]);
  });
});

test('roles of inputs', () => {
  const roles: { readonly [K in IoRole['kind']]: Extract<IoRole, { kind: K }> } = {
    tokens: { kind: 'tokens' },
    positions: { kind: 'positions' },
    mask: { kind: 'mask' },
    past: { kind: 'past', cache: 0 },
    present: { kind: 'present', cache: 0 },
    bound: { kind: 'bound' },
    plain: { kind: 'plain' },
  };
  for (const role of Object.values(roles)) expect(findings(changed(plan, '/inputs/0/role', () => role))).toEqual([]);
});

/** Objects that are maps from names to values, not records. */
const isMap = (path: string): boolean => /^\/(?:options|target\/(?:sources|\w+PerCycle))/.test(path);
/** Keys that may be absent. */
const OPTIONAL = new Set(['cyclic', 'woven', 'algorithm', 'reset']);

/** Paths that differ in indices only are one place of the format. */
function places(json: unknown, want: (value: unknown) => boolean): string[] {
  const seen = new Map<string, string>();
  for (const path of pathsOf(json, want)) seen.set(path.replaceAll(/\/\d+(?=\/|$)/g, '/*'), path);
  return [...seen.values()].filter((path) => !isMap(path));
}
const isRecord = (value: unknown): boolean => typeof value === 'object' && value !== null && !Array.isArray(value);

test('every record refuses keys that the types do not have', () => {
  const records = places(plan, isRecord);
  expect(records.length).toBeGreaterThan(20);
  const open = records.filter((path) => findings(changed(plan, `${path}/unheardOf`, () => 1)).length === 0);
  expect(open).toEqual([]);
});

test('every key that the types have is needed', () => {
  const keys = places(plan, () => true).filter((path) => /\/[^/*\d][^/]*$/.test(path));
  expect(keys.length).toBeGreaterThan(80);
  const needless = keys.filter(
    (path) => !OPTIONAL.has(path.split('/').at(-1) ?? '') && findings(changed(plan, path, () => GONE)).length === 0,
  );
  expect(needless).toEqual([]);
});
