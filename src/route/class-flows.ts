/**
 * What the collectives of templates that share regions ask of the routers: flows by row or column, the same flow for
 * every phase that needs the same routes.
 */
import { costProgram } from '../cost/program.ts';
import type { RegionProgram, RegionShape } from '../ir/program.ts';
import type { LineAxis, Phase, RouteRun } from '../ir/routing.ts';
import type { Target } from '../ir/target.ts';
import { type CellRoutes, portsOf, routeLine } from './line-routes.ts';
import { spansOf } from './spans.ts';

/** Routes that depend on the column of a core only (lines run along rows), or on its row only. */
export interface ClassFlow {
  readonly along: 'columns' | 'rows';
  readonly cells: CellRoutes;
  /** Needs a color with switch positions. */
  readonly turns: boolean;
}

export type DraftPhase = Omit<Phase, 'loads'>;

export interface ClassFlows {
  readonly shape: RegionShape;
  readonly flows: readonly ClassFlow[];
  /** By program. */
  readonly phases: readonly (readonly DraftPhase[])[];
}

/** Flows and phases of programs of one shape, on the algorithms that the cost model chose. */
export function flowsOfClass(programs: readonly RegionProgram[], target: Target): ClassFlows {
  const { shape } = programs[0];
  const flows: ClassFlow[] = [];
  const known = new Map<string, number>();
  const flowOf = (along: ClassFlow['along'], cells: CellRoutes): number => {
    if (cells.every((c) => c === '')) return -1;
    const key = `${along} ${cells.join()}`;
    let index = known.get(key);
    if (index === undefined) {
      index = flows.push({ along, cells, turns: cells.some((c) => c.includes('|')) }) - 1;
      known.set(key, index);
    }
    return index;
  };
  const phases = programs.map((program) =>
    costProgram(program, target).flatMap(({ op, lines }) =>
      (lines ?? []).map(({ axis, algorithm, group, wavelets }): DraftPhase => {
        const along = axis === 'y' ? 'rows' : 'columns';
        const drawn = drawLines({ axis, algorithm, group }, shape);
        return { op, axis, algorithm, group, wavelets, flows: drawn.map((cells) => flowOf(along, cells)) };
      }),
    ),
  );
  return { shape, flows, phases };
}

/** Routes of an algorithm over all columns (or rows) of a region: segments of a row one after another. */
export function drawLines(
  { axis, algorithm, group }: { readonly axis: LineAxis; readonly algorithm: string; readonly group: number },
  { width, height, groups }: RegionShape,
): CellRoutes[] {
  const inner = width / groups;
  const length = axis === 'y' ? height : axis === 'xi' ? inner : width;
  const apart = axis === 'xo' ? inner : 1;
  const members = Array.from({ length: length / apart }, (_, i) => i * apart);
  const one = routeLine(algorithm, { length, members, ...portsOf(axis) }, group);
  const times = axis === 'xi' ? groups : 1;
  return one.map((cells) => Array.from({ length: times }, () => cells).flat());
}

/** Columns (or rows) by their routes. */
export function cellsByRoute({ cells }: ClassFlow): Map<string, number[]> {
  const found = new Map<string, number[]>();
  for (const [i, routes] of cells.entries()) {
    if (routes === '') continue;
    const list = found.get(routes);
    if (list === undefined) found.set(routes, [i]);
    else list.push(i);
  }
  return found;
}

/** Queues that a route needs. */
export const takesInput = (routes: string): boolean => routes.split('|').some((r) => r.slice(2).includes('R'));
export const takesOutput = (routes: string): boolean => routes.split('|').some((r) => r.startsWith('R'));

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** The runs of a flow; `queues` says which queues its cores of each route bind. */
export function runsOf(
  flow: ClassFlow,
  { width, height }: RegionShape,
  queues: (routes: string) => Pick<RouteRun, 'input' | 'output'>,
): RouteRun[] {
  const [across] = spansOf(range(flow.along === 'columns' ? height : width));
  return [...cellsByRoute(flow)].flatMap(([routes, cells]) =>
    spansOf(cells).map((span) => ({
      columns: flow.along === 'columns' ? span : across,
      rows: flow.along === 'columns' ? across : span,
      routes: routes.split('|'),
      ...queues(routes),
    })),
  );
}
