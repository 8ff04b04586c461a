import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { denseConstant } from '../../src/ir/constant.ts';
import { canonical, editGraph } from '../../src/ir/edit.ts';
import type { Graph } from '../../src/ir/graph.ts';
import { id, type OpId, type ValueId } from '../../src/ir/ids.ts';
import { canonicalOrder, usersOf } from '../../src/ir/order.ts';
import { parseGraph } from '../../src/ir/parse.ts';
import { printGraph } from '../../src/ir/print.ts';
import { generatedSource } from '../../src/ir/sources.ts';
import { verifyGraph } from '../../src/verify/graph.ts';
import { randomGraph } from '../support/random-graph.ts';

const value = (graph: Graph, name: string): ValueId => {
  const index = graph.names.indexOf(name);
  if (index < 0) throw new Error(`no %${name}`);
  return id<'value'>(index);
};
const op = (n: number): OpId => id<'op'>(n);
const body = (graph: Graph): string =>
  printGraph(graph)
    .split('\n')
    .slice(1, -2)
    .map((l) => l.trim())
    .join('\n');
const origin = { node: 'n', by: [] };
const f2 = { dtype: 'f32', shape: [2] } as const;
const anyKind = { since: () => [1] };

const chain = parseGraph(`graph g (%x: f32[2]) -> %z {
  %y: f32[2] = Relu %x
  %z: f32[2] = Neg %y
}`);

describe('order', () => {
  test('does not depend on how ops are listed', () => {
    const text = ['%a: f32[2] = Relu %x', '%b: f32[2] = Neg %x', '%c: f32[2] = Add %b, %a', '%d: f32[2] = Abs %x'];
    const make = (lines: string[]) => canonical(parseGraph(`graph g (%x: f32[2]) -> %c, %d {\n${lines.join('\n')}\n}`));
    const [a, b, c, d] = text;
    expect(printGraph(make([a, b, c, d]))).toBe(printGraph(make([d, b, a, c])));
    expect(body(make([a, b, c, d]))).toBe([b, a, c, d].join('\n'));
  });

  test('reports a cycle', () => {
    const needs = [[1], [2], [1], []];
    expect(canonicalOrder(4, [3, 0], (n) => needs[n])).toEqual({ order: [3], cycle: [1, 2] });
  });

  test('holds a graph deeper than the stack', () => {
    const { order } = canonicalOrder(200_000, [199_999], (n) => (n === 0 ? [] : [n - 1]));
    expect(order.length).toBe(200_000);
    expect(order[0]).toBe(0);
  });

  test('users of a value include bodies, once each', () => {
    const graph = parseGraph(ifGraph);
    expect(usersOf(graph)[value(graph, 'x')]).toEqual([0, 1]);
    expect(usersOf(graph)[value(graph, 'y')]).toEqual([1]);
  });
});

const ifGraph = `graph g (%x: f32[2], %c: bool[]) -> %z {
  %y: f32[2] = Relu %x
  %z: f32[2] = If %c {else_branch=graph e () captures (%i: f32[2] = %x) -> %o {
    %o: f32[2] = Abs %i
  }, then_branch=graph t () captures (%j: f32[2] = %y) -> %o {
    %o: f32[2] = Neg %j
  }}
}
`;

describe('editing', () => {
  test('an edit that does nothing gives the graph itself', () => {
    expect(editGraph(chain, 'p').finish()).toBe(chain);
    const edit = editGraph(chain, 'p');
    edit.addOp({ kind: 'Abs', version: 1, inputs: [value(chain, 'x')], outputs: [{ type: f2 }], origin });
    expect(edit.finish()).toBe(chain);
  });

  test('replaced outputs keep the name the host knows', () => {
    const edit = editGraph(chain, 'p');
    const [abs] = edit.addOp({
      kind: 'Abs',
      version: 21,
      inputs: [value(chain, 'y')],
      outputs: [{ type: f2, name: 'abs' }],
      origin: chain.ops[1].origin,
    });
    expect(edit.replaceUses(value(chain, 'z'), abs)).toBe(true);
    expect(body(edit.finish())).toBe('%y: f32[2] = Relu %x\n%z: f32[2] = Abs %y  // by p');
    expect(body(chain)).toBe('%y: f32[2] = Relu %x\n%z: f32[2] = Neg %y');
  });

  test('an output cannot be handed to an input', () => {
    const edit = editGraph(chain, 'p');
    expect(edit.replaceUses(value(chain, 'z'), value(chain, 'x'))).toBe(false);
    expect(edit.finish()).toBe(chain);
  });

  test('an input that is an output keeps both names', () => {
    const graph = parseGraph('graph g (%x: f32[2]) -> %x, %y {\n  %y: f32[2] = Relu %x\n}');
    const edit = editGraph(graph, 'p');
    const [abs] = edit.addOp({
      kind: 'Abs',
      version: 21,
      inputs: [value(graph, 'x')],
      outputs: [{ type: f2 }],
      origin,
    });
    expect(edit.replaceUses(value(graph, 'x'), abs)).toBe(false);
    const after = edit.finish();
    expect(after.outputs.map((v) => after.names[v])).toEqual(['x', 'y']);
    expect(after.ops.map((o) => o.kind)).toEqual(['Abs', 'Relu']);
  });

  test('x can be replaced by f(g(x))', () => {
    const edit = editGraph(chain, 'p');
    const y = value(chain, 'y');
    const [g] = edit.addOp({ kind: 'G', version: 21, inputs: [y], outputs: [{ type: f2, name: 'y' }], origin });
    const [f] = edit.addOp({ kind: 'F', version: 21, inputs: [g], outputs: [{ type: f2, name: 'y' }], origin });
    edit.replaceUses(y, f);
    expect(edit.finish().names).toEqual(['x', 'y', 'y_1', 'y_2', 'z']);
    expect(edit.finish().ops.map((o) => o.kind)).toEqual(['Relu', 'G', 'F', 'Neg']);
  });

  test('rewriting keeps outputs; unused ops and constants go', () => {
    const edit = editGraph(chain, 'p');
    const constant = denseConstant('f32', [100], generatedSource('zeros', {}, 'f32', 100));
    const zeros = edit.addConstant('zeros', constant);
    edit.addConstant('unused', constant);
    edit.rewriteOp(op(1), { kind: 'Mul', inputs: [value(chain, 'x'), zeros], attrs: { a: 1 } });
    expect(body(edit.finish())).toBe('%zeros = const f32[100] zeros\n%z: f32[2] = Mul %x, %zeros {a=1}  // by p');
    expect(edit.usersOf(value(chain, 'y'))).toEqual([]);
  });

  test('a use of a removed op is our fault, and so is a cycle', () => {
    const removed = editGraph(chain, 'p');
    removed.removeOp(op(0));
    expect(() => removed.finish()).toThrow('Neg uses %y, which nothing defines any more');
    const cyclic = editGraph(chain, 'p');
    cyclic.rewriteOp(op(0), { inputs: [value(chain, 'z')] });
    expect(() => cyclic.finish()).toThrow('Neg (z) <- Relu (y) <- Neg (z)');
  });

  test('bodies follow the values they capture', () => {
    const graph = parseGraph(ifGraph);
    expect(printGraph(canonical(graph))).toBe(ifGraph.replace('graph g', 'graph g opset 21'));
    const edit = editGraph(graph, 'p');
    edit.replaceUses(value(graph, 'y'), value(graph, 'x'));
    const text = printGraph(edit.finish());
    expect(text).toContain('captures (%j: f32[2] = %x)');
    expect(text).not.toContain('Relu');
    expect(verifyGraph(edit.finish(), anyKind)).toEqual([]);
  });

  test('a renamed value takes its captures along', () => {
    const graph = parseGraph(ifGraph);
    const edit = editGraph(graph, 'p');
    edit.rename(value(graph, 'y'), 'hidden');
    expect(printGraph(edit.finish())).toContain('captures (%j: f32[2] = %hidden)');
  });

  test('every random graph has one canonical form, and it verifies', () => {
    fc.assert(
      fc.property(randomGraph, (graph) => {
        const once = canonical(graph);
        expect(canonical(once)).toBe(once);
        expect(verifyGraph(once, anyKind)).toEqual([]);
        expect(once.outputs.map((v) => once.names[v])).toEqual(graph.outputs.map((v) => graph.names[v]));
      }),
    );
  });
});
