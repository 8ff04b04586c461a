/**
 * Routes of whole plans, followed wavelet by wavelet from what ARCHITECTURE.md says, without the code that draws or
 * expands them: every transport reaches its cores and no others, and at no time do two flows clash at a core.
 */
import { beforeAll, describe, expect, test } from 'vitest';
import type { Flow, RouteRun, Span, Transport } from '../../src/ir/routing.ts';
import type { Plan } from '../../src/plan/types.ts';
import { routesAt } from '../../src/route/expand.ts';
import { compileOn, scattered } from './support.ts';

function numbersOf(span: Span): number[] {
  const pairs = span.slice(1);
  let numbers = [span[0]];
  while (pairs.length > 0) {
    const [count, period] = pairs.splice(0, 2);
    const inner = numbers;
    numbers = Array.from({ length: count }, (_, i) => inner.map((n) => n + i * period)).flat();
  }
  return numbers;
}

const WAYS: Readonly<Record<string, readonly [dx: number, dy: number, into: string]>> = {
  N: [0, -1, 'S'],
  E: [1, 0, 'W'],
  S: [0, 1, 'N'],
  W: [-1, 0, 'E'],
};

type Cells = Map<string, RouteRun>;
const at = (x: number, y: number): string => `${x},${y}`;

function cellsOf({ runs }: Flow): Cells {
  const cells: Cells = new Map();
  for (const run of runs)
    for (const y of numbersOf(run.rows))
      for (const x of numbersOf(run.columns)) {
        if (cells.has(at(x, y))) throw new Error(`two runs at ${at(x, y)}`);
        cells.set(at(x, y), run);
      }
  return cells;
}

/** Cores that get what `from` sends (or the host, from `port` at `from`), and `edge` for what leaves the fabric. */
function follow(cells: Cells, from: string, port: string, target: Plan['target'], used: Set<string>): Set<string> {
  const got = new Set<string>();
  const step = (cell: string, into: string): void => {
    const run = cells.get(cell);
    if (run === undefined) throw new Error(`no route at ${cell}`);
    const route = into === 'R' ? run.routes[0] : run.routes[run.routes.length - 1];
    if (route[0] !== into) throw new Error(`${cell} has ${route} for what comes from ${into}`);
    used.add(`${cell} ${route}`);
    const [x, y] = cell.split(',').map(Number);
    for (const out of route.slice(2)) {
      if (out === 'R') {
        if (run.input === null) throw new Error(`${cell} receives on no queue`);
        got.add(cell);
        continue;
      }
      const [dx, dy, next] = WAYS[out];
      const [nx, ny] = [x + dx, y + dy];
      if (nx < 0 || ny < 0 || nx >= target.width || ny >= target.height) got.add('edge');
      else step(at(nx, ny), next);
    }
  };
  step(from, port);
  return got;
}

const kept = (start: number, count: number, skipped: readonly number[] = []): number[] => {
  const out: number[] = [];
  for (let n = start; out.length < count; n++) if (!skipped.includes(n)) out.push(n);
  return out;
};
const coresOf = ({ regions }: Plan, r: number, row?: number): string[] => {
  const { x, y, width, height, skippedColumns, skippedRows } = regions[r];
  const rows = kept(y, height, skippedRows).filter((n) => row === undefined || n === row);
  return rows.flatMap((ry) => kept(x, width, skippedColumns).map((cx) => at(cx, ry)));
};

function checkTransport(plan: Plan, transport: Transport): void {
  const { kind, to, algorithm, flows, senders } = transport;
  const main = flows[flows.length - 1];
  const cells = cellsOf(plan.routing.flows[main]);
  const used = new Set<string>();
  const all = new Set((to ?? []).flatMap((r) => coresOf(plan, r)));
  if (kind === 'input') {
    const entries = [...cells].filter(([cell, { routes }]) => cell.startsWith('0,') && routes[0].startsWith('W'));
    expect(entries).toHaveLength(1);
    expect(follow(cells, entries[0][0], 'W', plan.target, used)).toEqual(all);
  }
  const sending = senders.flatMap(({ columns, rows }) =>
    numbersOf(rows).flatMap((y) => numbersOf(columns).map((x) => [x, y] as const)),
  );
  const last =
    algorithm === 'relay-bus'
      ? sending.filter(([x, y]) => cells.get(at(x, y))?.output !== null && cells.has(at(x, y)))
      : sending;
  if (algorithm === 'relay-bus') expect(last).toHaveLength(1);
  for (const [x, y] of algorithm === 'columns' ? [] : last) {
    const want =
      to === null ? new Set(['edge']) : algorithm === 'lanes' ? new Set(to.flatMap((r) => coresOf(plan, r, y))) : all;
    expect(follow(cells, at(x, y), 'R', plan.target, used)).toEqual(want);
  }
  if (algorithm === 'columns') {
    const [from, next] = [plan.regions[transport.from ?? 0], plan.regions[to?.[0] ?? 0]];
    const rows = kept(from.y, from.height, from.skippedRows);
    const arriving = kept(next.y, next.height, next.skippedRows);
    for (const [x, y] of sending) {
      const core = at(x, arriving[rows.indexOf(y)]);
      const reach = flows.slice(0, -1).flatMap((f) => {
        const down = cellsOf(plan.routing.flows[f]);
        return down.get(at(x, y))?.routes[0].startsWith('R') === true
          ? [follow(down, at(x, y), 'R', plan.target, new Set())]
          : [];
      });
      expect(reach).toEqual([new Set([core])]);
      const row = coresOf(plan, to?.[0] ?? 0, arriving[rows.indexOf(y)]).filter((c) => c !== core);
      expect(follow(cells, core, 'R', plan.target, used)).toEqual(new Set(row));
    }
  }
  const drawn = [...cells].flatMap(([cell, { routes }]) => routes.map((route) => `${cell} ${route}`));
  expect([...used].sort()).toEqual(drawn.sort());
}

/** What a core has for a flow at one moment; two of them clash by one color with two routes, or one queue for two colors. */
function expectNoClash(plan: Plan): void {
  const { routing, target } = plan;
  const { usable, switchable } = target.colors;
  for (let y = 0; y < target.height; y++)
    for (let x = 0; x < target.width; x++) {
      const here = routesAt(plan, x, y);
      const fixed = here.filter((r) => r.transport !== null);
      const holds = (what: string, is: boolean): void => {
        if (!is) throw new Error(`core (${x},${y}): ${what}`);
      };
      for (const { color, routes } of here) {
        holds(`color ${color} is not usable`, usable.includes(color));
        holds(`color ${color} has no switch`, routes.length === 1 || switchable.includes(color));
      }
      const k = here.find((r) => r.class !== null)?.class ?? null;
      const phases = k === null ? [] : routing.classes[k].phases.flat().map((p) => p.flows);
      for (const flows of [[], ...phases]) {
        const now = [...fixed, ...here.filter((r) => r.class !== null && flows.includes(r.flow))];
        holds('one color, two routes', new Set(now.map((r) => r.color)).size === now.length);
        for (const side of ['input', 'output'] as const) {
          const bound = now.flatMap((r) => (r[side] === null ? [] : [r[side]]));
          holds(`one ${side} queue, two colors`, new Set(bound).size === bound.length);
          holds(`no such ${side} queue`, Math.max(-1, ...bound) < target.queues[side]);
        }
      }
    }
}

/** Flows of a phase are written, unless no other flow that a region writes could have displaced them. */
function expectWritten({ routing }: Plan): void {
  for (const { phases, flows } of routing.classes)
    for (const list of phases) {
      const cells = flows.map(cellsOf);
      const clash = (a: number, b: number): boolean =>
        [...cells[a]].some(([cell, p]) => {
          const q = cells[b].get(cell);
          if (q === undefined) return false;
          if (flows[a].color === flows[b].color) return p.routes.join() !== q.routes.join();
          return (p.input !== null && p.input === q.input) || (p.output !== null && p.output === q.output);
        });
      const has = new Set(flows.keys());
      for (const a of flows.keys()) if ([...flows.keys()].some((b) => a !== b && clash(a, b))) has.delete(a);
      for (const { flows: wanted, loads } of list) {
        for (const f of loads) for (const g of has) if (f !== g && clash(f, g)) has.delete(g);
        for (const f of loads) has.add(f);
        const missing = wanted.find((f) => f !== -1 && !has.has(f));
        if (missing !== undefined) throw new Error(`flow ${missing} is not written`);
      }
    }
}

const CASES: readonly [string, Parameters<typeof compileOn>][] = [
  ['llama on 8 x 8', ['tiny-llama', {}]],
  ['gpt2 around defects', ['tiny-gpt2', { defects: scattered(16, 16, 6) }, 32, 'mesh-16x16']],
  [
    'llama over defects that forward',
    ['tiny-llama', { defects: scattered(16, 16, 6), defectsForward: true }, 32, 'mesh-16x16'],
  ],
  ['bert without switches', ['tiny-bert', { colors: { usable: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10], switchable: [] } }]],
  [
    'llama with few colors and queues',
    [
      'tiny-llama',
      { colors: { usable: [0, 1, 2, 3, 4, 5, 6, 7, 8], switchable: [6, 7, 8] }, queues: { input: 4, output: 4 } },
    ],
  ],
];

describe.each(CASES)('%s', (_, args) => {
  let plan: Plan;
  beforeAll(async () => {
    const compiled = await compileOn(...args);
    plan = compiled.json();
  });
  test('every transport reaches its cores, and no others', () => {
    expect(plan.routing.transports.map((t) => t.kind)).toEqual(expect.arrayContaining(['input', 'output']));
    for (const transport of plan.routing.transports) checkTransport(plan, transport);
  });
  test('no clash, whatever phase runs', () => expect(() => expectNoClash(plan)).not.toThrow());
  test('flows are there when their phase begins', () => expect(() => expectWritten(plan)).not.toThrow());
});
