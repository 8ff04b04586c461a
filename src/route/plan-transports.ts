/**
 * Transports with colors and queues. All are configured from the first step to the last, so two flows that share a
 * core have different colors, and different queues where both end (or begin) at it.
 */
import { fail } from '../diag/diagnostic.ts';
import type { Region } from '../ir/facts.ts';
import type { RegionShape } from '../ir/program.ts';
import type { Flow, Transport } from '../ir/routing.ts';
import type { Target } from '../ir/target.ts';
import { takesInput, takesOutput } from './class-flows.ts';
import { type Coloring, colorNodes } from './coloring.ts';
import { type Bus, busesOf, drawBus, netOf } from './draw-bus.ts';
import { drawColumns } from './draw-columns.ts';
import { drawExits, drawLanes, partColumns } from './draw-lanes.ts';
import { drawTree } from './draw-tree.ts';
import type { Drawn } from './drawn.ts';
import { type Cell, Fabric } from './fabric.ts';
import { negotiate } from './negotiate.ts';
import { type DrawnRun, RouteGrid } from './route-grid.ts';
import { spansMeet } from './spans.ts';
import { type Crossing, crossingsOf, type Routable } from './values.ts';

export interface PlannedTransports {
  readonly flows: readonly Flow[];
  readonly transports: readonly Transport[];
}

interface Job {
  readonly crossing: Crossing;
  drawn: Drawn | undefined;
}

interface DrawnCrossing {
  readonly crossing: Crossing;
  readonly drawn: Drawn;
}

/** @throws Diagnosed `route/..` when a way, a color or a queue is missing. */
export function planTransports(program: Routable): PlannedTransports {
  const { target } = program;
  let drawn = drawAll(program, target.colors.switchable.length > 0);
  const turning = colorsOf(drawn, target);
  let colors = turning;
  if (!turning.ok) {
    // Senders that pass everything on need no switches.
    drawn = drawAll(program, false);
    colors = colorsOf(drawn, target);
  }
  if (!colors.ok) {
    const [{ clique }, have] = [turning.ok ? colors : turning, target.colors.usable.length];
    const need = clique.length;
    fail({
      code: 'route/colors',
      message: `transports need ${need} colors at a core, target ${target.name} has ${have} (short of ${Math.max(1, need - have)})`,
    });
  }
  const flows = numbered(runsOf(drawn), colors.numbers, target);
  let next = 0;
  const transports = drawn.map(({ crossing, drawn: d }): Transport => {
    const own = d.flows.map((runs) => (runs.length === 0 ? -1 : next++));
    return transportOf(crossing, d, own);
  });
  return { flows, transports };
}

/** Flows that have routes, in the order of the transports. */
const runsOf = (drawn: readonly DrawnCrossing[]): (readonly DrawnRun[])[] =>
  drawn.flatMap(({ drawn: d }) => d.flows.filter((runs) => runs.length > 0));

/** `canTurn`: senders may take turns on a color with switch positions. */
function drawAll(program: Routable, canTurn: boolean): DrawnCrossing[] {
  const { target, placement, mapping, stages } = program;
  const fabric = new Fabric(target);
  const grid = new RouteGrid(fabric);
  const shapeOf = (r: number): RegionShape =>
    mapping.programs[stages.stages[placement.regions[r].stages[0]].template].shape;
  const place: Place = { regions: placement.regions, shapeOf, fabric, grid, canTurn };
  const jobs = crossingsOf(program).map((crossing): Job => ({ crossing, drawn: drawDirect(crossing, place) }));
  drawBuses(
    jobs.filter((job) => job.drawn === undefined),
    place,
  );
  return jobs.flatMap(({ crossing, drawn }) => (drawn === undefined ? [] : [{ crossing, drawn }]));
}

function transportOf({ from, to, values }: Crossing, drawn: Drawn, flows: readonly number[]): Transport {
  const { algorithm, senders, hops, depth } = drawn;
  const part = values.reduce((n, v) => n + v.partWavelets, 0);
  return {
    kind: from === null ? 'input' : to === null ? 'output' : 'send',
    from,
    to,
    values: values.map((v) => v.name),
    algorithm,
    flows,
    senders,
    wavelets: part * drawn.sharing,
    hops,
    depth,
  };
}

interface Place {
  readonly regions: readonly Region[];
  readonly shapeOf: (region: number) => RegionShape;
  readonly fabric: Fabric;
  readonly grid: RouteGrid;
  /** Whether the target has colors with switch positions. */
  readonly canTurn: boolean;
}

/** Which cores of a region stand for the parts of what leaves it. */
function partsOf({ values }: Crossing, shape: RegionShape): { columns: readonly number[]; byRow: boolean } {
  const { axes } = values[0];
  if (values.some((v) => v.axes.join() !== axes.join())) throw new Error('values of different layouts leave together');
  return { columns: partColumns(shape, axes), byRow: axes.includes('y') };
}

/** Transports that need no search. */
function drawDirect(crossing: Crossing, { regions, shapeOf, fabric, grid, canTurn }: Place): Drawn | undefined {
  const { from, to, arrives } = crossing;
  if (from === null)
    return drawTree(
      (to ?? []).map((r) => regions[r]),
      fabric,
      grid,
    );
  const parts = partsOf(crossing, shapeOf(from));
  if (to === null) return drawExits(regions[from], parts, fabric, grid, canTurn);
  const isByRow = crossing.values.every((v) => v.axes.join() === 'y') && arrives?.join() === 'y';
  if (!isByRow) return undefined;
  const ends = [regions[from], regions[to[0]]] as const;
  return drawLanes(...ends, fabric, grid) ?? drawColumns(...ends, fabric, grid);
}

/** Buses find their ways together; one without a way tries its other ends. */
function drawBuses(jobs: readonly Job[], { regions, shapeOf, fabric, grid, canTurn }: Place): void {
  if (jobs.length === 0) return;
  const choices = jobs.map(({ crossing }): Bus[] => {
    const { from, to } = crossing;
    if (from === null) throw new Error('the host sends over a tree');
    const passing = (bus: Bus): boolean => bus.line.cells.every((cell) => fabric.passes(cell));
    return busesOf(regions[from], partsOf(crossing, shapeOf(from)), to === null ? null : regions[to[0]], fabric).filter(
      passing,
    );
  });
  const nearest = choices.map(([bus]) => bus);
  const ways = negotiate(
    fabric,
    nearest.map((bus) => netOf(bus, fabric)),
  );
  for (const [i, job] of jobs.entries()) {
    const found = ways[i] === null ? otherWay(choices[i].slice(1), fabric) : { bus: nearest[i], way: ways[i] };
    if (found === undefined) {
      const { from, to } = job.crossing;
      fail({
        code: 'route/unreachable',
        message: `region ${from} has no way to ${to === null ? 'the edge of the fabric' : `region ${to[0]}`}`,
        notes: [
          'routers of defects are gone around; `defectsForward` in the target file says that they pass messages on',
        ],
      });
    }
    job.drawn = drawBus(found.bus, found.way, grid, canTurn);
  }
}

function otherWay(buses: readonly Bus[], fabric: Fabric): { bus: Bus; way: Cell[] } | undefined {
  for (const bus of buses) {
    const [way] = negotiate(fabric, [netOf(bus, fabric)]);
    if (way !== null) return { bus, way };
  }
  return undefined;
}

/** Colors of flows that are all configured at once. */
function colorsOf(all: readonly DrawnCrossing[], target: Target): Coloring {
  const drawn = runsOf(all);
  const meets = drawn.map((a, i) => drawn.map((b, j) => i < j && runsMeet(a, b)));
  const turns = drawn.map((runs) => runs.some(({ routes }) => routes.length > 1));
  const { usable, switchable } = target.colors;
  const plain = [...usable.filter((c) => !switchable.includes(c)), ...usable.filter((c) => switchable.includes(c))];
  return colorNodes({
    nodes: drawn.length,
    palette: (f) => (turns[f] ? switchable : plain),
    isHard: (a, b) => meets[Math.min(a, b)][Math.max(a, b)],
    weight: () => 0,
  });
}

function numbered(drawn: readonly (readonly DrawnRun[])[], colors: readonly number[], target: Target): Flow[] {
  const queues = { input: queuesOf(drawn, 'input', target), output: queuesOf(drawn, 'output', target) };
  return drawn.map((runs, f) => ({
    color: colors[f],
    runs: runs.map((run) => ({
      ...run,
      input: takesInput(run.routes.join('|')) ? queues.input[f] : null,
      output: takesOutput(run.routes.join('|')) ? queues.output[f] : null,
    })),
  }));
}

/** A queue for each flow, one for all its cores. */
function queuesOf(
  drawn: readonly (readonly DrawnRun[])[],
  side: 'input' | 'output',
  target: Target,
): readonly number[] {
  const takes = side === 'input' ? takesInput : takesOutput;
  const ends = drawn.map((runs) => runs.filter(({ routes }) => takes(routes.join('|'))));
  const have = target.queues[side];
  const coloring = colorNodes({
    nodes: drawn.length,
    palette: () => Array.from({ length: have }, (_, q) => q),
    isHard: (a, b) => runsMeet(ends[a], ends[b]),
    weight: () => 0,
  });
  if (coloring.ok) return coloring.numbers;
  const need = coloring.clique.length;
  return fail({
    code: 'route/queues',
    message: `transports need ${need} ${side} queues at a core, target ${target.name} has ${have} (short of ${Math.max(1, need - have)})`,
  });
}

const runsMeet = (a: readonly DrawnRun[], b: readonly DrawnRun[]): boolean =>
  a.some((p) => b.some((q) => spansMeet(p.columns, q.columns) && spansMeet(p.rows, q.rows)));
