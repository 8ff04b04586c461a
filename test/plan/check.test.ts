import { beforeAll, describe, expect, test } from 'vitest';
import { checkPlanJson } from '../../src/plan/check.ts';
import { MAX_FINDINGS } from '../../src/plan/findings.ts';
import type { Plan } from '../../src/plan/types.ts';
import { changed, type Compiled, compileTiny, GONE } from './tiny-plan.ts';

let compiled: Compiled;
let plan: Plan;
beforeAll(async () => {
  compiled = await compileTiny('tiny-llama');
  plan = compiled.json();
});

const findings = (json: unknown): string[] => checkPlanJson(json).map((d) => `${d.code} ${d.message}`);
const found = (path: string, change: (old: never) => unknown): string[] =>
  findings(changed(plan, path, (old) => change(old as never)));

test('what compile writes holds', async () => {
  expect(findings(plan)).toEqual([]);
  for (const name of ['tiny-gpt2', 'tiny-bert'] as const)
    expect(findings((await compileTiny(name, { weights: false })).json())).toEqual([]);
  // Drivers may add options.
  expect(found('/options', (old: object) => ({ ...old, quantize: { weights: 'i8' } }))).toEqual([]);
});

/** Every rule of the schema's kinds: where, what is put there, what is said. */
const FORM: readonly [path: string, value: unknown, said: string][] = [
  [
    '/schema',
    'wafc.plan/2',
    'plan/range /schema: expected "wafc.plan/1", found "wafc.plan/2" (Version of this format)',
  ],
  ['/model/ops', GONE, "plan/missing-key /model: expected key 'ops', found none (Ops of the graph)"],
  ['/model/op', 1, 'plan/unknown-key /model: expected no key "op" here; did you mean \'ops\'?'],
  ['/mode/batch', '1', 'plan/type /mode/batch: expected integer, found "1" (Sequences at once)'],
  ['/mode/batch', 1.5, 'plan/type /mode/batch: expected integer, found 1.5 (Sequences at once)'],
  ['/mode/batch', 0, 'plan/range /mode/batch: expected at least 1, found 0 (Sequences at once)'],
  ['/mode/batch', 1e9, 'plan/range /mode/batch: expected at most 65536, found 1000000000 (Sequences at once)'],
  ['/model/sha256', 'abc', 'plan/range /model/sha256: expected text like ^[0-9a-f]{64}$, found "abc"'],
  ['/templates/0/program/ops/0/op', 'gemm', 'plan/range /templates/0/program/ops/0/op: expected one of embed, gemv,'],
  ['/inputs/0/role/kind', 'token', 'plan/range /inputs/0/role/kind: expected one of tokens, positions'],
  ['/regions/0/stages', [], 'plan/range /regions/0/stages: expected at least 1 entries, found []'],
  ['/stages/1/name', 'x'.repeat(5000), 'plan/range /stages/1/name: expected at most 4096 characters, found "xxx'],
  [
    '/memory/0/buffers/0/live',
    [0, 1, 2],
    'plan/range /memory/0/buffers/0/live: expected at most 2 entries, found a list of 3',
  ],
  ['/templates/0/program/tensors/0/layout/cyclic', false, 'expected true, found false (Dim 0 is dealt round-robin'],
  ['/templates/0/program/tensors/0/layout/dims/0', ['y', 'y'], 'must NOT have duplicate items'],
  [
    '/templates/0/program/tensors/0/shape/0',
    2 ** 31,
    'plan/range /templates/0/program/tensors/0/shape/0: expected at most 2147483647',
  ],
  ['/weights/bytes', 2 ** 53, 'plan/range /weights/bytes: expected at most 9007199254740991'],
  [
    '/schedule/cyclesPerStep/bound',
    Number.POSITIVE_INFINITY,
    'plan/type /schedule/cyclesPerStep/bound: expected number, found Infinity',
  ],
  ['/options/bindings', { B: 'x' }, 'plan/type /options/bindings/B: expected number, found "x"'],
  ['/target/hopCycles', -1, 'plan/range /target/hopCycles: expected at least 1, found -1'],
];
test.each(FORM)('form: %s = %j', (path, value, said) => {
  const list = found(path, () => value);
  expect(list.join('\n')).toContain(said);
});

test('target: what a target file must say holds in a plan, too', () => {
  expect(found('/target/sources/width', () => GONE)).toEqual([
    "plan/target /target: /sources: no source for width; write where the number is from, or 'assumed: why'",
  ]);
});

describe('programs', () => {
  const P = '/templates/1/program';
  const RULES: readonly [
    name: string,
    path: () => string,
    change: (old: never) => unknown,
    code: string,
    said: string,
  ][] = [
    [
      'too many cores',
      () => `${P}/shape`,
      (s: object) => ({ ...s, width: 4_000_000, height: 4_000_000 }),
      'range',
      'expected at most 4000000 cores, found 4000000 x 4000000',
    ],
    [
      'groups divide the width',
      () => `${P}/shape/groups`,
      (g: number) => g + 1,
      'range',
      'expected a divisor of the width',
    ],
    [
      'layout of another rank',
      () => `${P}/tensors/0/layout/dims`,
      (d: unknown[]) => [...d, []],
      'layout',
      'expected 2 entries as in the shape, found 3',
    ],
    [
      'axis in two dims',
      () => `${P}/tensors/0/layout/dims`,
      () => [['y'], ['y']],
      'layout',
      'expected every axis once, found y twice',
    ],
    [
      'axis in a dim and owed',
      () => `${P}/tensors/0/layout/`.slice(0, -1),
      (l: object) => ({ ...l, dims: [[], ['y']], partial: { combine: 'sum', axes: ['y'] } }),
      'layout',
      'found y twice',
    ],
    [
      'cyclic scalar',
      () => `${P}/tensors/0`,
      (t: object) => ({ ...t, shape: [], layout: { dims: [], partial: null, cyclic: true } }),
      'layout',
      'expected a tensor with rows',
    ],
    [
      'tensor beyond all matrices',
      () => `${P}/tensors/0/shape`,
      () => [2_000_000_000, 2_000_000_000],
      'range',
      'expected at most 17179869184 elements',
    ],
    [
      'tile beyond the SRAM',
      () => `${P}/tensors/0/shape`,
      () => [100_000, 32],
      'range',
      'expected tiles of at most 48128 bytes, the SRAM of a core',
    ],
    ['tensor of an op', () => `${layerOp('gemv')}/weight`, () => 99, 'index', 'tensors, found 99'],
    ['tensor in a list of an op', () => `${layerOp('all_reduce')}/inputs/0`, () => 99, 'index', 'tensors, found 99'],
    ['nullable tensor of an op', () => `${layerOp('rms_apply')}/gamma`, () => 9999, 'index', 'tensors, found 9999'],
    [
      'append to no state',
      () => `${layerOp('append')}/state`,
      () => 0,
      'index',
      'expected a tensor of role state, found 0 of role input',
    ],
    ['attend to no state', () => `${layerOp('attend')}/keys`, () => 0, 'index', 'expected a tensor of role state'],
    [
      'attend with a mask that is no state',
      () => `${layerOp('attend')}/mask`,
      () => 0,
      'index',
      'expected a tensor of role state',
    ],
    [
      'groups of heads',
      () => `${layerOp('attend')}/kvHeads`,
      () => 3,
      'range',
      'expected a divisor of the 4 heads, found 3',
    ],
    [
      'slice beyond the features',
      () => layerOp('unary'),
      (o: object) => ({ op: 'slice', x: 0, start: 0, end: 33, out: 0, node: nodeOf(o) }),
      'range',
      'expected at most the 32 features of x, found 33',
    ],
    [
      'slice backwards',
      () => layerOp('unary'),
      (o: object) => ({ op: 'slice', x: 0, start: 5, end: 4, out: 0, node: nodeOf(o) }),
      'range',
      'expected at most the end 4, found 5',
    ],
    [
      'select of no feature',
      () => layerOp('unary'),
      (o: object) => ({ op: 'select', x: 0, indices: [31, 32], out: 0, node: nodeOf(o) }),
      'range',
      '/indices/1: expected one of the 32 features of x, found 32',
    ],
    [
      'token beyond the step',
      () => layerOp('unary'),
      (o: object) => ({ op: 'token', x: 0, index: -2, out: 0, node: nodeOf(o) }),
      'range',
      'expected one of the 1 tokens of x, found -2',
    ],
    [
      'collective that loses a tensor',
      () => `${layerOp('all_reduce')}/outputs`,
      (o: unknown[]) => [...o, 0],
      'count',
      "one for each of the op's inputs",
    ],
    [
      'gather with a sum',
      () => `${layerOp('all_gather')}/combine`,
      () => 'sum',
      'range',
      'expected null for all_gather, found sum',
    ],
    [
      'reduction of nothing',
      () => `${layerOp('all_reduce')}/combine`,
      () => null,
      'range',
      'expected sum, max, softmax or moments for all_reduce',
    ],
    ['reduction along a dim', () => `${layerOp('all_reduce')}/dim`, () => 0, 'range', 'expected -1, found 0'],
    [
      'gather along no dim',
      () => `${layerOp('all_gather')}/dim`,
      () => 2,
      'range',
      'expected a dim of the inputs, below 2, found 2',
    ],
    [
      'input of another role',
      () => `${P}/inputs/0/tensor`,
      () => plan.templates[1].program.weights[0],
      'index',
      'expected a tensor of role input',
    ],
    [
      'output out of range',
      () => `${P}/outputs`,
      (o: (number | null)[]) => o.map((t) => (t === null ? null : 9999)),
      'index',
      'tensors, found 9999',
    ],
    [
      'weight of another role',
      () => `${P}/weights/0`,
      () => 0,
      'index',
      'expected a tensor of role weight, found 0 of role input',
    ],
    [
      'weight listed twice',
      () => `${P}/weights`,
      (w: number[]) => [w[1], ...w.slice(1)],
      'count',
      'expected each of the 9 tensors of role weight once, found 9 entries for 8 of them',
    ],
    [
      'sources of weights',
      () => `${P}/weightSources`,
      (w: number[]) => w.slice(1),
      'count',
      'one for each of the weights, found 8',
    ],
    ['result out of range', () => `${P}/results/0`, () => 9999, 'index', 'tensors, found 9999'],
    ['cache that is no state', () => `${P}/caches/0/state`, () => 0, 'index', 'expected a tensor of role state'],
    ['past out of range', () => `${P}/caches/0/past`, () => 77, 'index', 'inputs, found 77'],
    [
      'past that is an input of the step',
      () => `${P}/caches/0/past`,
      () => 0,
      'index',
      'expected an entry of inputs that is null, found 0',
    ],
    ['present out of range', () => `${P}/caches/0/present`, () => 77, 'index', 'outputs, found 77'],
  ];
  const nodeOf = (op: { node?: unknown }): unknown => op.node;
  test.each(RULES)('%s', (_, path, change, code, said) => {
    const list = found(path(), change);
    expect(list.join('\n')).toContain(said);
    expect(list.find((f) => f.includes(said))).toMatch(new RegExp(`^plan/${code} /templates/1/program`));
  });
});

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
    [
      'values',
      '/stages/1/values',
      (l: unknown[]) => l.slice(1),
      "plan/count /stages/1/values: expected 16 entries, one for each of the program's results, found 15",
    ],
    [
      'weights',
      '/stages/1/weights',
      (l: unknown[]) => l.slice(1),
      "plan/count /stages/1/weights: expected 9 entries, one for each of the program's weights, found 8",
    ],
    [
      'weight of another type',
      '/stages/1/weights/1/dtype',
      () => 'i32',
      'plan/blob /stages/1/weights/1: expected the elements of f32[32,32] of the program, found i32[32,32]',
    ],
    [
      'weight of another shape',
      '/stages/1/weights/1/shape',
      () => [32, 31],
      'plan/blob /stages/1/weights/1/bytes: expected the 3968 of f32[32,31], found 4096',
    ],
    [
      'blob beyond the file',
      '/stages/3/weights/1/offset',
      () => 1e9,
      'plan/blob /stages/3/weights/1: expected a range inside the',
    ],
    [
      'blobs overlap',
      '/stages/1/weights/1/offset',
      (n: number) => n + 4,
      'plan/blob /stages/1/weights/2/offset: expected at least',
    ],
    [
      'one blob without digest',
      '/stages/1/weights/1/sha256',
      () => null,
      'plan/blob /stages/1/weights/1/sha256: expected a digest as for the whole file, found null',
    ],
    ['memory of every region', '/memory', (l: unknown[]) => l.slice(1), 'plan/count /memory: expected'],
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
      '/schedule/perTemplate/0/1/op',
      () => 0,
      'plan/index /schedule/perTemplate/0/1/op: expected every op once, found 0 again',
    ],
    [
      'no such op',
      '/schedule/perTemplate/0/1/op',
      () => 50,
      'plan/index /schedule/perTemplate/0/1/op: expected the index of one of 2 ops, found 50',
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
    const json = { ...plan, templates: bare, schedule: { ...plan.schedule, perTemplate } };
    expect(findings(json)).toEqual(['plan/count /templates: expected at least one op in the programs, found none']);
  });
});

test('at most 20 findings are reported, each once', () => {
  const json = { ...plan, stages: plan.stages.map((s) => ({ ...s, values: s.values.map(() => 7) })) };
  expect(json.stages.flatMap((s) => s.values).length).toBeGreaterThan(MAX_FINDINGS);
  const list = findings(json);
  expect(list).toHaveLength(MAX_FINDINGS);
  expect(new Set(list).size).toBe(MAX_FINDINGS);
});
