/**
 * Ways between cells that do not adjoin: negotiated congestion (McMurchie and Ebeling, PathFinder, FPGA 1995). All ways are
 * searched for with links as shared as they come; what is shared gets dearer from round to round, until every
 * link has one transport, or the rounds are over and the cheapest sharing is kept.
 */
import FlatQueue from 'flatqueue';
import { type Cell, type Fabric, OPPOSITE, stepFrom, type Way, WAYS } from './fabric.ts';

export interface Net {
  readonly from: Cell;
  /** Cells that end a way. */
  isGoal(cell: Cell): boolean;
  /** Links to the nearest goal, at least. */
  distance(cell: Cell): number;
  /** Cells that this net must not cross. */
  isClosed(cell: Cell): boolean;
}

const ROUNDS = 12;

/** Cells from `from` to a goal, both included, by net; null where there is no way. */
export function negotiate(fabric: Fabric, nets: readonly Net[]): (Cell[] | null)[] {
  const search = new Search(fabric);
  const ways: (Cell[] | null)[] = nets.map(() => null);
  let best: { readonly ways: (Cell[] | null)[]; readonly shared: number } | undefined;
  const history = new Map<number, number>();
  for (let round = 0; round < ROUNDS; round++) {
    const used = new Map<number, number>();
    for (const link of ways.flatMap((way) => linksOf(way, fabric))) used.set(link, (used.get(link) ?? 0) + 1);
    for (const [i, net] of nets.entries()) {
      for (const link of linksOf(ways[i], fabric)) used.set(link, (used.get(link) ?? 0) - 1);
      // Present sharing weighs more from round to round; past sharing is remembered.
      ways[i] = search.find(net, (link) => 1 + (history.get(link) ?? 0) + (used.get(link) ?? 0) * (1 + round));
      for (const link of linksOf(ways[i], fabric)) used.set(link, (used.get(link) ?? 0) + 1);
    }
    const shared = [...used].filter(([, count]) => count > 1);
    const excess = shared.reduce((n, [, count]) => n + count - 1, 0);
    if (best === undefined || excess < best.shared) best = { ways: [...ways], shared: excess };
    if (excess === 0) break;
    for (const [link, count] of shared) history.set(link, (history.get(link) ?? 0) + count - 1);
  }
  return best?.ways ?? ways;
}

const linkOf = (cell: number, way: number): number => cell * 4 + way;

function linksOf(way: readonly Cell[] | null, fabric: Fabric): number[] {
  if (way === null) return [];
  return way.slice(1).map((cell, i) => {
    const from = way[i];
    const w = WAYS.findIndex((name) => {
      const next = stepFrom(from, name);
      return next.x === cell.x && next.y === cell.y;
    });
    return linkOf(fabric.index(from), w);
  });
}

/** A*; of equal ways the one that turns least often, then the first by order of ports. */
class Search {
  private readonly fabric: Fabric;
  private readonly cost: Float64Array;
  private readonly came: Int8Array;
  private readonly seen: Int32Array;
  private run = 0;

  constructor(fabric: Fabric) {
    this.fabric = fabric;
    const cells = fabric.width * fabric.height;
    this.cost = new Float64Array(cells);
    this.came = new Int8Array(cells);
    this.seen = new Int32Array(cells);
  }

  find(net: Net, linkCost: (link: number) => number): Cell[] | null {
    const { fabric, cost, came, seen } = this;
    const run = ++this.run;
    const queue = new FlatQueue<number>();
    const start = fabric.index(net.from);
    cost[start] = 0;
    came[start] = -1;
    seen[start] = run;
    queue.push(start, net.distance(net.from));
    for (let at = queue.pop(); at !== undefined; at = queue.pop()) {
      const cell = fabric.cell(at);
      if (net.isGoal(cell)) return this.trace(at, start);
      for (const [w, way] of WAYS.entries()) {
        const next = stepFrom(cell, way);
        if (!fabric.passes(next) || net.isClosed(next)) continue;
        const to = fabric.index(next);
        const turn = came[at] === -1 || came[at] === w ? 0 : TURN;
        const total = cost[at] + linkCost(linkOf(at, w)) + turn;
        if (seen[to] === run && cost[to] <= total) continue;
        seen[to] = run;
        cost[to] = total;
        came[to] = w;
        queue.push(to, total + net.distance(next));
      }
    }
    return null;
  }

  private trace(end: number, start: number): Cell[] {
    const cells = [this.fabric.cell(end)];
    for (let at = end; at !== start; ) {
      const back: Way = OPPOSITE[WAYS[this.came[at]]];
      const cell = stepFrom(this.fabric.cell(at), back);
      at = this.fabric.index(cell);
      cells.push(cell);
    }
    return cells.reverse();
  }
}

/** Less than any link: straight ways have fewer runs. */
const TURN = 1e-3;
