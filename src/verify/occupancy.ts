/** What is configured at a core at which time: flows that cannot stand together, and loads that bring them back. */
import type { Phase, RouteRun } from '../ir/routing.ts';
import type { Target } from '../ir/target.ts';
import type { FlowGrid } from './spans.ts';

/**
 * Why two routes cannot be configured at one core; undefined when they can.
 *
 * @param queues those of the target: on some machines several colors may share an output queue
 */
export function clash(a: Configured, b: Configured, queues: Target['queues']): string | undefined {
  if (a.color === b.color) {
    if (a.run.routes.join() !== b.run.routes.join()) return `two routes for color ${a.color}`;
    // What arrives on a color goes to one queue; several may feed it.
    return a.run.input === b.run.input ? undefined : `color ${a.color} into two queues`;
  }
  if (a.run.input !== null && a.run.input === b.run.input)
    return `colors ${a.color} and ${b.color} on input queue ${a.run.input}`;
  if (queues.outputsShared !== true && a.run.output !== null && a.run.output === b.run.output)
    return `colors ${a.color} and ${b.color} on output queue ${a.run.output}`;
  return undefined;
}

export interface Configured {
  readonly color: number;
  readonly run: RouteRun;
}

/** The flows of a class, and which of them exclude each other. */
export class Occupancy {
  private readonly grid: FlowGrid;
  private readonly queues: Target['queues'];
  /** By pair of flows, the smaller first: what they clash over, and where. */
  private readonly clashes = new Map<string, string>();
  private readonly partners: readonly Set<number>[];

  constructor(grid: FlowGrid, queues: Target['queues']) {
    this.grid = grid;
    this.queues = queues;
    this.partners = grid.flows.map(() => new Set());
    for (let r = 0; r < grid.rows.first.length; r++) for (let c = 0; c < grid.columns.first.length; c++) this.add(c, r);
  }

  private add(columnClass: number, rowClass: number): void {
    const { flows, columns, rows } = this.grid;
    const here = flows.flatMap(({ color }, f) => {
      const run = this.grid.atClass(f, columnClass, rowClass);
      return run === undefined ? [] : [{ f, color, run }];
    });
    for (const [i, a] of here.entries())
      for (const b of here.slice(i + 1)) {
        if (this.partners[a.f].has(b.f)) continue;
        const why = clash(a, b, this.queues);
        if (why === undefined) continue;
        this.partners[a.f].add(b.f);
        this.partners[b.f].add(a.f);
        this.clashes.set(`${a.f} ${b.f}`, `${why} at core (${columns.first[columnClass]},${rows.first[rowClass]})`);
      }
  }

  private why(a: number, b: number): string {
    return `flows ${a} and ${b}: ${this.clashes.get(a < b ? `${a} ${b}` : `${b} ${a}`)}`;
  }

  /** Runs the loads of one stage's phases: what each phase needs must be configured when it begins. */
  verify(phases: readonly Phase[]): string[] {
    const found: string[] = [];
    const configured = new Set([...this.partners.keys()].filter((f) => this.partners[f].size === 0));
    for (const { op, axis, flows, loads } of phases) {
      const name = `op ${op} over ${axis}`;
      for (const f of loads) for (const other of this.partners[f]) configured.delete(other);
      for (const f of loads) configured.add(f);
      const needed = flows.filter((f) => f >= 0);
      for (const [i, a] of needed.entries()) {
        if (!configured.has(a)) found.push(`${name} needs flow ${a}, which was overwritten or never written`);
        for (const b of needed.slice(i + 1)) if (this.partners[a].has(b)) found.push(`${name}: ${this.why(a, b)}`);
      }
      for (const [i, a] of loads.entries())
        for (const b of loads.slice(i + 1))
          if (this.partners[a].has(b)) found.push(`${name} writes both: ${this.why(a, b)}`);
    }
    return found;
  }
}
