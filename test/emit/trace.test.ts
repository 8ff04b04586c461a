/** Executors as graphs: what is written down is what the function says, bodies and captures included. */
import { expect, test } from 'vitest';
import { evaluate, runGraph } from '../../src/exec/reference.ts';
import { opFor } from '../../src/ops/registry.ts';
import { verifyGraph } from '../../src/verify/graph.ts';
import { body, type Model, op, prepare, tensor, type Tensors } from '../../src/runtime/index.ts';
import { graphOf } from '../../src/runtime/prepare.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';

const made = (
  inputs: Readonly<Record<string, string>>,
  outputs: readonly string[],
  reference: (inputs: Tensors) => Tensors,
): Model => ({
  name: 'made',
  inputs: Object.entries(inputs).map(([name, type]) => ({ name, type, role: { kind: 'plain' } })),
  outputs: outputs.map((name) => ({ name, type: '', role: { kind: 'plain' } })),
  reference,
});

/** Line by line, as a graph, and in a session. */
function everyWay(model: Model, inputs: Tensors): void {
  const graph = graphOf(model);
  expect(verifyGraph(graph, { since: (kind) => opFor(kind)?.since })).toEqual([]);
  const expected = model.reference(inputs);
  expect(Object.fromEntries(runGraph(graph, new Map(Object.entries(inputs))))).toEqual(expected);
  const run = prepare(model);
  for (let call = 0; call < 2; call++) expect(run(inputs)).toEqual(expected);
  expect(Object.keys(expected)).toEqual(model.outputs.map(({ name }) => name));
}

test('bodies read what is around them, at any depth', () => {
  const model = made({ x: 'f32[S]', yes: 'bool[]', no: 'bool[]' }, ['y'], ({ x, yes, no }) => {
    const two = tensor('f32', [], [2]);
    const [double] = op('Mul', 17, [x, two]);
    const inner = body([], ['f32[S]'], () => op('Add', 17, [double, two]));
    const other = body([], ['f32[S]'], () => op('Neg', 17, [x]));
    const outer = body([], ['f32[S]'], () => {
      const [here] = op('Mul', 17, [double, x]);
      const [chosen] = op('If', 17, [no], { then_branch: other, else_branch: inner });
      return op('Sub', 17, [here, chosen]);
    });
    const [y] = op('If', 17, [yes], { then_branch: outer, else_branch: other });
    return { y };
  });
  const bool = (value: number): Tensor => tensor('bool', [], [value]);
  for (const yes of [0, 1])
    for (const no of [0, 1]) everyWay(model, { x: tensor('f32', [3], [1, -2, 3]), yes: bool(yes), no: bool(no) });
});

test('inputs passed on, and one result under two names', () => {
  const model = made({ x: 'i64[2]' }, ['same', 'a', 'b', 'fixed'], ({ x }) => {
    const [sum] = op('Add', 17, [x, x]);
    return { same: x, a: sum, b: sum, fixed: tensor('i64', [1], [7]) };
  });
  everyWay(model, { x: tensor('i64', [2], [1, 5]) });
});

test('names that look like those of values without a name', () => {
  const model = made({ 'made/1': 'f32[2]', 'made_/2': 'f32[2]' }, ['made/2', 'made/0'], (inputs) => {
    const [sum] = op('Add', 17, [inputs['made/1'], inputs['made_/2']]);
    const [y] = op('Neg', 17, [sum]);
    return { 'made/2': y, 'made/0': sum };
  });
  everyWay(model, { 'made/1': tensor('f32', [2], [1, 2]), 'made_/2': tensor('f32', [2], [3, 5]) });
});

test('a loop feeds its body', () => {
  const model = made({ x: 'f32[2]' }, ['last', 'all'], ({ x }) => {
    const step = body(['i64[]', 'bool[]', 'f32[2]'], ['bool[]', 'f32[2]', 'f32[2]'], (_i, go, state) => {
      const [next] = op('Add', 17, [state, x]);
      return [go, next, next];
    });
    const [last, all] = op('Loop', 17, [tensor('i64', [], [3]), undefined, x], { body: step }, 'loop', 2);
    return { last, all };
  });
  everyWay(model, { x: tensor('f32', [2], [1, 2]) });
});

test('constants stay where they are, and are one where they are one', () => {
  const w = tensor('f32', [2], [3, 4]);
  const graph = graphOf(
    made({ x: 'f32[2]' }, ['y'], ({ x }) => {
      const [a] = op('Mul', 17, [x, w]);
      const [y] = op('Add', 17, [a, w]);
      return { y };
    }),
  );
  expect(graph.constants.size).toBe(1);
  expect(evaluate(graph, graph.outputs, new Map([['x', tensor('f32', [2], [1, 1])]]))[0].data).toEqual(
    Float32Array.of(6, 8),
  );
});

test.each<[string, (inputs: Tensors) => Tensors, string]>([
  ['elements', ({ x }) => ({ y: tensor('f32', [2], x.data) }), 'made reads a tensor itself'],
  ['a shape', ({ x }) => ({ y: tensor('f32', x.shape, [0, 0]) }), 'made reads a tensor itself'],
  ['an output that is not given', () => ({}), 'nothing computes output y'],
  ['an op that is none', ({ x }) => ({ y: op('Nag', 17, [x])[0] }), 'Nag is not supported'],
])('%s: refused, and the next call is not traced', (_what, reference, message) => {
  const run = prepare(made({ x: 'f32[2]' }, ['y'], reference));
  expect(() => run({ x: tensor('f32', [2], [1, 2]) })).toThrow(message);
  expect(op('Neg', 17, [tensor('f32', [1], [1])])[0].data).toEqual(Float32Array.of(-1));
});
