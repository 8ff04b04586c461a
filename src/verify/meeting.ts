/**
 * Rule R8 of routing.ts where flows of transports meet each other and the flows of regions, and R11: what stands on
 * routers that no program writes while it runs, those of defects and those that a region passes over.
 */
import type { Diagnostic } from '../diag/diagnostic.ts';
import type { Port, RouteRun } from '../ir/routing.ts';
import type { Owners } from './fabric-owners.ts';
import { clash } from './occupancy.ts';
import { brokenRoute, type RoutedProgram } from './routed.ts';
import { FlowGrid } from './spans.ts';

/** Flows of transports stay configured, so they must stand beside each other and beside those of every region. */
export function verifyMeeting(program: RoutedProgram, grid: FlowGrid, owners: Owners): Diagnostic[] {
  const { placement, target } = program;
  // What no message may cross; nothing where routers of defects forward.
  const closed = new Uint8Array(target.width * target.height);
  for (const d of target.defectsForward === true ? [] : target.defects)
    for (let y = d.y; y < d.y + d.height; y++) closed.fill(1, y * target.width + d.x, y * target.width + d.x + d.width);
  return [
    ...verifyTogether(program, grid),
    ...verifyDefects(program, grid),
    ...placement.regions.flatMap((_, region) => verifyRegion(program, { grid, owners, closed, region })),
  ];
}

/** Tells each pair of flows once. */
class Told {
  readonly found: Diagnostic[] = [];
  private readonly pairs = new Set<string>();

  add(pair: string, why: string | undefined, x: number, y: number, rule = 'R8'): void {
    if (why === undefined || this.pairs.has(pair)) return;
    this.pairs.add(pair);
    this.found.push(brokenRoute(rule, `${pair}: ${why}`, `core (${x},${y})`));
  }
}

/** Two transports, wherever both have a run; a pair of runs is looked at once. */
function verifyTogether({ routing, target }: RoutedProgram, grid: FlowGrid): Diagnostic[] {
  const told = new Told();
  const { flows } = routing;
  for (const a of flows.keys())
    for (let b = a + 1; b < flows.length; b++) {
      const seen = new Set<number>();
      for (const [r, y] of grid.rows.first.entries())
        for (const [c, x] of grid.columns.first.entries()) {
          const [p, q] = [grid.indexAt(a, c, r), grid.indexAt(b, c, r)];
          if (p < 0 || q < 0 || seen.has(p * flows[b].runs.length + q)) continue;
          seen.add(p * flows[b].runs.length + q);
          const why = clash(
            { color: flows[a].color, run: flows[a].runs[p] },
            { color: flows[b].color, run: flows[b].runs[q] },
            target.queues,
          );
          told.add(`flows ${a} and ${b} of transports`, why, x, y);
        }
    }
  return told.found;
}

/** R11 of transports: routers of defects carry nothing, or pass on what crosses them where the target says so. */
function verifyDefects({ routing, target }: RoutedProgram, grid: FlowGrid): Diagnostic[] {
  const told = new Told();
  const classesIn = (of: Int32Array, from: number, count: number): Map<number, number> => {
    const found = new Map<number, number>();
    for (let n = Math.min(of.length, from + count) - 1; n >= from; n--) found.set(of[n], n);
    return found;
  };
  for (const d of target.defects) {
    const columns = classesIn(grid.columns.of, d.x, d.width);
    for (const [r, y] of classesIn(grid.rows.of, d.y, d.height))
      for (const [c, x] of columns)
        for (const f of routing.flows.keys()) {
          const run = grid.atClass(f, c, r);
          if (run === undefined) continue;
          const ramp = run.routes.find((route) => route.includes('R'));
          if (target.defectsForward !== true)
            told.add(`flow ${f} of transports`, 'it crosses a core that must not be used', x, y, 'R11');
          else if (ramp !== undefined)
            told.add(`flow ${f} of transports`, `the core must not be used, but has the route ${ramp}`, x, y, 'R11');
        }
  }
  return told.found;
}

interface Place {
  readonly grid: FlowGrid;
  readonly owners: Owners;
  readonly closed: Uint8Array;
  readonly region: number;
}

/** Transports and the flows of the class of one region: on its own cores, and on those that it passes over. */
function verifyRegion(program: RoutedProgram, { grid, owners, closed, region }: Place): Diagnostic[] {
  const { routing, placement, stages, mapping, target } = program;
  const template = stages.stages[placement.regions[region].stages[0]].template;
  const k = routing.classes.findIndex(({ templates }) => templates.includes(template));
  const { shape } = mapping.programs[template];
  const inside = new FlowGrid(routing.classes[k].flows, shape.width, shape.height);
  const { columns, rows } = owners.regions[region];
  const told = new Told();
  const columnKinds = kindsOf(columns, grid.columns.of, inside.columns.of);
  for (const [row, y] of kindsOf(rows, grid.rows.of, inside.rows.of))
    for (const [column, x] of columnKinds)
      for (const [g, transport] of routing.flows.entries()) {
        const run = grid.atClass(g, grid.columns.of[x], grid.rows.of[y]);
        if (run === undefined) continue;
        for (const [f, { color }] of inside.flows.entries()) {
          const own = inside.at(f, column, row);
          if (own === undefined) continue;
          const why =
            transport.color === color
              ? `both have color ${color}`
              : clash({ color: transport.color, run }, { color, run: own }, target.queues);
          told.add(`flow ${g} of transports and flow ${f} of class ${k}`, why, x, y);
        }
      }
  for (const gap of gapsOf(columns, rows, inside)) {
    const passing = inside.flows.flatMap(({ color }, f) => {
      const ways = gap.waysOf(f);
      return ways === '' ? [] : [{ f, color, ways }];
    });
    if (passing.length === 0) continue;
    const { x, y } = gap;
    if (closed[y * target.width + x] === 1)
      told.add(`region ${region}`, 'it passes over a core that must not be used', x, y, 'R11');
    for (const [i, a] of passing.entries()) {
      const name = `flow ${a.f} of class ${k}`;
      if (a.ways.length > 1) told.add(name, `both ways over color ${a.color} of a router it passes over`, x, y, 'R11');
      for (const b of passing.slice(i + 1))
        if (a.color === b.color && a.ways !== b.ways)
          told.add(
            `flows ${a.f} and ${b.f} of class ${k}`,
            `${a.ways} and ${b.ways} on color ${a.color} of a router that the region passes over, which nobody writes`,
            x,
            y,
            'R11',
          );
      for (const [g, { color }] of routing.flows.entries())
        if (color === a.color && grid.at(g, x, y) !== undefined)
          told.add(
            `flow ${g} of transports and ${name}`,
            `both have color ${color} where the region passes over`,
            x,
            y,
          );
    }
  }
  return told.found;
}

interface Gap {
  readonly x: number;
  readonly y: number;
  /** Ports to which a flow's messages leave it: `E`, `W`, both, or none. */
  waysOf(flow: number): string;
}

/** Routers between neighbours of a region that are not its own: in a skipped column or in a skipped row. */
function* gapsOf(columns: readonly number[], rows: readonly number[], inside: FlowGrid): Generator<Gap> {
  const sends = (run: RouteRun | undefined, port: Port): boolean =>
    run?.routes.some((route) => route.slice(2).includes(port)) === true;
  for (let c = 1; c < columns.length; c++)
    for (let x = columns[c - 1] + 1; x < columns[c]; x++)
      for (const [row, y] of rows.entries())
        yield {
          x,
          y,
          waysOf: (f) =>
            `${sends(inside.at(f, c - 1, row), 'E') ? 'E' : ''}${sends(inside.at(f, c, row), 'W') ? 'W' : ''}`,
        };
  for (let r = 1; r < rows.length; r++)
    for (let y = rows[r - 1] + 1; y < rows[r]; y++)
      for (const [column, x] of columns.entries())
        yield {
          x,
          y,
          waysOf: (f) =>
            `${sends(inside.at(f, column, r - 1), 'S') ? 'S' : ''}${sends(inside.at(f, column, r), 'N') ? 'N' : ''}`,
        };
}

/** One [position in the region, position on the fabric] for every pair of classes that meet. */
function kindsOf(positions: readonly number[], outer: Int32Array, inner: Int32Array): [number, number][] {
  const seen = new Map<string, [number, number]>();
  for (const [i, n] of positions.entries()) {
    const key = `${outer[n]} ${inner[i]}`;
    if (!seen.has(key)) seen.set(key, [i, n]);
  }
  return [...seen.values()];
}
