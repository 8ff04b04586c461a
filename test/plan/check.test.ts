import { beforeAll, expect, test } from 'vitest';
import { checkPlanJson } from '../../src/plan/check.ts';
import { MAX_FINDINGS } from '../../src/plan/findings.ts';
import type { Plan } from '../../src/plan/types.ts';
import { placeFor, samples } from './op-samples.ts';
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

/** A sample op with changed fields: what is said of it. */
const OP_RULES: readonly [name: string, op: keyof ReturnType<typeof samples>, change: object, said: string][] = [
  ['tensor', 'gemv', { weights: [99_999] }, 'plan/index AT/weights/0: expected the index of one of'],
  ['tensor in a list', 'all_reduce', { inputs: [99_999] }, 'plan/index AT/inputs/0: expected the index of one of'],
  ['nullable tensor', 'rms_apply', { gamma: 99_999 }, 'plan/index AT/gamma: expected the index of one of'],
  ['no state', 'append', { state: 'A' }, 'plan/index AT/state: expected a tensor of role state, found A of role input'],
  ['keys that are no state', 'attend', { keys: 'A' }, 'plan/index AT/keys: expected a tensor of role state'],
  ['values that are no state', 'attend', { values: 'A' }, 'plan/index AT/values: expected a tensor of role state'],
  ['mask that is no state', 'attend', { mask: 'A' }, 'plan/index AT/mask: expected a tensor of role state'],
  ['groups of heads', 'attend', { kvHeads: 3 }, 'plan/range AT/kvHeads: expected a divisor of the 4 heads, found 3'],
  ['beyond the features', 'slice', { end: 33 }, 'plan/range AT/end: expected at most the 32 features of x, found 33'],
  ['backwards', 'slice', { start: 5, end: 4 }, 'plan/range AT/start: expected at most the end 4, found 5'],
  [
    'no feature',
    'select',
    { indices: [31, 32] },
    'plan/range AT/indices/1: expected one of the 32 features of x, found 32',
  ],
  ['beyond the step', 'token', { index: -2 }, 'plan/range AT/index: expected one of the 1 tokens of x, found -2'],
  [
    'a tensor is lost',
    'all_gather',
    { outputs: ['A', 'A'] },
    "plan/count AT/outputs: expected 1 entries, one for each of the op's inputs, found 2",
  ],
  [
    'gather with a sum',
    'all_gather',
    { combine: 'sum' },
    'plan/range AT/combine: expected null for all_gather, found sum',
  ],
  [
    'reduction of nothing',
    'all_reduce',
    { combine: null },
    'plan/range AT/combine: expected sum, max, softmax or moments for all_reduce, found null',
  ],
  ['reduction along a dim', 'all_reduce', { dim: 0 }, 'plan/range AT/dim: expected -1, found 0'],
  [
    'gather along no dim',
    'all_gather',
    { dim: 2 },
    'plan/range AT/dim: expected a dim of the inputs, below 2, found 2',
  ],
  [
    'scatter along no dim',
    'reduce_scatter',
    { dim: -1 },
    'plan/range AT/dim: expected a dim of the inputs, below 2, found -1',
  ],
];
test.each(OP_RULES)('op: %s', (_, name, change, said) => {
  const { A, S, path } = placeFor(plan);
  const own: unknown = JSON.parse(JSON.stringify(change).replaceAll('"A"', String(A)));
  const list = found(path, () => ({ ...samples(A, S)[name], ...Object(own) }));
  expect(list).toHaveLength(1);
  expect(list[0]).toContain(said.replace('AT', path).replace('found A', `found ${A}`));
});

/** Under the program of a layer; `A` is an activation of 32 features, `W` the number of weights. */
const RULES: readonly [name: string, path: string, change: (old: never) => unknown, said: string][] = [
  [
    'too many cores',
    'shape',
    (s: object) => ({ ...s, width: 4e6, height: 4e6 }),
    'plan/range AT: expected at most 4000000 cores, found 4000000 x 4000000',
  ],
  ['groups divide the width', 'shape/groups', (g: number) => g + 1, 'plan/range AT: expected a divisor of the width'],
  [
    'another rank',
    'tensors/A/layout/dims',
    (d: unknown[]) => [...d, []],
    'plan/layout AT: expected 2 entries as in the shape, found 3',
  ],
  [
    'axis in two dims',
    'tensors/A/layout',
    (l: object) => ({ ...l, dims: [['y'], ['y']] }),
    'plan/layout AT: expected every axis once, found y twice',
  ],
  [
    'axis in a dim and owed',
    'tensors/A/layout',
    (l: object) => ({ ...l, dims: [[], ['y']], partial: { combine: 'sum', axes: ['y'] } }),
    'plan/layout AT: expected every axis once, found y twice',
  ],
  [
    'cyclic scalar',
    'tensors/A',
    (t: object) => ({ ...t, shape: [], layout: { dims: [], partial: null, cyclic: true } }),
    'plan/layout AT/layout/cyclic: expected a tensor with rows',
  ],
  ['beyond all matrices', 'tensors/A/shape', () => [2e9, 2e9], 'plan/range AT: expected at most 17179869184 elements'],
  [
    'beyond the SRAM',
    'tensors/A/shape',
    () => [400_000, 32],
    'plan/range AT: expected tiles of at most 48128 bytes, the SRAM of a core',
  ],
  [
    'input of another role',
    'inputs/0/tensor',
    () => plan.templates[1].program.weights[0],
    'plan/index AT: expected a tensor of role input',
  ],
  ['output', 'outputs', (o: (number | null)[]) => o.map((t) => t && 99_999), 'tensors, found 99999'],
  [
    'weight of another role',
    'weights/0',
    () => placeFor(plan).A,
    'plan/index AT: expected a tensor of role weight, found A of role input',
  ],
  [
    'weight twice',
    'weights',
    (w: number[]) => [w[1], ...w.slice(1)],
    'plan/count AT: expected each of the W tensors of role weight once, found W entries for',
  ],
  [
    'sources of weights',
    'weightSources',
    (w: number[]) => w.slice(1),
    'plan/count AT: expected W entries, one for each of the weights, found',
  ],
  ['result', 'results/0', () => 99_999, 'plan/index AT: expected the index of one of'],
  [
    'cache that is no state',
    'caches/0/state',
    () => placeFor(plan).A,
    'plan/index AT: expected a tensor of role state',
  ],
  ['past', 'caches/0/past', () => 77, 'plan/index AT: expected the index of one of 6 inputs, found 77'],
  [
    'past that is an input of the step',
    'caches/0/past',
    () => 0,
    'plan/index AT: expected an entry of inputs that is null, found 0',
  ],
  ['present', 'caches/0/present', () => 77, 'plan/index AT: expected the index of one of 3 outputs, found 77'],
];
test.each(RULES)('program: %s', (_, where, change, said) => {
  const { A } = placeFor(plan);
  const path = `/templates/1/program/${where.replace('A', String(A))}`;
  const weights = plan.templates[1].program.weights.length;
  const expected = said.replace('AT', path).replaceAll('W ', `${weights} `).replace('found A', `found ${A}`);
  expect(found(path, change).join('\n')).toContain(expected);
});

test('at most 20 findings are reported, each once', () => {
  const json = { ...plan, stages: plan.stages.map((s) => ({ ...s, values: s.values.map(() => 7) })) };
  expect(json.stages.flatMap((s) => s.values).length).toBeGreaterThan(MAX_FINDINGS);
  const list = findings(json);
  expect(list).toHaveLength(MAX_FINDINGS);
  expect(new Set(list).size).toBe(MAX_FINDINGS);
});
