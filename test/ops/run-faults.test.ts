/** What only run time can tell is wrong is a diagnostic with the node, too: never a stack trace. */
import { expect, test } from 'vitest';
import { Diagnosed } from '../../src/diag/diagnostic.ts';
import { runGraph } from '../../src/exec/reference.ts';
import { parseGraph } from '../../src/ir/parse.ts';
import { fromNumbers } from '../../src/tensor/tensor.ts';

test.each([
  [
    '%n: i64[1]',
    '%y: f32[K] = ConstantOfShape@9 %n',
    { n: [2 ** 50] },
    'run/too-large',
    '1125899906842624 elements of f32',
  ],
  [
    '%a: i64[], %n: i64[]',
    '%y: i64[K] = Range@11 %a, %a, %n',
    { a: [3], n: [0] },
    'run/bad-value',
    '3 to 3 by 0 has no end',
  ],
  [
    '%a: f32[3], %n: i64[]',
    '%y: f32[3] = CumSum@14 %a, %n',
    { a: [1, 2, 3], n: [4] },
    'run/bad-value',
    'an axis in -1..0',
  ],
  ['%a: f32[N], %b: f32[M]', '%y: f32[N] = Add@14 %a, %b', { a: [1, 2], b: [1, 2, 3] }, 'run/bad-value', '[2] [3]'],
] as const)('(%s) %s', (inputs, op, values, code, said) => {
  const graph = parseGraph(`graph g (${inputs}) -> %y { ${op}  // node the op\n}`);
  const given: Readonly<Record<string, readonly number[]>> = values;
  const feeds = new Map(
    graph.inputs.map((v) => {
      const { dtype, shape } = graph.types[v];
      const numbers = given[graph.names[v]];
      return [graph.names[v], fromNumbers(dtype, shape.length === 0 ? [] : [numbers.length], numbers)];
    }),
  );
  try {
    runGraph(graph, feeds);
    expect.fail('the graph ran');
  } catch (error) {
    if (!(error instanceof Diagnosed)) throw error;
    expect(error.diagnostics).toMatchObject([{ code, node: 'the op' }]);
    expect(error.diagnostics[0].message).toContain(said);
  }
});
