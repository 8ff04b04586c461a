import { describe, expect, test } from 'vitest';
import { Diagnosed, type Diagnostic } from '../../src/diag/diagnostic.ts';
import type { Program, Stages } from '../../src/ir/facts.ts';
import { id } from '../../src/ir/ids.ts';
import { parseGraph } from '../../src/ir/parse.ts';
import { BrokenInvariant, checkOrder, type PassEvent, QUIET, runPasses, verifyWith } from '../../src/pass/manager.ts';
import { checkNumerics, countPasses, diffAfter, dumpTo, printAfter, timePasses } from '../../src/pass/observe.ts';
import { type AnyPass, definePass, step } from '../../src/pass/pass.ts';
import { parsePassList, printPassList } from '../../src/pass/pass-list.ts';
import { verifyGraph } from '../../src/verify/graph.ts';
import { programOf } from '../support/program.ts';

const none: Stages = { host: [], stages: [], templates: [] };
const graph = parseGraph('graph g (%x: f32[2]) -> %z {\n  %y: f32[2] = Relu %x\n  %z: f32[2] = Neg %y\n}');
const start = programOf(graph);
const verify = verifyWith([(program: Program) => verifyGraph(program.graph, { since: () => [1] })]);

const split = definePass({
  name: 'split',
  summary: 'gives stages',
  requires: [],
  provides: ['stages'],
  preserves: [],
  numerics: 'exact',
  options: {},
  run: (program) => ({ ...program, stages: none }),
});
const place = definePass({
  name: 'place',
  summary: 'reads stages',
  requires: ['stages'],
  provides: ['placement'],
  preserves: ['stages'],
  numerics: 'exact',
  options: { rows: 4, fast: true, order: 'snake', axes: ['x', 'y'], sizes: [1, 2] },
  run(program, { count, random, report, options }) {
    count('regions', program.stages.stages.length + options.rows);
    count('nothing', 0);
    report({ code: 'x/y', severity: 'remark', message: `drew ${random()}` });
    return { ...program, placement: { regions: [] } };
  },
});
const rename = definePass({
  name: 'rename',
  summary: 'rewrites the graph',
  requires: [],
  provides: [],
  preserves: ['stages'],
  numerics: 'exact',
  options: {},
  run(program, { edit: begin }) {
    const edit = begin(program.graph);
    edit.rewriteOp(id<'op'>(1), { kind: 'Abs' });
    return { ...program, graph: edit.finish() };
  },
});
const lossy = definePass({ ...rename, name: 'lossy', preserves: [], run: (program) => ({ ...program }) });
const breaks = definePass({
  ...rename,
  name: 'breaks',
  run: (program) => ({ ...program, graph: { ...program.graph, ops: program.graph.ops.slice(1) } }),
});
const registry: readonly AnyPass[] = [split, place, rename, lossy, breaks];
const steps = (text: string) => parsePassList(text, registry);
const diagnosed = (run: () => unknown): readonly Diagnostic[] => {
  try {
    run();
  } catch (error) {
    if (error instanceof Diagnosed) return error.diagnostics;
    throw error;
  }
  throw new Error('nothing was thrown');
};

describe('manager', () => {
  test('facts that a pass does not keep die', () => {
    const events: PassEvent[] = [];
    const after = runPasses(start, steps('split,place,lossy'), { ...QUIET, observers: [(e) => events.push(e)] });
    expect(after.stages).toBeUndefined();
    expect(after.placement).toBeUndefined();
    expect(events.map((e) => e.dropped)).toEqual([[], [], ['stages', 'placement']]);
  });

  test('order is checked before any pass runs, and says who dropped the fact', () => {
    expect(checkOrder(start, steps('split,place'))).toEqual([]);
    expect(checkOrder({ ...start, stages: none }, steps('place'))).toEqual([]);
    const [missing] = diagnosed(() => runPasses(start, steps('place'), QUIET));
    expect(missing).toMatchObject({
      code: 'pass/order',
      message: "pass 0 (place) needs 'stages', which no pass before it leaves",
    });
    expect(checkOrder(start, steps('split,lossy,place'))[0].notes).toEqual([
      'split gives it, but lossy after it does not preserve it',
    ]);
    expect(checkOrder(start, steps('place,place'))).toHaveLength(1);
  });

  test('a pass that breaks the program, or its promise, is our fault', () => {
    const run = (text: string, passes = registry): BrokenInvariant => {
      try {
        runPasses(start, parsePassList(text, passes), { ...QUIET, verify });
      } catch (error) {
        if (error instanceof BrokenInvariant) return error;
        throw error;
      }
      throw new Error('nothing was thrown');
    };
    const broken = run('rename,breaks');
    expect(broken.index).toBe(1);
    expect(broken.before.graph.ops[1].kind).toBe('Abs');
    expect(broken.faults.map((f) => f.rule)).toEqual(['G4', 'G3']);
    expect(broken.message).toContain(
      'pass 1 (breaks) broke the program\n  G4: op 0 (Abs) reads %y before it is defined',
    );
    const idle: AnyPass = { ...split, run: (program) => program };
    expect(run('split', [idle]).faults).toEqual([{ rule: 'M1', message: "promised 'stages' and did not give it" }]);
  });

  test('a program that is broken before any pass is not blamed on one', () => {
    const bad = programOf({ ...graph, ops: graph.ops.slice(1) });
    expect(() => runPasses(bad, steps('rename'), { ...QUIET, verify })).toThrow(
      'broken before any pass\n  G4: op 0 (Neg)',
    );
  });

  test('limit and skip', () => {
    const events: string[] = [];
    const observers = [(e: PassEvent) => void events.push(e.step.pass.name)];
    runPasses(start, steps('split,lossy,rename'), { ...QUIET, observers, skip: ['lossy'], limit: 2 });
    expect(events).toEqual(['split', 'rename']);
  });

  test('random numbers belong to the seed and the pass', () => {
    const drawn = (seed: number, text: string): string => {
      const said: Diagnostic[] = [];
      runPasses(start, steps(text), { ...QUIET, seed, report: (d) => said.push(d) });
      return said.map((d) => d.message).join();
    };
    expect(drawn(1, 'split,place')).toBe(drawn(1, 'rename,split,place'));
    expect(drawn(1, 'split,place')).not.toBe(drawn(2, 'split,place'));
  });

  test('options are typed at definition', () => {
    expect(step(place, { rows: 9 }).options).toEqual({ ...place.options, rows: 9 });
    // @ts-expect-error a word is not a number of rows
    step(place, { rows: 'nine' });
  });
});

describe('pass lists', () => {
  test('read and print', () => {
    const list = steps(' split, place{ rows = 7, fast=false, order=spiral, axes=y, sizes=3|4.5 } ,rename');
    expect(list.map((s) => s.pass.name)).toEqual(['split', 'place', 'rename']);
    expect(list[1].options).toEqual({ rows: 7, fast: false, order: 'spiral', axes: ['y'], sizes: [3, 4.5] });
    const text = 'split,place{rows=7, fast=false, order=spiral, axes=y, sizes=3|4.5},rename';
    expect(printPassList(list)).toBe(text);
    expect(printPassList(steps(text))).toBe(text);
    expect(steps('  ')).toEqual([]);
    expect(steps('place{fast}')[0].options.fast).toBe(true);
  });

  test('all mistakes at once', () => {
    const faults = diagnosed(() => steps('splt,place{row=1, rows=many, fast=perhaps, sizes=1|x},split{a=1},{},what'));
    expect(faults.map((f) => [f.code, f.message, f.notes?.[0]])).toEqual([
      ['pass/unknown', "there is no pass 'splt'", "did you mean 'split'?"],
      ['pass/option', "place has no option 'row'", "did you mean 'rows'?"],
      ['pass/option', "place{rows} takes a number, not 'many'", undefined],
      ['pass/option', "place{fast} takes true or false, not 'perhaps'", undefined],
      ['pass/option', "place{sizes} takes numbers separated by |, not '1|x'", undefined],
      ['pass/option', "split has no option 'a'", 'it has no options'],
      ['pass/list', "'{}' is not of the form name or name{option=value, ..}", undefined],
      ['pass/unknown', "there is no pass 'what'", '`wafc passes` lists them'],
    ]);
  });
});

describe('observers', () => {
  test('dumps sort by order and say whether anything changed', () => {
    const files = new Map<string, string>();
    const observers = [dumpTo('out', (path, text) => void files.set(path, text))];
    runPasses(start, steps('split,lossy,lossy,rename'), { ...QUIET, observers });
    expect([...files.keys()]).toEqual([
      'out/0000.start.wir',
      'out/0001.split.changed.wir',
      'out/0002.lossy.changed.wir',
      'out/0003.lossy.same.wir',
      'out/0004.rename.changed.wir',
    ]);
    const text = files.get('out/0004.rename.changed.wir') ?? '';
    expect(text).toContain('%z: f32[2] = Abs %y  // by rename');
    expect(parseGraph(text).ops).toHaveLength(2); // facts are comments: a dump can be read again
  });

  test('prints, differences, times, counts, numeric checks', () => {
    const printed: string[] = [];
    const write = (text: string) => void printed.push(text);
    let clock = 0;
    const time = timePasses();
    const counts = countPasses();
    const checked: string[] = [];
    const observers = [
      printAfter(['split'], write),
      diffAfter(['rename', 'lossy'], write),
      time.observe,
      counts.observe,
      checkNumerics((e) => void checked.push(e.step.pass.name)),
    ];
    runPasses(start, steps('split,place,lossy,lossy,rename'), { ...QUIET, now: () => clock++, observers });
    expect(printed[0]).toMatch(/^\/\/ after 0 split\ngraph g opset 21 /);
    expect(printed[1]).toContain('-// stages: 0 of 0 templates; host ops none');
    expect(printed[2]).toBe('// 3 lossy changed nothing\n');
    expect(printed[3]).toContain('-  %z: f32[2] = Neg %y\n+  %z: f32[2] = Abs %y  // by rename\n');
    expect(time.text().split('\n').slice(0, 3)).toEqual([
      'pass  name     ms      %',
      '   0  split   1.0   20.0',
      '   1  place   1.0   20.0',
    ]);
    expect(counts.text()).toBe('stat: place: regions = 4\n');
    expect(checked).toEqual(['rename']);
  });
});
