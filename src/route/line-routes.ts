/**
 * Routes of a collective along one line of cores, by algorithm. What each algorithm asks of senders and receivers is
 * the table in ARCHITECTURE.md, "Routing"; the times are those of src/cost/line.ts.
 */
import type { LineAxis, Port } from '../ir/routing.ts';

/** A line: cells 0 .. length-1 from W to E or N to S, of which `members` take part; the others let pass. */
export interface RouteLine {
  readonly length: number;
  readonly members: readonly number[];
  /** Ports towards higher and lower positions. */
  readonly ahead: Port;
  readonly back: Port;
}

/** By cell: switch positions joined by `|`, or empty where the flow has no route. */
export type CellRoutes = string[];

const ORDER: readonly Port[] = ['N', 'E', 'S', 'W', 'R'];

/** `W>ER`. */
export const route = (from: Port, to: readonly Port[]): string =>
  `${from}>${ORDER.filter((port) => to.includes(port)).join('')}`;

export const portsOf = (axis: LineAxis): Pick<RouteLine, 'ahead' | 'back'> =>
  axis === 'y' ? { ahead: 'S', back: 'N' } : { ahead: 'E', back: 'W' };

/** Flows of one line in the algorithm's order; a flow of no routes is not needed. */
export function routeLine(algorithm: string, line: RouteLine, group: number): CellRoutes[] {
  const cores = line.members.length;
  switch (algorithm) {
    case 'chain':
      return withResult(line, 0, (hop) => chain(hop, { first: 0, root: 0, end: cores, turn: 0 }));
    case 'middle-chain': {
      const root = Math.floor(cores / 2);
      return withResult(line, root, (hop) => chain(hop, { first: 0, root, end: cores, turn: 1 }));
    }
    case 'two-phase':
    case 'middle-two-phase':
      return twoPhases(line, group, algorithm === 'middle-two-phase');
    case 'relay':
    case 'scatter-gather':
      return relay(line);
    case 'in-turn':
      return inTurn(line);
    default:
      throw new Error(`${algorithm} has no routes`);
  }
}

/** Sends from member to member on flow `flow`. */
type Hop = (flow: number, from: number, to: number) => void;

function makeHop(flows: readonly CellRoutes[], { members, ahead, back }: RouteLine): Hop {
  return (flow, from, to) => {
    const [out, into]: readonly [Port, Port] = to > from ? [ahead, back] : [back, ahead];
    const step = Math.sign(to - from);
    const cells = flows[flow];
    setCell(cells, members[from], route('R', [out]));
    for (let c = members[from] + step; c !== members[to]; c += step) setCell(cells, c, route(into, [out]));
    setCell(cells, members[to], route(into, ['R']));
  };
}

function setCell(cells: CellRoutes, at: number, routes: string): void {
  if (cells[at] !== '' && cells[at] !== routes) throw new Error(`two routes at cell ${at}: ${cells[at]} and ${routes}`);
  cells[at] = routes;
}

interface Chain {
  /** Members first .. end - 1 send towards `root`. */
  readonly first: number;
  readonly root: number;
  readonly end: number;
  /** 1 where the root receives from both sides: those behind it then take the flows in the other order. */
  readonly turn: 0 | 1;
}

/** A core at distance d from the root sends on one of two flows, by the parity of d: it receives on the other. */
function chain(hop: Hop, { first, root, end, turn }: Chain, flow = 0): void {
  for (let i = first; i < root; i++) hop(flow + ((root - i) % 2), i, i + 1);
  for (let i = root + 1; i < end; i++) hop(flow + ((i - root + turn) % 2), i, i - 1);
}

const emptyFlows = (count: number, { length }: RouteLine): CellRoutes[] =>
  Array.from({ length: count }, () => Array.from({ length }, () => ''));

/** Two flows of a reduction, then the result from member `root` to every cell. */
function withResult(line: RouteLine, root: number, reduce: (hop: Hop) => void): CellRoutes[] {
  const flows = emptyFlows(3, line);
  reduce(makeHop(flows, line));
  spread(flows[2], line, line.members[root]);
  return flows;
}

/** From cell `root` to all cells of the line. */
function spread(cells: CellRoutes, { length, ahead, back }: RouteLine, root: number): void {
  for (let c = 0; c < length; c++) {
    const out: Port[] = c === root ? [] : ['R'];
    if (c <= root && c > 0) out.push(back);
    if (c >= root && c + 1 < length) out.push(ahead);
    cells[c] = route(c === root ? 'R' : c < root ? ahead : back, out);
  }
}

/** Root of each group, by member. */
export function groupRoots(cores: number, group: number, middle: boolean): number[] {
  const near = middle ? Math.floor(group / 2) : 0;
  return Array.from({ length: Math.ceil(cores / group) }, (_, k) => Math.min(k * group + near, cores - 1));
}

function twoPhases(line: RouteLine, group: number, middle: boolean): CellRoutes[] {
  const cores = line.members.length;
  const flows = emptyFlows(5, line);
  const hop = makeHop(flows, line);
  const roots = groupRoots(cores, group, middle);
  const turn = middle ? 1 : 0;
  for (const [k, root] of roots.entries())
    chain(hop, { first: k * group, root, end: Math.min(cores, (k + 1) * group), turn });
  const top = middle ? Math.floor(roots.length / 2) : 0;
  const between: Hop = (flow, from, to) => hop(flow, roots[from], roots[to]);
  chain(between, { first: 0, root: top, end: roots.length, turn }, 2);
  spread(flows[4], line, line.members[roots[top]]);
  return flows;
}

/** Neighbours both ways: two flows each way, so that a core receives on one and sends on the other. */
function relay(line: RouteLine): CellRoutes[] {
  const flows = emptyFlows(4, line);
  const hop = makeHop(flows, { ...line, members: Array.from({ length: line.length }, (_, i) => i) });
  for (let i = 0; i + 1 < line.length; i++) {
    hop(i % 2, i, i + 1);
    hop(2 + ((i + 1) % 2), i + 1, i);
  }
  return flows;
}

/** Every member sends both ways, then lets the others pass. */
function inTurn(line: RouteLine): CellRoutes[] {
  const { length, members, ahead, back } = line;
  const own = new Set(members);
  const [first, last] = [members[0], members[members.length - 1]];
  const way = (out: Port, into: Port, end: number, isBehind: (cell: number) => boolean): CellRoutes =>
    Array.from({ length }, (_, c) => {
      const passes = isBehind(c) ? [route(into, c === end ? ['R'] : [out, 'R'])] : [];
      return [...(own.has(c) && c !== end ? [route('R', [out])] : []), ...passes].join('|');
    });
  return [way(ahead, back, length - 1, (c) => c > first), way(back, ahead, 0, (c) => c < last)];
}
