/** The example of ARCHITECTURE.md, and every rule of routes on what breaks it. */
import { describe, expect, test } from 'vitest';
import type { MeshAxis, ProgramOp, ProgramTensor, RegionProgram } from '../../src/ir/program.ts';
import type { Flow, Phase, RouteClass } from '../../src/ir/routing.ts';
import { loadTarget } from '../../src/target/load.ts';
import type { RoutedProgram } from '../../src/verify/routed.ts';
import { verifyRouting } from '../../src/verify/routing.ts';
import { spanEnd, spanFault, spanHas } from '../../src/verify/spans.ts';

describe('spans', () => {
  const all = (span: readonly number[], size = 64): number[] =>
    Array.from({ length: size }, (_, n) => n).filter((n) => spanHas(span, n));
  test('those of the document', () => {
    expect(all([3])).toEqual([3]);
    expect(all([0, 4, 1])).toEqual([0, 1, 2, 3]);
    expect(all([1, 3, 2])).toEqual([1, 3, 5]);
    expect(all([0, 2, 1, 3, 10])).toEqual([0, 1, 10, 11, 20, 21]);
    expect(spanEnd([0, 2, 1, 3, 10])).toBe(21);
  });
  test.each([
    [[], 'is no start'],
    [[0, 2], 'is no start'],
    [[-1], 'is no start'],
    [[0, 0, 1], 'repeats 0 times'],
    [[0, 4, 1, 2, 3], 'repeats with period 3 what is 4 long'],
    [[1, 3, 2], 'reaches 5 of 0 .. 4'],
  ])('[%s] %s', (span, fault) => expect(spanFault(span, 5)).toContain(fault));
});

const queued = (rows: number[], route: string, input: number | null, output: number | null) => ({
  columns: [0, 2, 1],
  rows,
  routes: [route],
  input,
  output,
});
/** Flows c0, c1 and b of an all-reduce over a column of five rows; two columns. */
const EXAMPLE: readonly Flow[] = [
  {
    color: 3,
    runs: [
      queued([0], 'R>S', null, 0),
      queued([1], 'N>R', 0, null),
      queued([2], 'S>R', 0, null),
      queued([3], 'R>N', null, 0),
    ],
  },
  {
    color: 4,
    runs: [
      queued([1], 'R>S', null, 1),
      queued([2], 'N>R', 1, null),
      queued([3], 'S>R', 1, null),
      queued([4], 'R>N', null, 1),
    ],
  },
  {
    color: 5,
    runs: [
      queued([0], 'S>R', 2, null),
      queued([1], 'S>NR', 2, null),
      queued([2], 'R>NS', null, 2),
      queued([3], 'N>SR', 2, null),
      queued([4], 'N>R', 2, null),
    ],
  },
];
const PHASE: Phase = {
  op: 0,
  axis: 'y',
  algorithm: 'middle-chain',
  group: 0,
  wavelets: 4,
  flows: [0, 1, 2],
  loads: [],
};

function programOf(axes: readonly MeshAxis[] = ['y']): RegionProgram {
  const tensor = (partial: boolean): ProgramTensor => ({
    name: partial ? 'x' : 'y',
    role: 'temp',
    dtype: 'f32',
    shape: [1, 4],
    layout: { dims: [[], []], partial: partial ? { combine: 'sum', axes } : null },
  });
  const op: ProgramOp = { op: 'all_reduce', axes, combine: 'sum', dim: -1, inputs: [0], outputs: [1], node: 'n' };
  return {
    shape: { width: 2, height: 5, groups: 1 },
    tokens: 1,
    context: 0,
    tensors: [tensor(true), tensor(false)],
    ops: [op],
    inputs: [],
    outputs: [],
    weights: [],
    weightSources: [],
    caches: [],
    results: [],
  };
}

function routed(change: Partial<RouteClass> = {}, region = programOf()): RoutedProgram {
  const routes: RouteClass = { templates: [0], flows: EXAMPLE, phases: [[PHASE]], ...change };
  return {
    target: loadTarget('wse3'),
    mode: { kind: 'stream', batch: 1, context: 8 },
    stages: {
      host: [],
      stages: [{ name: 's', template: 0, ops: [], inputs: [], outputs: [], weights: [] }],
      templates: [{ name: 'layer', exemplar: 0 }],
    },
    mapping: { programs: [region], groups: [[0]] },
    placement: { regions: [{ stages: [0], x: 3, y: 2, width: 2, height: 5 }] },
    routing: { flows: [], transports: [], classes: [routes] },
    values: { stages: [{ inputs: [], outputs: [] }], results: new Set() },
  };
}

const found = (p: RoutedProgram): string[] => verifyRouting(p).map((d) => `${d.code.slice(7)} ${d.message}`);
/** The example with run `run` of flow `flow` changed. */
const withRun = (flow: number, run: number, change: Partial<Flow['runs'][number]>): Partial<RouteClass> => ({
  flows: EXAMPLE.map((f, i) =>
    i === flow ? { ...f, runs: f.runs.map((r, j) => (j === run ? { ...r, ...change } : r)) } : f,
  ),
});
const withPhase = (change: Partial<Phase>): Partial<RouteClass> => ({ phases: [[{ ...PHASE, ...change }]] });

test('the example of the document holds', () => expect(found(routed())).toEqual([]));

test.each<[string, Partial<RouteClass>, string]>([
  [
    'a run beyond the region',
    withRun(0, 0, { columns: [0, 3, 1] }),
    'R1 flow 0 of class 0: [0,3,1] reaches 2 of 0 .. 1',
  ],
  ['two runs at a core', withRun(0, 0, { rows: [0, 2, 1] }), 'R1 flow 0 of class 0 has two runs at core (0,1)'],
  ['a route without an end', withRun(0, 0, { routes: ['R>'] }), 'R2 flow 0 of class 0: R> is no route'],
  ['a route back', withRun(2, 1, { routes: ['S>SR'] }), 'R2 flow 2 of class 0: S>SR sends back where it receives from'],
  ['merging', withRun(0, 1, { routes: ['NS>R'] }), 'R2 flow 0 of class 0: NS>R is no route'],
  [
    'a color of the system',
    { flows: [{ ...EXAMPLE[0], color: 21 }, ...EXAMPLE.slice(1)] },
    'R2 flow 0 of class 0 has color 21, which wse3 does not give a program',
  ],
  [
    'switching a color that cannot',
    {
      flows: [{ ...EXAMPLE[0], color: 10 }, ...EXAMPLE.slice(1)].map((f, i) =>
        i === 0 ? { ...f, runs: f.runs.map((r, j) => (j === 0 ? { ...r, routes: ['R>S', 'S>N'] } : r)) } : f,
      ),
    },
    'R2 flow 0 of class 0 switches, which color 10 of wse3 cannot',
  ],
  ['a template in no class', { templates: [], phases: [] }, 'R3 class 0 has no template'],
  ['a flow that is not there', withPhase({ flows: [0, 1, 7] }), 'R3 class 0: there is no flow 7'],
  ['a flow in no phase', { phases: [[]] }, 'R3 class 0: flow 0 is in no phase'],
  ['no phase', { flows: [], phases: [[]] }, 'R4 op 0 (all_reduce over y) needs a phase, found none'],
  [
    'a phase over another axis',
    withPhase({ axis: 'x' }),
    'R4 op 0 (all_reduce over y) needs a phase, found one of op 0 over x',
  ],
  ['a phase too many', { phases: [[PHASE, PHASE]] }, 'R4 op 0 needs no phase over y'],
  [
    'an algorithm of gathers',
    { flows: EXAMPLE.slice(0, 2), ...withPhase({ algorithm: 'in-turn', flows: [0, 1] }) },
    'R4 op 0 (all_reduce over y) cannot be done by in-turn',
  ],
  ['other wavelets', withPhase({ wavelets: 3 }), 'R4 op 0 (all_reduce over y): 4 wavelets a core, found 3'],
  [
    'the other flow',
    withPhase({ flows: [1, 0, 2] }),
    'R5 op 0: middle-chain along column 0: from core 0 on flow 1: no route from its ramp, found none',
  ],
  [
    'a route turned',
    withRun(0, 3, { routes: ['R>S'] }),
    'R5 op 0: middle-chain along column 0: from core 3 on flow 0: core 4 does not receive it from N, found none',
  ],
  [
    'a turn out of the line',
    withRun(0, 3, { routes: ['R>E'] }),
    'R5 op 0: middle-chain along column 0: from core 3 on flow 0: the route R>E leaves the line',
  ],
  [
    'a core left out',
    withRun(2, 1, { routes: ['S>N'], input: null }),
    'R5 op 0: middle-chain along column 0: from core 2 on flow 2: 4 cores wait for it, 3 get it',
  ],
  [
    'an idle router',
    withRun(0, 3, { rows: [3, 2, 1] }),
    'R5 op 0: middle-chain along column 0: core 4 has the route R>N of flow 0, which no message takes',
  ],
  [
    'one column only',
    withRun(0, 0, { columns: [0] }),
    'R5 op 0: middle-chain along column 1: from core 0 on flow 0: no route from its ramp, found none',
  ],
  ['no queue', withRun(0, 1, { input: null }), 'R7 flow 0 of class 0: no input queue for the routes N>R'],
  ['a queue for nothing', withRun(0, 1, { output: 1 }), 'R7 flow 0 of class 0: output queue 1 for the routes N>R'],
  ['a queue too many', withRun(0, 1, { input: 6 }), 'R7 flow 0 of class 0: input queue 6, of 0 .. 5'],
  ['one queue for two colors', withRun(1, 0, { output: 2 }), ''],
  [
    'two colors on a queue',
    withRun(2, 1, { input: 0 }),
    'R8 class 0: op 0 over y needs flow 0, which was overwritten or never written',
  ],
  [
    'one color twice',
    { flows: [EXAMPLE[0], { ...EXAMPLE[1], color: 3 }, EXAMPLE[2]] },
    'R8 class 0: op 0 over y: flows 0 and 1: two routes for color 3 at core (0,1)',
  ],
])('%s', (_, change, message) => {
  const faults = found(routed(change));
  if (message === '') expect(faults).toEqual([]);
  else expect(faults).toContain(message);
});

test('flows that clash stand one after the other, when they are written in time', () => {
  // A second all-reduce over its own flows, on the same colors with the routes of b turned into those of c0.
  const region = programOf();
  const twice: RegionProgram = { ...region, ops: [region.ops[0], region.ops[0]] };
  const again = EXAMPLE.map((f, i) => ({ ...f, color: EXAMPLE[(i + 1) % 3].color }));
  const flows = [...EXAMPLE, ...again];
  const second: Phase = { ...PHASE, op: 1, flows: [3, 4, 5], loads: [3, 4, 5] };
  const first: Phase = { ...PHASE, loads: [0, 1, 2] };
  expect(found(routed({ flows, phases: [[first, second]] }, twice))).toEqual([]);
  const late = found(routed({ flows, phases: [[first, { ...second, loads: [3, 4] }]] }, twice));
  expect(late).toContain('R8 class 0: op 1 over y needs flow 5, which was overwritten or never written');
  const both = found(routed({ flows, phases: [[{ ...first, loads: [0, 1, 2, 3] }, second]] }, twice));
  expect(both.join('\n')).toMatch(/writes both: flows \d and 3/);
});

test('R11: over skipped rows a color goes one way, whenever it runs, and over defects only where they forward', () => {
  const region = programOf();
  const twice: RegionProgram = { ...region, ops: [region.ops[0], region.ops[0]] };
  const again = (turn: number): Flow[] => EXAMPLE.map((f, i) => ({ ...f, color: EXAMPLE[(i + turn) % 3].color }));
  const two = (turn: number): RoutedProgram => {
    const second: Phase = { ...PHASE, op: 1, flows: [3, 4, 5], loads: turn === 0 ? [] : [3, 4, 5] };
    const first: Phase = { ...PHASE, loads: turn === 0 ? [] : [0, 1, 2] };
    const program = routed({ flows: [...EXAMPLE, ...again(turn)], phases: [[first, second]] }, twice);
    const regions = [{ stages: [0], x: 3, y: 2, width: 2, height: 5, skippedRows: [4] }];
    return { ...program, placement: { regions } };
  };
  const on = (program: RoutedProgram, change: Partial<RoutedProgram['target']>): RoutedProgram => ({
    ...program,
    target: { ...program.target, ...change },
  });
  expect(found(two(0))).toEqual([]);
  expect(found(two(1))).toContain(
    'R11 flows 2 and 4 of class 0: N and S on color 5 of a router that the region passes over, which nobody writes',
  );
  const defects = [{ x: 3, y: 4, width: 1, height: 1 }];
  expect(found(on(two(0), { defects }))).toEqual(['R11 region 0: it passes over a core that must not be used']);
  expect(found(on(two(0), { defects, defectsForward: true }))).toEqual([]);
});

test('R10: two cores that pass on to each other', () => {
  const up = [queued([1], 'R>N', null, 1), queued([0], 'S>R', 1, null)];
  const flows = EXAMPLE.map((f, i) => (i === 1 ? { ...f, runs: [...up, ...f.runs.slice(1)] } : f));
  expect(found(routed({ flows })).filter((f) => f.startsWith('R10'))).toEqual([
    'R10 op 0 along column 0: core 0 sends on color 3 -> S from core 0 to core 1 on color 3 -> core 1 receives on color 3 -> ' +
      'core 1 sends on color 4 -> N from core 1 to core 0 on color 4 -> core 0 receives on color 4 -> core 0 sends on color 3',
  ]);
});

test('R9: cycles for the busiest link, and for routes that are written', () => {
  const scheduled = (cycles: number, reset?: number): RoutedProgram => ({
    ...routed(),
    schedule: {
      perTemplate: [
        [{ op: 0, start: 0, cycles, bound: 1, boundBy: 'latency', ...(reset === undefined ? {} : { reset }) }],
      ],
      joined: [],
      sends: [],
      host: { bytesIn: 0, bytesOut: 0, cyclesIn: 0, cyclesOut: 0 },
      cyclesPerStep: { calibrated: cycles, bound: 1 },
    },
  });
  expect(found(scheduled(8))).toEqual([]);
  expect(found(scheduled(3))).toEqual(['R9 op 0 has 3 cycles for 4 wavelets over a link, after 0 for routes']);
  expect(found(scheduled(8, 5))).toEqual(['R9 op 0 writes 0 flows, which takes 0 cycles, found 5']);
});
