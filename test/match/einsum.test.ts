/** Einsum as MatMul: the same values, whatever the equation; and attention spelled with it is attention. */
import { expect, test } from 'vitest';
import expandFused from '../../passes/1-graph/expand-fused.ts';
import type { Diagnostic } from '../../src/diag/diagnostic.ts';
import { runGraph } from '../../src/exec/reference.ts';
import { parseGraph } from '../../src/ir/parse.ts';
import { QUIET, runPasses } from '../../src/pass/manager.ts';
import { step } from '../../src/pass/pass.ts';
import { fromNumbers, type Tensor } from '../../src/tensor/tensor.ts';
import { compare } from '../../src/exec/compare.ts';
import { attentionModel, expectSame, HD, HEADS, KV, lift, opsOf, WIDTH } from '../lift/support.ts';
import { programOf } from '../support/program.ts';

const EXTENT: Readonly<Record<string, number>> = { b: 2, h: 3, q: 4, k: 5, d: 6, g: 2, f: 7 };

function expanded(equation: string) {
  const [left, output] = equation.split('->');
  const shapes = left.split(',').map((term) => [...term].map((label) => EXTENT[label]));
  const type = (shape: readonly number[]): string => `f32[${shape}]`;
  const inputs = shapes.map((shape, i) => `%x${i}: ${type(shape)}`);
  const result = type([...output].map((label) => EXTENT[label]));
  const graph = parseGraph(
    `graph g (${inputs.join(', ')}) -> %y { %y: ${result} = Einsum@12 ${shapes.map((_, i) => `%x${i}`).join(', ')} {equation="${equation}"} }`,
  );
  const remarks: Diagnostic[] = [];
  const after = runPasses(programOf(graph), [step(expandFused, {})], {
    ...QUIET,
    report: (d) => remarks.push(d),
  }).graph;
  const feeds = new Map(
    shapes.map((shape, i): [string, Tensor] => {
      const count = shape.reduce((a, b) => a * b, 1);
      return [
        `x${i}`,
        fromNumbers(
          'f32',
          shape,
          Array.from({ length: count }, (_, n) => Math.sin(n * (i + 1) + i)),
        ),
      ];
    }),
  );
  return { graph, after, feeds, remarks };
}

test.each([
  ['scores', 'bhqd,bhkd->bhqk'],
  ['scores, heads last', 'bqhd,bkhd->bhqk'],
  ['mixed values', 'bhqk,bkhd->bqhd'],
  ['groups of heads', 'bhgqd,bhkd->bhgqk'],
  ['mixed values of groups', 'bhgqk,bhkd->bqhgd'],
  ['a linear layer', 'bqd,df->bqf'],
  ['a transposed weight', 'bqd,fd->bqf'],
  ['heads of a projection', 'bqd,dhk->bqhk'],
  ['heads back to features', 'bqhd,hdf->bqf'],
  ['one row', 'bd,bkd->bk'],
  ['the other row', 'bkd,bd->bk'],
  ['a result in another order', 'qd,kd->kq'],
  ['dot products', 'qd,qd->q'],
])('%s: %s', (_, equation) => {
  const { graph, after, feeds, remarks } = expanded(equation);
  expect(remarks).toEqual([]);
  expect(after.ops.map(({ kind }) => kind)).not.toContain('Einsum');
  const [wanted, found] = [graph, after].map((g) => runGraph(g, feeds).get('y') as Tensor);
  expect(found.shape).toEqual(wanted.shape);
  expect(compare(found, wanted).maxAbs).toBeLessThan(1e-5);
});

test.each(['q,k->qk', 'bhqd,bhkd->bqk', 'bqd,bdhk->bqhk'])('%s stays as it is', (equation) => {
  expect(expanded(equation).after.ops.map(({ kind }) => kind)).toEqual(['Einsum']);
});

test('attention in three sums is one attention', () => {
  const lifted = lift(
    attentionModel({
      project: (s, x) => {
        const part = (name: string, heads: number): string =>
          s.op('Einsum', [x, s.builder.weight(name, [WIDTH, heads, HD], 0.3)], { equation: 'bsd,dhk->bhsk' });
        return [part('q', HEADS), part('k', KV), part('v', KV)];
      },
      scores: (s, q, k) => s.op('Mul', [s.op('Einsum', [q, k], { equation: 'bhqd,bhkd->bhqk' }), s.scalar(HD ** -0.5)]),
    }),
  );
  expect(opsOf(lifted.after, 'wafc.attention').map(({ attrs }) => attrs)).toMatchObject([
    { heads: HEADS, kvHeads: KV, scale: 1 / Math.sqrt(HD) },
  ]);
  expect(opsOf(lifted.after, 'wafc.linear')).toHaveLength(5);
  expectSame(lifted, 1, 1e-5, [[5, 0, false]]);
});
