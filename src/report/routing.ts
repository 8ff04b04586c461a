/** Use of colors, queues and links, recomputed from a plan's routes: the fullest core, and the busiest link. */
import { ROUTE_RESET_CYCLES } from '../cost/constants.ts';
import type { Region } from '../ir/facts.ts';
import type { Phase, RouteRun, Transport } from '../ir/routing.ts';
import type { Plan } from '../plan/types.ts';
import { classOf } from '../route/expand.ts';
import { columnsOf, rowsOf } from '../route/fabric.ts';
import { lastOf, numbersOf } from '../route/spans.ts';

export interface RoutingFigures {
  /** Over all moments of a step: most different colors that a router has routes for, and most queues that a core binds. */
  readonly colorsMax: number;
  readonly inputQueuesMax: number;
  readonly outputQueuesMax: number;
  /** The first core with `colorsMax` colors. */
  readonly fullestCore: { readonly x: number; readonly y: number };
  readonly busiestLink: BusiestLink | null;
  /** Writes of routes at a core in a step, and the cycles they are charged. */
  readonly resetsPerStep: number;
  readonly resetCyclesPerStep: number;
}

/** The link that carries most wavelets in one transport or one phase. */
export interface BusiestLink {
  readonly what: string;
  readonly wavelets: number;
}

export function routingFigures(plan: Plan): RoutingFigures {
  const { routing, regions, stages, target } = plan;
  const pinned = routing.flows.flatMap(({ color, runs }) => runs.map((run) => ({ ...run, color })));
  const everywhere = { x: 0, y: 0, width: target.width, height: target.height };
  const full = regions.map((region) => {
    const inside = routing.classes[classOf(plan, region)].flows.flatMap(({ color, runs }) =>
      runs.map((run) => ({ ...run, color })),
    );
    return fullest(region, inside, pinned);
  });
  full.push(fullest({ ...everywhere, stages: [] }, [], pinned));
  const most = (key: 'colors' | 'input' | 'output'): Use => full.reduce((a, b) => (b[key] > a[key] ? b : a));
  const resetsPerStep = stages.reduce((n, { template }) => {
    const list = routing.classes.find((c) => c.templates.includes(template));
    const phases = list?.phases[list.templates.indexOf(template)] ?? [];
    return n + phases.reduce((m, p) => m + p.loads.length, 0);
  }, 0);
  const { x, y } = most('colors').core;
  return {
    colorsMax: most('colors').colors,
    inputQueuesMax: most('input').input,
    outputQueuesMax: most('output').output,
    fullestCore: { x, y },
    busiestLink: busiest(plan),
    resetsPerStep,
    resetCyclesPerStep: resetsPerStep * (target.routeResetCycles ?? ROUTE_RESET_CYCLES),
  };
}

interface Use {
  readonly colors: number;
  readonly input: number;
  readonly output: number;
  /** First with most colors. */
  readonly core: { readonly x: number; readonly y: number };
}

interface ColoredRun extends RouteRun {
  readonly color: number;
}

/** Columns (or rows) that are in the same runs are looked at once. */
function fullest(region: Region, inside: readonly ColoredRun[], pinned: readonly ColoredRun[]): Use {
  const [columns, rows] = [columnsOf(region), rowsOf(region)];
  const near = pinned.filter(
    (run) =>
      run.columns[0] <= columns[columns.length - 1] &&
      lastOf(run.columns) >= columns[0] &&
      run.rows[0] <= rows[rows.length - 1] &&
      lastOf(run.rows) >= rows[0],
  );
  const runs = [...inside, ...near];
  const columnKinds = kinds(
    columns,
    runs.map((run, i) => (i < inside.length ? numbersOf(run.columns).map((c) => columns[c]) : numbersOf(run.columns))),
  );
  const rowKinds = kinds(
    rows,
    runs.map((run, i) => (i < inside.length ? numbersOf(run.rows).map((r) => rows[r]) : numbersOf(run.rows))),
  );
  const inRow = rowKinds.map((r) => {
    const holds = new Uint8Array(runs.length);
    for (const i of r.runs) holds[i] = 1;
    return holds;
  });
  const counters = [distinct(runs, 'color'), distinct(runs, 'input'), distinct(runs, 'output')] as const;
  let use: Use = { colors: 0, input: 0, output: 0, core: { x: columns[0], y: rows[0] } };
  for (const c of columnKinds) {
    for (const [k, r] of rowKinds.entries()) {
      const here = c.runs.filter((i) => inRow[k][i] === 1);
      const [colors, input, output] = counters.map((count) => count(here));
      use = {
        colors: Math.max(use.colors, colors),
        input: Math.max(use.input, input),
        output: Math.max(use.output, output),
        core: colors > use.colors ? { x: c.first, y: r.first } : use.core,
      };
    }
  }
  return use;
}

/** Counts different values of `key` among runs; made for being asked very often. */
function distinct(runs: readonly ColoredRun[], key: 'color' | 'input' | 'output') {
  const values = Int32Array.from(runs, (run) => run[key] ?? -1);
  const seen = new Int32Array(values.reduce((a, b) => Math.max(a, b), 0) + 1);
  let asked = 0;
  return (list: readonly number[]): number => {
    asked++;
    let count = 0;
    for (const i of list) {
      const value = values[i];
      if (value < 0 || seen[value] === asked) continue;
      seen[value] = asked;
      count++;
    }
    return count;
  };
}

interface Kind {
  readonly first: number;
  /** Indices of the runs that hold it, ascending. */
  readonly runs: readonly number[];
}

function kinds(numbers: readonly number[], runs: readonly (readonly number[])[]): Kind[] {
  const held = new Map<number, number[]>(numbers.map((n) => [n, []]));
  for (const [i, list] of runs.entries()) for (const n of list) held.get(n)?.push(i);
  const found = new Map<string, Kind>();
  for (const [first, list] of held) {
    const key = list.join();
    if (!found.has(key)) found.set(key, { first, runs: list });
  }
  return [...found.values()];
}

function busiest(plan: Plan): BusiestLink | null {
  const { routing, templates, target } = plan;
  const place = (region: number | null): string => (region === null ? 'host' : `region ${region}`);
  const name = ({ kind, from, to, algorithm }: Transport): string =>
    `${kind} ${place(from)} -> ${to === null ? 'host' : to.length > 1 ? `${to.length} regions` : place(to[0])}, ${algorithm}`;
  const links: BusiestLink[] = routing.transports.map((t) => ({ what: name(t), wavelets: t.wavelets }));
  for (const c of routing.classes)
    for (const [i, list] of c.phases.entries())
      for (const phase of list) {
        const { program, name: template } = templates[c.templates[i]];
        const { width, height, groups } = program.shape;
        const cores = { y: height, x: width, xi: width / groups, xo: groups }[phase.axis];
        const op = program.ops[phase.op].op;
        links.push({
          what: `${template} op ${phase.op} ${op} @${phase.axis}, ${phase.algorithm}`,
          wavelets: linkWavelets(phase, op, cores),
        });
      }
  if (target.width * target.height === 1 || links.length === 0) return null;
  return links.reduce((a, b) => (b.wavelets > a.wavelets ? b : a));
}

/** Wavelets over the busiest link of a line: its last one for gathers, any for reductions. */
function linkWavelets({ algorithm, wavelets }: Phase, op: string, cores: number): number {
  switch (algorithm) {
    case 'in-turn':
      return (cores - 1) * wavelets;
    case 'relay':
      return (cores - 1) * (op === 'all_gather' ? wavelets : Math.ceil(wavelets / cores));
    case 'scatter-gather':
      // Blocks of those ahead while it scatters, of those behind while it gathers.
      return cores * Math.ceil(wavelets / cores);
    default:
      return wavelets;
  }
}
