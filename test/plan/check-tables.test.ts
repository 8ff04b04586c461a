import { beforeAll, describe, expect, test } from 'vitest';
import { checkPlanJson } from '../../src/plan/check.ts';
import type { Plan } from '../../src/plan/types.ts';
import { changed, compileTiny } from './tiny-plan.ts';

let plan: Plan;
beforeAll(async () => {
  plan = (await compileTiny('tiny-llama')).json();
});

const findings = (json: unknown): string[] => checkPlanJson(json).map((d) => `${d.code} ${d.message}`);
const found = (path: string, change: (old: never) => unknown): string[] =>
  findings(changed(plan, path, (old) => change(old as never)));

describe('tables', () => {
  const RULES: readonly [name: string, path: string, change: (old: never) => unknown, said: string][] = [
    [
      'name twice',
      '/stages/1/name',
      () => 's0',
      'plan/range /stages/1/name: expected a name of its own, found "s0" again',
    ],
    [
      'no such template',
      '/stages/1/template',
      () => 9,
      'plan/index /stages/1/template: expected the index of one of 3 templates, found 9',
    ],
    ['no such region', '/stages/1/region', () => 99, 'plan/index /stages/1/region: expected the index of one of'],
    [
      'region of other stages',
      '/regions/0/stages',
      () => [1],
      'plan/index /stages/0/region: expected the region that lists stage 0, found 0',
    ],
    [
      'no such stage',
      '/regions/0/stages/0',
      () => 44,
      'plan/index /regions/0/stages/0: expected the index of one of 4 stages, found 44',
    ],
    [
      'inputs',
      '/stages/1/inputs',
      (l: unknown[]) => l.slice(1),
      "plan/count /stages/1/inputs: expected 6 entries, one for each of the program's inputs, found 5",
    ],
    [
      'outputs',
      '/stages/1/outputs',
      (l: unknown[]) => l.slice(1),
      "plan/count /stages/1/outputs: expected 3 entries, one for each of the program's outputs, found 2",
    ],
    ['values', '/stages/1/values', (l: unknown[]) => l.slice(1), 'plan/count /stages/1/values: expected '],
    ['weights', '/stages/1/weights', (l: unknown[]) => l.slice(1), 'plan/count /stages/1/weights: expected '],
    [
      'weight of another type',
      '/stages/1/weights/1/dtype',
      () => 'i32',
      'plan/blob /stages/1/weights/1: expected the elements of f32[',
    ],
    [
      'weight of another shape',
      '/stages/1/weights/1/shape',
      () => [3],
      'plan/blob /stages/1/weights/1/bytes: expected the 12 of f32[3], found ',
    ],
    [
      'blob beyond the file',
      '/stages/3/weights/1/offset',
      () => 1e9,
      'plan/blob /stages/3/weights/1: expected a range inside the',
    ],
    ['blobs overlap', '/stages/1/weights/2/offset', () => 4, 'where /stages/0/weights/0 ends, found 4'],
    [
      'one blob without digest',
      '/stages/1/weights/1/sha256',
      () => null,
      'plan/blob /stages/1/weights/1/sha256: expected a digest as for the whole file, found null',
    ],
    ['memory of every region', '/memory', (l: unknown[]) => [...l, l[0]], 'plan/count /memory: expected'],
    [
      'lifetime backwards',
      '/memory/0/buffers/0/live',
      () => [5, 2],
      'plan/range /memory/0/buffers/0/live: expected first <= last, found 5, 2',
    ],
    [
      'schedule of every template',
      '/schedule/perTemplate',
      (l: unknown[]) => l.slice(1),
      'plan/count /schedule/perTemplate: expected 3 entries, one for each of the templates, found 2',
    ],
    [
      'schedule of every op',
      '/schedule/perTemplate/0',
      (l: unknown[]) => l.slice(1),
      "one for each of the program's ops",
    ],
    [
      'op scheduled twice',
      '/schedule/perTemplate/1/1/op',
      () => 0,
      'plan/index /schedule/perTemplate/1/1/op: expected every op once, found 0 again',
    ],
    [
      'no such op',
      '/schedule/perTemplate/1/1/op',
      () => 50,
      'plan/index /schedule/perTemplate/1/1/op: expected the index of one of ',
    ],
    [
      'send from nowhere',
      '/schedule/sends',
      () => [{ from: 90, to: 0, cycles: 0, bound: 0 }],
      'plan/index /schedule/sends/0/from',
    ],
    [
      'send to nowhere',
      '/schedule/sends',
      () => [{ from: 0, to: 90, cycles: 0, bound: 0 }],
      'plan/index /schedule/sends/0/to',
    ],
    [
      'input of an unknown dim',
      '/inputs/0/shape/1',
      () => 'Q + 1',
      'plan/range /inputs/0/shape/1: expected an expression of B, S and P, found "Q + 1"',
    ],
  ];
  test.each(RULES)('%s', (_, path, change, said) => {
    expect(found(path, change).join('\n')).toContain(said);
  });
  test('programs without any op', () => {
    const bare = plan.templates.map((t) => ({ ...t, program: { ...t.program, ops: [] } }));
    const perTemplate = plan.templates.map(() => []);
    const classes = plan.routing.classes.map((c) => ({ ...c, phases: c.phases.map(() => []) }));
    const routing = { ...plan.routing, classes };
    const json = { ...plan, templates: bare, routing, schedule: { ...plan.schedule, perTemplate } };
    expect(findings(json)).toEqual(['plan/count /templates: expected at least one op in the programs, found none']);
  });
});
