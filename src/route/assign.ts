/**
 * Colors and queues of the flows inside regions, and the moments at which routes must be written while a program runs.
 * Two colouring problems, one after the other: flows that meet at a core with different routes want different colors; flows of
 * different colors that a core receives (or sends) want different queues. Flows of one phase must have what they want. Others may share
 * and take turns: each turn is a write, so the weight of sharing is how often the two alternate.
 */
import { fail } from '../diag/diagnostic.ts';
import type { Flow, Phase } from '../ir/routing.ts';
import type { Target } from '../ir/target.ts';
import {
  cellsByRoute,
  type ClassFlow,
  type ClassFlows,
  type DraftPhase,
  runsOf,
  takesInput,
  takesOutput,
} from './class-flows.ts';
import { colorNodes } from './coloring.ts';

/** What transports leave to the flows of a class. */
export interface Free {
  readonly colors: readonly number[];
  readonly input: readonly number[];
  readonly output: readonly number[];
}

/**
 * Columns (rows) before which a region passes over others of the fabric. Nobody writes the routers there while a program
 * runs, so what crosses them on one color goes one way.
 */
export type Gaps = Readonly<Record<ClassFlow['along'], ReadonlySet<number>>>;

export interface AssignedClass {
  readonly flows: readonly Flow[];
  readonly phases: readonly (readonly Phase[])[];
}

/** Cores of one flow with one route, that bind a queue. */
interface QueueNode {
  readonly flow: number;
  readonly routes: string;
  readonly cells: readonly number[];
}

/**
 * Numbers for everything in `drawn`.
 * @throws Diagnosed `route/colors` or `route/queues` when one phase alone needs more than `free` has.
 */
export function assignClass(
  drawn: ClassFlows,
  { free, gaps }: { readonly free: Free; readonly gaps: Gaps },
  target: Target,
  name: string,
): AssignedClass {
  const { flows, phases, shape } = drawn;
  const together = flows.map((_, a) =>
    flows.map((__, b) => phases.flat().some(({ flows: f }) => f.includes(a) && f.includes(b))),
  );
  const turns = flows.map((_, a) => flows.map((__, b) => alternations(phases, a, b)));
  const differ = flows.map((a) => flows.map((b) => routesDiffer(a, b)));
  const crossing = flows.map((a) => flows.map((b) => crossOver(a, b, gaps)));
  const colors = assignColors(drawn, free, target, { together, turns, differ, crossing }, name);
  const numbers = { input: new Map<string, number>(), output: new Map<string, number>() };
  for (const side of ['input', 'output'] as const) {
    const takes = side === 'input' ? takesInput : takesOutput;
    const shared = side === 'output' && target.queues.outputsShared === true;
    const nodes = queueNodes(flows, takes);
    const meet = (a: number, b: number): boolean =>
      colors[nodes[a].flow] !== colors[nodes[b].flow] && cellsMeet(flows, nodes[a], nodes[b]);
    const coloring = colorNodes({
      nodes: nodes.length,
      palette: () => free[side],
      isHard: (a, b) => together[nodes[a].flow][nodes[b].flow] && meet(a, b),
      weight: (a, b) => (!shared && meet(a, b) ? turns[nodes[a].flow][nodes[b].flow] : 0),
    });
    if (!coloring.ok) {
      const need = coloring.clique.length;
      fail({
        code: 'route/queues',
        message: `template ${name}: one collective needs ${need} ${side} queues at a core, ${free[side].length} of ${target.queues[side]} are left beside transports (short of ${need - free[side].length})`,
        notes: [`queues.${side} of target ${target.name} says how many a core has`],
      });
    }
    for (const [i, node] of nodes.entries()) numbers[side].set(`${node.flow} ${node.routes}`, coloring.numbers[i]);
  }
  const assigned: Flow[] = flows.map((flow, f) => ({
    color: colors[f],
    runs: runsOf(flow, shape, (routes) => ({
      input: numbers.input.get(`${f} ${routes}`) ?? null,
      output: numbers.output.get(`${f} ${routes}`) ?? null,
    })),
  }));
  const clash = clashes(flows, colors, differ, numbers, target);
  return { flows: assigned, phases: phases.map((list) => withLoads(list, clash)) };
}

interface Relations {
  /** Two flows are of one phase. */
  readonly together: readonly (readonly boolean[])[];
  /** How often two flows take turns. */
  readonly turns: readonly (readonly number[])[];
  /** Two flows meet at a core with different routes. */
  readonly differ: readonly (readonly boolean[])[];
  /** Two flows go over a gap in opposite directions. */
  readonly crossing: readonly (readonly boolean[])[];
}

function assignColors(
  { flows }: ClassFlows,
  free: Free,
  target: Target,
  { together, turns, differ, crossing }: Relations,
  name: string,
): readonly number[] {
  const switchable = free.colors.filter((c) => target.colors.switchable.includes(c));
  // Colors without switches first: the others are for those who need them.
  const plain = [...free.colors.filter((c) => !switchable.includes(c)), ...switchable];
  const coloring = colorNodes({
    nodes: flows.length,
    palette: (f) => (flows[f].turns ? switchable : plain),
    isHard: (a, b) => crossing[a][b] || (together[a][b] && differ[a][b]),
    weight: (a, b) => (differ[a][b] ? turns[a][b] : 0),
  });
  if (coloring.ok) return coloring.numbers;
  const need = coloring.clique.length;
  // Where there are enough, it is those with switches that are missing.
  const turning = flows.filter((f) => f.turns).length;
  const [count, have, kind] =
    need > plain.length ? [need, plain.length, 'colors'] : [turning, switchable.length, 'colors that can be switched'];
  return fail({
    code: 'route/colors',
    message: `template ${name}: one collective needs ${count} ${kind} at a core, ${have} are left beside transports (short of ${Math.max(1, count - have)})`,
    notes: [
      `target ${target.name} lists ${target.colors.usable.length} colors, ${target.colors.switchable.length} with switches`,
    ],
  });
}

/** Whether two flows meet at a core with different routes; a row and a column always meet. */
function routesDiffer(a: ClassFlow, b: ClassFlow): boolean {
  if (a === b) return false;
  if (a.along !== b.along) return true;
  return a.cells.some((routes, i) => routes !== '' && b.cells[i] !== '' && routes !== b.cells[i]);
}

function crossOver(a: ClassFlow, b: ClassFlow, gaps: Gaps): boolean {
  if (a.along !== b.along) return false;
  const [ahead, back] = a.along === 'columns' ? ['E', 'W'] : ['S', 'N'];
  const sends = ({ cells }: ClassFlow, at: number, port: string): boolean =>
    cells[at].split('|').some((route) => route.slice(2).includes(port));
  return [...gaps[a.along]].some(
    (at) => (sends(a, at - 1, ahead) && sends(b, at, back)) || (sends(b, at - 1, ahead) && sends(a, at, back)),
  );
}

function queueNodes(flows: readonly ClassFlow[], takes: (routes: string) => boolean): QueueNode[] {
  return flows.flatMap((flow, f) =>
    [...cellsByRoute(flow)].flatMap(([routes, cells]) => (takes(routes) ? [{ flow: f, routes, cells }] : [])),
  );
}

function cellsMeet(flows: readonly ClassFlow[], a: QueueNode, b: QueueNode): boolean {
  if (flows[a.flow].along !== flows[b.flow].along) return true;
  const cells = new Set(a.cells);
  return b.cells.some((c) => cells.has(c));
}

/** Times that the use of `a` is followed by that of `b`, or the other way round, in the programs of a class. */
function alternations(phases: readonly (readonly DraftPhase[])[], a: number, b: number): number {
  let count = 0;
  for (const list of phases) {
    let last = -1;
    for (const { flows } of list) {
      for (const f of [a, b]) {
        if (!flows.includes(f)) continue;
        if (last !== -1 && last !== f) count++;
        last = f;
      }
    }
  }
  // Even where they follow each other once, or in different programs, the next step begins again.
  return count + 1;
}

/** Flows that cannot be configured at the same time, by the colors and queues they have got. */
function clashes(
  flows: readonly ClassFlow[],
  colors: readonly number[],
  differ: Relations['differ'],
  numbers: Readonly<Record<'input' | 'output', ReadonlyMap<string, number>>>,
  target: Target,
): boolean[][] {
  const sides = (target.queues.outputsShared === true ? ['input'] : ['input', 'output']) as readonly (
    | 'input'
    | 'output'
  )[];
  const nodes = sides.map((side) => ({ side, list: queueNodes(flows, side === 'input' ? takesInput : takesOutput) }));
  return flows.map((_, a) =>
    flows.map((__, b) => {
      if (a === b) return false;
      if (colors[a] === colors[b]) return differ[a][b];
      return nodes.some(({ side, list }) => {
        const queue = (n: QueueNode): number | undefined => numbers[side].get(`${n.flow} ${n.routes}`);
        const of = (flow: number): QueueNode[] => list.filter((n) => n.flow === flow);
        return of(a).some((p) => of(b).some((q) => queue(p) === queue(q) && cellsMeet(flows, p, q)));
      });
    }),
  );
}

/** Writes a flow before a phase when one that clashes was written since, or may have been in another stage. */
function withLoads(phases: readonly DraftPhase[], clash: readonly (readonly boolean[])[]): Phase[] {
  const written = new Set<number>();
  for (const [f, others] of clash.entries()) if (!others.includes(true)) written.add(f);
  return phases.map((phase) => {
    const loads = [...new Set(phase.flows)].filter((f) => f !== -1 && !written.has(f));
    for (const f of loads) {
      for (const other of written) if (clash[f][other]) written.delete(other);
    }
    for (const f of loads) written.add(f);
    return { ...phase, loads };
  });
}
