/** The exact graph passes on random well-typed graphs: what is computed stays the same, bit for bit. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import cse from '../../passes/1-graph/cse.ts';
import deadCode from '../../passes/1-graph/dead-code.ts';
import dropIdentities from '../../passes/1-graph/drop-identities.ts';
import { Diagnosed } from '../../src/diag/diagnostic.ts';
import { inferTypes } from '../../src/frontend/infer.ts';
import type { Graph } from '../../src/ir/graph.ts';
import { parseGraph } from '../../src/ir/parse.ts';
import { printGraph } from '../../src/ir/print.ts';
import { opFor } from '../../src/ops/registry.ts';
import { QUIET, runPasses } from '../../src/pass/manager.ts';
import { verifyGraph } from '../../src/verify/graph.ts';
import { compareGraphs } from '../support/numerics.ts';
import { programOf } from '../support/program.ts';

/** Ops as text, `A` and `B` for operands: what the passes look for, and what only looks like it. */
const FORMS = [
  'Identity A',
  'Relu A',
  'Neg A',
  'Abs A',
  'Cast A {to=1}',
  'Cast A {to=10}',
  'Cast A {to=11}',
  'Cast A {to=7}',
  'Transpose A',
  'Transpose A {perm=[1, 0]}',
  'Transpose A {perm=[0, 1]}',
  'Transpose A {perm=[2, 0, 1]}',
  'Transpose A {perm=[1, 2, 0]}',
  'Reshape A, %flat',
  'Reshape A, %rows',
  'Reshape A, %copies',
  'Reshape A, %cube',
  'Unsqueeze A, %zero',
  'Squeeze A, %zero',
  'Flatten A {axis=1}',
  'Expand A, %grid',
  'Tile A, %once',
  'Slice A, %zero, %far, %zero, %one',
  'Slice A, %minus, %first, %zero, %minus',
  'Mul A, %f1',
  'Mul %f1, A',
  'Div A, %f1',
  'Div %f1, A',
  'Sub A, %f0',
  'Sub %f0, A',
  'Add A, %f0',
  'Add A, %fm0',
  'Pow A, %f1',
  'Add A, B',
  'Sub A, B',
  'Mul A, B',
  'Max A',
  'Concat A {axis=0}',
  'Concat A, B {axis=0}',
];
const CONSTANTS = `
  %flat = const i64[1] [-1]
  %rows = const i64[2] [2, -1]
  %copies = const i64[2] [0, -1]
  %cube = const i64[3] [1, 2, 3]
  %grid = const i64[2] [2, 3]
  %once = const i64[2] [1, 1]
  %zero = const i64[1] [0]
  %one = const i64[1] [1]
  %minus = const i64[1] [-1]
  %far = const i64[1] [100]
  %first = const i64[1] [-100]
  %f0 = const f32[] 0
  %f1 = const f32[] 1
  %fm0 = const f32[] -0`;

interface Draw {
  readonly form: string;
  readonly a: number;
  readonly b: number;
}

/** Adds one op after the other; those that do not type-check are left out. */
function build(draws: readonly Draw[], outputs: readonly number[]): Graph {
  const lines: string[] = [];
  const names = ['x', 'h'];
  const graphOf = (body: readonly string[], results: string): Graph =>
    inferTypes(
      parseGraph(`graph g opset 21 (%x: f32[2,3], %h: f16[2,3]) -> ${results} {${CONSTANTS}\n${body.join('\n')}\n}`),
    );
  for (const { form, a, b } of draws) {
    const pick = (n: number): string => `%${names[names.length - 1 - (n % names.length)]}`;
    const name = `v${lines.length}`;
    const line = `%${name}: f32[] = ${form.replace('A', pick(a)).replace(', B', `, ${pick(b)}`)}`;
    try {
      graphOf([...lines, line], `%${name}`);
    } catch (error) {
      if (error instanceof Diagnosed) continue;
      throw error;
    }
    lines.push(line);
    names.push(name);
  }
  const results = [...new Set(outputs.map((n) => `%${names[names.length - 1 - (n % names.length)]}`))];
  return graphOf(lines, results.join(', '));
}

const draw = fc.record({ form: fc.constantFrom(...FORMS), a: fc.nat({ max: 9 }), b: fc.nat({ max: 9 }) });
const rules = { since: (kind: string) => opFor(kind)?.since };
const steps = [dropIdentities, cse, deadCode].map((pass) => ({ pass, options: pass.options }));

test('values, types and names of outputs stay', () => {
  fc.assert(
    fc.property(
      fc.array(draw, { minLength: 1, maxLength: 10 }),
      fc.array(fc.nat({ max: 3 }), { minLength: 1, maxLength: 3 }),
      (draws, outputs) => {
        const before = build(draws, outputs);
        const { graph: after } = runPasses(programOf(before), steps, {
          ...QUIET,
          verify: ({ graph }) => verifyGraph(graph, rules),
        });
        expect(after.outputs.map((v) => after.names[v])).toEqual(before.outputs.map((v) => before.names[v]));
        expect(printGraph(inferTypes(after))).toBe(printGraph(after));
        compareGraphs(before, after, 0);
        const again = runPasses(programOf(after), steps.slice(2), QUIET).graph;
        expect(again).toBe(after);
      },
    ),
    { numRuns: 150 },
  );
});
