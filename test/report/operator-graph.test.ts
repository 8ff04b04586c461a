import { alg } from 'graphlib';
import { describe, expect, test } from 'vitest';
import { parseGraph } from '../../src/ir/parse.ts';
import { operatorGraph, operatorGraphJson } from '../../src/report/operator-graph.ts';
import { fromNumbers } from '../../src/tensor/tensor.ts';
import { viewOf } from '../../src/tensor/view.ts';

const TEXT = `graph two opset 17 (%x: f32[2,3]) -> %y, %z {
  %w = const f32[3] [1, 2, 3]
  %a: f32[2,3] = Add %x, %w
  %y: f32[2,3] = Relu %a
  %z: f32[2,3] = Mul %a, %a
}
`;

describe('operator graph', () => {
  const graph = operatorGraph(parseGraph(TEXT));
  const kindOf = (id: string): string | undefined => graph.node(id)?.kind;

  test('has ops, inputs and outputs as nodes and no constants', () => {
    expect(graph.nodes().map(kindOf).sort()).toEqual(['Add', 'Mul', 'Relu', 'input', 'output', 'output']);
  });

  test('has an edge per read, two where an op reads a value twice', () => {
    const edges = graph.edges().map(({ v, w }) => `${kindOf(v)}>${kindOf(w)}`);
    expect(edges.sort()).toEqual(['Add>Mul', 'Add>Mul', 'Add>Relu', 'Mul>output', 'Relu>output', 'input>Add']);
  });

  test('is acyclic, and survives names that objects have', () => {
    expect(alg.isAcyclic(graph as never)).toBe(true);
    const hostile = operatorGraph(parseGraph(TEXT.replaceAll('%a', '%__proto__')));
    expect(hostile.nodeCount()).toBe(6);
    expect(Object.hasOwn(Object.prototype, 'kind')).toBe(false);
  });

  test('is JSON', () => {
    expect(JSON.parse(JSON.stringify(operatorGraphJson(parseGraph(TEXT))))).toMatchObject({
      options: { directed: true },
    });
  });
});

test('a view shares the data of its tensor', () => {
  const tensor = fromNumbers('f32', [2, 3], [0, 1, 2, 3, 4, 5]);
  const columns = viewOf(tensor).transpose(1, 0);
  expect(columns.shape).toEqual([3, 2]);
  expect(columns.get(2, 1)).toBe(5);
  tensor.data[5] = 7;
  expect(columns.get(2, 1)).toBe(7);
});
