/** schemas/plan.schema.json and src/plan/types.ts say the same: the compiler holds one side of each sample, ajv the other. */
import { beforeAll, describe, expect, test } from 'vitest';
import type { IoRole } from '../../src/ir/facts.ts';
import type { CollectiveOp, ProgramOp } from '../../src/ir/program.ts';
import { checkPlanJson } from '../../src/plan/check.ts';
import type { Plan } from '../../src/plan/types.ts';
import { changed, compileTiny, GONE, pathsOf } from './tiny-plan.ts';

let plan: Plan;
beforeAll(async () => {
  plan = (await compileTiny('tiny-llama')).json();
});

const findings = (json: unknown): string[] => checkPlanJson(json).map((d) => `${d.code} ${d.message}`);

type OpNamed<K extends ProgramOp['op']> = K extends CollectiveOp['op']
  ? CollectiveOp & { op: K; node: string }
  : Extract<ProgramOp, { op: K }>;

/** One of each, over tensors 0 (an input, [1, 32]) and `S` (a state): an op that is added to the union must be added here. */
function samples(S: number): { readonly [K in ProgramOp['op']]: OpNamed<K> } {
  const [x, out, node] = [0, 0, '/node'];
  return {
    embed: { op: 'embed', table: 0, index: 0, out, node },
    gemv: { op: 'gemv', x, weight: 0, out, node },
    unary: { op: 'unary', fn: 'leaky_relu', x, value: 0.1, out, node },
    binary: { op: 'binary', fn: 'min', a: 0, b: 0, out, node },
    sum_squares: { op: 'sum_squares', x, groups: 1, out, node },
    moments: { op: 'moments', x, groups: 1, out, node },
    rms_apply: { op: 'rms_apply', x, sums: 0, gamma: null, groups: 1, epsilon: 1e-5, out, node },
    rms_scale: { op: 'rms_scale', x, sums: 0, features: 64, epsilon: 1e-5, out, node },
    layer_apply: { op: 'layer_apply', x, moments: 0, gamma: 0, beta: null, groups: 1, epsilon: 0, out, node },
    rope: { op: 'rope', x, cos: 0, sin: 0, heads: 4, interleaved: true, out, node },
    append: { op: 'append', x, state: S, node },
    attend: {
      op: 'attend',
      q: 0,
      keys: S,
      values: S,
      mask: null,
      heads: 4,
      kvHeads: 2,
      scale: 0.5,
      causal: false,
      window: 8,
      softcap: 30,
      stats: 0,
      out,
      node,
    },
    softmax_finish: { op: 'softmax_finish', o: 0, stats: 0, heads: 4, out, node },
    shard: { op: 'shard', x, out, node },
    slice: { op: 'slice', x, start: 0, end: 32, out, node },
    select: { op: 'select', x, indices: [31, 0], out, node },
    concat: { op: 'concat', parts: [0, 0], out, node },
    token: { op: 'token', x, index: -1, out, node },
    all_reduce: { op: 'all_reduce', axes: ['y'], combine: 'max', dim: -1, inputs: [0], outputs: [0], node },
    reduce_scatter: {
      op: 'reduce_scatter',
      axes: ['xo', 'xi'],
      combine: 'moments',
      dim: 1,
      inputs: [0],
      outputs: [0],
      node,
    },
    all_gather: { op: 'all_gather', axes: ['xi'], combine: null, dim: 1, inputs: [0], outputs: [0], node },
  };
}

describe('ops', () => {
  const OPS = Object.keys(samples(0));
  test.each(OPS)('%s', (name) => {
    const { tensors, ops } = plan.templates[1].program;
    const op = new Map(Object.entries(samples(tensors.findIndex((t) => t.role === 'state')))).get(name);
    if (op === undefined) throw new Error(`no sample of ${name}`);
    const at = `/templates/1/program/ops/${ops.length - 1}`;
    expect(findings(changed(plan, at, () => op))).toEqual([]);
    expect(findings(changed(plan, at, () => ({ ...op, more: 1 })))).toHaveLength(1);
    for (const key of Object.keys(op))
      expect(
        findings(
          changed(
            changed(plan, at, () => op),
            `${at}/${key}`,
            () => GONE,
          ),
        ),
        `without ${key}`,
      ).not.toEqual([]);
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
const OPTIONAL = new Set(['cyclic', 'algorithm']);

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
