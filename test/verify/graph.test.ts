/** Every rule fires on a graph that breaks it, and on nothing else. */
import { describe, expect, test } from 'vitest';
import { bytesSource, denseConstant } from '../../src/ir/constant.ts';
import type { Graph, Op } from '../../src/ir/graph.ts';
import { id, type ValueId } from '../../src/ir/ids.ts';
import { parseGraph } from '../../src/ir/parse.ts';
import { verifyGraph } from '../../src/verify/graph.ts';

const graph = parseGraph(`graph g opset 17 (%x: f32[2,S], %c: bool[]) -> %z {
  %w = const f32[2,1] [1, 2]
  %y: f32[2,S] = Mul %x, %w  // node /mul
  %z: f32[2,S] = If %c {else_branch=graph e () captures (%i: f32[2,S] = %y) -> %o {
    %o: f32[2,S] = Neg %i
  }, then_branch=graph t () captures (%i: f32[2,S] = %x) -> %o {
    %k = const f32[1] [3]
    %o: f32[2,S] = Mul %i, %k
  }}  // node /if
}`);
const value = (n: number): ValueId => id<'value'>(n);
const rules = { since: (kind: string) => ({ Mul: [7, 13], Neg: [6], If: [1] })[kind] };
const rulesBroken = (changed: Partial<Graph>): readonly string[] =>
  verifyGraph({ ...graph, ...changed }, rules).map((f) => `${f.rule} ${f.message}`);
const [mul, branch] = graph.ops;
const withMul = (change: Partial<Op>): Partial<Graph> => ({ ops: [{ ...mul, ...change }, branch] });
const weight = (change: object): Partial<Graph> => ({
  constants: new Map([...graph.constants].map(([v, c]) => [v, { ...c, ...change }])),
});

describe('verifyGraph', () => {
  test('accepts a good graph', () => expect(verifyGraph(graph, rules)).toEqual([]));

  test.each<[string, Partial<Graph>, string[]]>([
    ['a missing name', { names: graph.names.slice(1) }, ['G1 5 types but 4 names']],
    ['a name twice', { names: ['x', 'c', 'x', 'y', 'z'] }, ['G1 two values are named %x']],
    ['an operand out of range', withMul({ inputs: [value(0), value(9)] }), ['G2 op 0 (Mul) reads the value id 9 of 5']],
    ['an output out of range', { outputs: [value(-1)] }, ['G2 the list of outputs reads the value id -1 of 5']],
    [
      'a second definition',
      withMul({ outputs: [value(0)] }),
      ['G3 %x is defined again by op 0 (Mul)', 'G3 nothing defines %y (id 3)', 'G8 %i of e captures %y'],
    ],
    [
      'ops out of order',
      { ops: [{ ...branch, inputs: [value(3)] }, mul] },
      ['G4 op 0 (If) reads %y before it is defined', 'G8'],
    ],
    [
      'an undefined output',
      { ops: [mul], outputs: [value(4)] },
      ['G4 the list of outputs reads %z before it is defined', 'G3'],
    ],
    [
      'a negative dim',
      { types: graph.types.map((t, v) => (v === 3 ? { dtype: 'f32', shape: [-2, 1] } : t)) },
      ['G5 dim 0 of %y is -2, not an integer >= 0'],
    ],
    [
      'a constant of another type',
      weight({ dtype: 'f16', stored: 'f16' }),
      ['G6 %w is f32[2,1], its constant f16[2,1]'],
    ],
    ['a view past its source', weight({ offset: 1 }), ['G6 %w views elements 1..2 of f32, 12 bytes of w, which has 8']],
    ['a view before its source', weight({ strides: [-1, 1] }), ['G6 %w views elements -1..0 of f32']],
    ['too few strides', weight({ strides: [1] }), ['G6 %w has 2 dims but 1 strides']],
    ['an unknown op', withMul({ kind: 'Mull' }), ['G7 the op kind Mull is not registered']],
    ['a version too old', withMul({ version: 6 }), ['G7 Mul at version 6; the registry starts at 7']],
    ['a capture of nothing', { names: ['x', 'c', 'w', 'yy', 'z'] }, ['G8 %i of e captures %y, which is not in scope']],
  ])('%s', (_, changed, expected) => {
    const found = rulesBroken(changed);
    expect(found).toHaveLength(expected.length);
    expect(found.map((text, i) => text.slice(0, expected[i].length))).toEqual(expected);
  });

  test('attributes and bodies are graphs and constants, too', () => {
    const short = denseConstant('f32', [4], bytesSource('short', new Uint8Array(8)));
    expect(rulesBroken(withMul({ attrs: { value: short } }))).toEqual([
      'G6 %Mul.value views elements 0..3 of f32, 16 bytes of short, which has 8',
    ]);
    const body = parseGraph('graph b () -> %o {\n  %o: f32[1] = Nope\n}');
    expect(rulesBroken({ ops: [mul, { ...branch, attrs: { body: { graph: body } } }] })).toEqual([
      'G7 the op kind Nope is not registered',
    ]);
  });
});
