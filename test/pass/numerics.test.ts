import { expect, test } from 'vitest';
import { runGraph } from '../../src/exec/reference.ts';
import { id } from '../../src/ir/ids.ts';
import { parseGraph } from '../../src/ir/parse.ts';
import { QUIET, runPasses } from '../../src/pass/manager.ts';
import { compareNumerics, compareOutputs } from '../../src/pass/numerics.ts';
import { checkNumerics } from '../../src/pass/observe.ts';
import { type AnyPass, definePass } from '../../src/pass/pass.ts';
import { fromNumbers, type Tensor } from '../../src/tensor/tensor.ts';
import { programOf } from '../support/program.ts';

const start = programOf(parseGraph('graph g (%x: f32[2]) -> %y {\n  %h: f32[2] = Relu %x\n  %y: f32[2] = Neg %h\n}'));
const feeds = new Map([['x', fromNumbers('f32', [2], [1, -2])]]);

const rewrite = (numerics: AnyPass['numerics'], kind: string): AnyPass =>
  definePass({
    name: `use-${kind.toLowerCase()}`,
    summary: 'changes the first op',
    requires: [],
    provides: [],
    preserves: [],
    numerics,
    options: {},
    run(program, { edit: begin }) {
      const edit = begin(program.graph);
      edit.rewriteOp(id<'op'>(0), { kind });
      return { ...program, graph: edit.finish() };
    },
  });

function check(...passes: readonly AnyPass[]): { shown: string[]; runs: number } {
  const seen = { shown: [] as string[], runs: 0 };
  const compare = compareNumerics(
    ({ graph }) => {
      seen.runs++;
      return runGraph(graph, feeds);
    },
    (text) => void seen.shown.push(text),
  );
  const steps = passes.map((pass) => ({ pass, options: {} }));
  runPasses(start, steps, { ...QUIET, observers: [checkNumerics(compare)] });
  return seen;
}

test('a pass is held to what it declares', () => {
  expect(() => check(rewrite('exact', 'Abs'))).toThrow(
    "use-abs declares itself 'exact', but %y[1]: -0 before, -2 after",
  );
  expect(() => check(rewrite('reassociates', 'Abs'))).toThrow("'reassociates'");
  expect(check(rewrite('lossy', 'Abs')).shown).toEqual([
    'numerics: 0 use-abs (lossy): 2.00e+0 at %y[1]: -0 before, -2 after\n',
  ]);
});

test('a program is run once, and not at all when nothing changed', () => {
  const same = rewrite('exact', 'Relu');
  const idle: AnyPass = { ...same, run: (program) => program };
  expect(check(same, rewrite('exact', 'Relu'), idle)).toEqual({ shown: [], runs: 3 });
});

test('differences', () => {
  const of = (...values: number[]): ReadonlyMap<string, Tensor> =>
    new Map([['y', fromNumbers('f32', [values.length], values)]]);
  expect(compareOutputs(of(1, 100), of(1, 101))).toEqual({ worst: 0.01, at: '%y[1]: 100 before, 101 after' });
  expect(compareOutputs(of(0), of(-0)).worst).toBe(Number.MIN_VALUE);
  expect(compareOutputs(of(Number.NaN), of(Number.NaN)).worst).toBe(0);
  expect(compareOutputs(of(Number.NaN), of(0)).worst).toBe(Number.POSITIVE_INFINITY);
  expect(compareOutputs(of(1), of(1, 2)).at).toBe('%y: f32[1] before, f32[2] after');
  expect(compareOutputs(of(1), new Map()).at).toBe('%y is gone');
});
