/** Colors and queues of a class: turns where they must be shared, and what is said, in full, where one phase has too few. */
import { describe, expect, test } from 'vitest';
import { Diagnosed } from '../../src/diag/diagnostic.ts';
import type { Target } from '../../src/ir/target.ts';
import { assignClass, type Free, type Gaps } from '../../src/route/assign.ts';
import { type ClassFlow, type ClassFlows, type DraftPhase, drawLines } from '../../src/route/class-flows.ts';
import { loadTarget } from '../../src/target/load.ts';

const wse3 = loadTarget('wse3');
const SHAPE = { width: 6, height: 9, groups: 2 };

/** One program of phases over `axis`, each with flows of its own. */
function drawn(...phases: readonly (readonly [axis: 'x' | 'y' | 'xi', algorithm: string])[]): ClassFlows {
  const flows: ClassFlow[] = [];
  const list = phases.map(([axis, algorithm], op): DraftPhase => {
    const own = drawLines({ axis, algorithm, group: 3 }, SHAPE).map((cells): number => {
      const turns = cells.some((c) => c.includes('|'));
      return flows.push({ along: axis === 'y' ? 'rows' : 'columns', cells, turns }) - 1;
    });
    return { op, axis, algorithm, group: 3, wavelets: 4, flows: own };
  });
  return { shape: SHAPE, flows, phases: [list] };
}

const free = (colors: number, input: number, output: number): Free => ({
  colors: Array.from({ length: colors }, (_, c) => c),
  input: Array.from({ length: input }, (_, q) => q),
  output: Array.from({ length: output }, (_, q) => q),
});
const NO_GAPS: Gaps = { columns: new Set(), rows: new Set() };
const loads = (flows: ClassFlows, left: Free, target: Target = wse3): number[][] =>
  assignClass(flows, { free: left, gaps: NO_GAPS }, target, 'layer').phases[0].map((p) => [...p.loads]);

describe('turns', () => {
  test('what fits is configured once', () => {
    expect(loads(drawn(['y', 'chain'], ['x', 'chain']), free(6, 4, 4))).toEqual([[], []]);
  });
  test('colors that two phases share are written before each of them', () => {
    expect(loads(drawn(['y', 'chain'], ['x', 'chain']), free(3, 4, 4))).toEqual([
      [0, 1, 2],
      [3, 4, 5],
    ]);
  });
  test('queues: only flows that clash are written', () => {
    const [first, second] = loads(drawn(['y', 'chain'], ['x', 'chain']), free(6, 3, 4));
    expect(first.length).toBeGreaterThan(0);
    expect(first.length + second.length).toBeLessThan(6);
  });
  test('output queues that several colors share need no writes', () => {
    const shared = { ...wse3, queues: { ...wse3.queues, outputsShared: true } };
    const flows = drawn(['y', 'relay'], ['x', 'relay']);
    expect(loads(flows, free(8, 4, 2), shared)).toEqual([[], []]);
    expect(loads(flows, free(8, 4, 2)).flat()).not.toEqual([]);
  });
});

describe('too little', () => {
  test.each<[string, ClassFlows, Free, string]>([
    [
      'colors',
      drawn(['y', 'chain']),
      free(2, 6, 6),
      'route/colors template layer: one collective needs 3 colors at a core, 2 are left beside transports (short of 1)',
    ],
    [
      'colors with switches',
      drawn(['xi', 'in-turn']),
      { ...free(0, 6, 6), colors: [0, 10, 11, 14] },
      'route/colors template layer: one collective needs 2 colors that can be switched at a core, 1 are left beside transports (short of 1)',
    ],
    [
      'input queues',
      drawn(['y', 'middle-two-phase']),
      free(5, 3, 6),
      'route/queues template layer: one collective needs 4 input queues at a core, 3 of 6 are left beside transports (short of 1)',
    ],
    [
      'output queues',
      drawn(['y', 'relay']),
      free(5, 3, 1),
      'route/queues template layer: one collective needs 2 output queues at a core, 1 of 6 are left beside transports (short of 1)',
    ],
  ])('%s', (_, flows, left, message) => {
    let said: string[] = [];
    try {
      assignClass(flows, { free: left, gaps: NO_GAPS }, wse3, 'layer');
    } catch (error) {
      if (!(error instanceof Diagnosed)) throw error;
      said = error.diagnostics.map((d) => `${d.code} ${d.message}`);
    }
    expect(said).toEqual([message]);
  });
});

test('what crosses a router that the region passes over goes one way on a color, whenever it runs', () => {
  const flows = drawn(['y', 'chain'], ['y', 'middle-chain'], ['x', 'chain'], ['x', 'middle-chain']);
  /** Colors that go both ways between rows 1 and 2, or between columns 1 and 2. */
  const both = (gaps: Gaps): string[] => {
    const { flows: assigned } = assignClass(flows, { free: free(4, 6, 6), gaps }, wse3, 'layer');
    const ways = new Map<string, Set<string>>();
    for (const [f, { color }] of assigned.entries()) {
      const { along, cells } = flows.flows[f];
      const [ahead, back] = along === 'columns' ? 'EW' : 'SN';
      const key = `${along} ${color}`;
      const known = ways.get(key) ?? new Set();
      if (cells[1].slice(2).includes(ahead)) known.add(ahead);
      if (cells[2].slice(2).includes(back)) known.add(back);
      ways.set(key, known);
    }
    return [...ways].filter(([, list]) => list.size > 1).map(([key]) => key);
  };
  expect(both(NO_GAPS)).not.toEqual([]);
  expect(both({ columns: new Set([2]), rows: new Set([2]) })).toEqual([]);
});
