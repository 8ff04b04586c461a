/** Any core of a plan: what its router does on every color, and which queues it binds. */
import type { Region } from '../ir/facts.ts';
import type { Flow, RouteRun, Routing } from '../ir/routing.ts';
import { columnsOf, rowsOf } from './fabric.ts';
import { spanHas } from './spans.ts';

/** What of a plan routes are read from. */
export interface RoutedPlan {
  readonly routing: Routing;
  readonly regions: readonly Region[];
  readonly stages: readonly { readonly template: number }[];
}

/** Which region stands at a core of the fabric, and the core's own column and row there; null in a skipped one. */
export interface Standing {
  readonly region: number;
  readonly column: number | null;
  readonly row: number | null;
  /** Region columns (rows) before the core; one less than `column` (`row`) + 1. */
  readonly columnsBefore: number;
  readonly rowsBefore: number;
}

export interface CoreRoute {
  readonly color: number;
  readonly routes: readonly string[];
  readonly input: number | null;
  readonly output: number | null;
  /** Transport or class whose flow it is, and the flow. */
  readonly transport: number | null;
  readonly class: number | null;
  readonly flow: number;
}

export const classOf = ({ routing, stages }: RoutedPlan, { stages: held }: Region): number =>
  routing.classes.findIndex(({ templates }) => templates.includes(stages[held[0]].template));

/** The region at column x and row y of the fabric; null where none stands. */
export function standingAt({ regions }: RoutedPlan, x: number, y: number): Standing | null {
  for (const [r, region] of regions.entries()) {
    const [columns, rows] = [columnsOf(region), rowsOf(region)];
    if (x < columns[0] || x > columns[columns.length - 1] || y < rows[0] || y > rows[rows.length - 1]) continue;
    const [column, row] = [columns.indexOf(x), rows.indexOf(y)];
    return {
      region: r,
      column: column === -1 ? null : column,
      row: row === -1 ? null : row,
      columnsBefore: columns.filter((c) => c < x).length,
      rowsBefore: rows.filter((c) => c < y).length,
    };
  }
  return null;
}

const runAt = ({ runs }: Flow, column: number, row: number): RouteRun | undefined =>
  runs.find((run) => spanHas(run.columns, column) && spanHas(run.rows, row));

/** All routes of the core at column x and row y of the fabric: of transports, then of its region's class. */
export function routesAt(plan: RoutedPlan, x: number, y: number): CoreRoute[] {
  const { routing, regions } = plan;
  const found: CoreRoute[] = [];
  for (const [t, transport] of routing.transports.entries())
    for (const flow of transport.flows) {
      const run = flow === -1 ? undefined : runAt(routing.flows[flow], x, y);
      if (run !== undefined) found.push({ ...own(routing.flows[flow], run), transport: t, class: null, flow });
    }
  const standing = standingAt(plan, x, y);
  if (standing === null) return found;
  const k = classOf(plan, regions[standing.region]);
  for (const [f, flow] of routing.classes[k].flows.entries()) {
    const route = classRoute(flow, standing);
    if (route !== undefined) found.push({ ...own(flow, route), transport: null, class: k, flow: f });
  }
  return found;
}

type Configured = Pick<RouteRun, 'routes' | 'input' | 'output'>;

const own = ({ color }: Flow, { routes, input, output }: Configured) => ({ color, routes, input, output });

/** A core's own routes; in a skipped column or row, what its neighbours on both sides say to each other. */
function classRoute(flow: Flow, { column, row, columnsBefore, rowsBefore }: Standing): Configured | undefined {
  if (column !== null && row !== null) return runAt(flow, column, row);
  if (column === null && row === null) return undefined;
  const [before, after, ahead, back] =
    column === null
      ? [runAt(flow, columnsBefore - 1, row ?? 0), runAt(flow, columnsBefore, row ?? 0), 'E', 'W']
      : [runAt(flow, column, rowsBefore - 1), runAt(flow, column, rowsBefore), 'S', 'N'];
  const sends = (run: RouteRun | undefined, port: string): boolean =>
    run?.routes.some((r) => r.slice(2).includes(port)) === true;
  const routes = [
    ...(sends(before, ahead) ? [`${back}>${ahead}`] : []),
    ...(sends(after, back) ? [`${ahead}>${back}`] : []),
  ];
  return routes.length === 0 ? undefined : { routes, input: null, output: null };
}
