/** All routes of a program: transports first, since they stay; then, with the colors and queues they leave, collectives. */
import type { Region } from '../ir/facts.ts';
import type { Flow, RouteClass, RouteRun, Routing } from '../ir/routing.ts';
import type { Target } from '../ir/target.ts';
import { assignClass, type Free, type Gaps } from './assign.ts';
import { flowsOfClass } from './class-flows.ts';
import { columnsOf, rowsOf } from './fabric.ts';
import { planTransports } from './plan-transports.ts';
import { lastOf } from './spans.ts';
import type { Routable } from './values.ts';

/** @throws Diagnosed `route/..` when the target has too few colors or queues, or no way. */
export function planRoutes(program: Routable): Routing {
  const { mapping, placement, stages, target } = program;
  const { flows, transports } = planTransports(program);
  const classes = templateClasses(program).map((templates): RouteClass => {
    const regions = placement.regions.filter((r) => templates.includes(stages.stages[r.stages[0]].template));
    const drawn = flowsOfClass(
      templates.map((t) => mapping.programs[t]),
      target,
    );
    const name = templates.map((t) => stages.templates[t].name).join('+');
    return {
      templates,
      ...assignClass(drawn, { free: freeIn(regions, flows, target), gaps: gapsOf(regions) }, target, name),
    };
  });
  return { flows, transports, classes };
}

/** Templates that meet in a region have one shape and one set of routes. */
function templateClasses({ placement, stages }: Routable): number[][] {
  const classes: Set<number>[] = [];
  for (const { stages: held } of placement.regions) {
    const own = new Set(held.map((s) => stages.stages[s].template));
    const met = classes.filter((c) => [...own].some((t) => c.has(t)));
    for (const c of met) {
      classes.splice(classes.indexOf(c), 1);
      for (const t of c) own.add(t);
    }
    classes.push(own);
  }
  return classes.map((c) => [...c].sort((a, b) => a - b)).sort((a, b) => a[0] - b[0]);
}

function gapsOf(regions: readonly Region[]): Gaps {
  const after = (numbers: readonly number[]): number[] =>
    numbers.flatMap((n, i) => (i > 0 && n > numbers[i - 1] + 1 ? [i] : []));
  return {
    columns: new Set(regions.flatMap((r) => after(columnsOf(r)))),
    rows: new Set(regions.flatMap((r) => after(rowsOf(r)))),
  };
}

/** Colors and queues that no transport uses at a core of `regions`. */
function freeIn(regions: readonly Region[], flows: readonly Flow[], { colors, queues }: Target): Free {
  const taken = { colors: new Set<number>(), input: new Set<number>(), output: new Set<number>() };
  const boxes = regions.map(boxOf);
  for (const { color, runs } of flows) {
    for (const run of runs) {
      if (!boxes.some((box) => meetsBox(run, box))) continue;
      taken.colors.add(color);
      if (run.input !== null) taken.input.add(run.input);
      if (run.output !== null) taken.output.add(run.output);
    }
  }
  const free = (count: number, of: Set<number>): number[] =>
    Array.from({ length: count }, (_, q) => q).filter((q) => !of.has(q));
  return {
    colors: colors.usable.filter((c) => !taken.colors.has(c)),
    input: free(queues.input, taken.input),
    output: free(queues.output, taken.output),
  };
}

interface Box {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

function boxOf(region: Region): Box {
  const [columns, rows] = [columnsOf(region), rowsOf(region)];
  return { left: columns[0], right: columns[columns.length - 1], top: rows[0], bottom: rows[rows.length - 1] };
}

/** Whether a run may hold cores of the box: what its spans leave out between is not looked at. */
const meetsBox = ({ columns, rows }: RouteRun, { left, right, top, bottom }: Box): boolean =>
  columns[0] <= right && lastOf(columns) >= left && rows[0] <= bottom && lastOf(rows) >= top;
