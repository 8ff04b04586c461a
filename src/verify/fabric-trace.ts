/** Messages of transports followed over the fabric, router by router. What lies behind a router is walked once. */
import type { Port } from '../ir/routing.ts';
import { OPPOSITE } from './lines.ts';
import type { FlowGrid } from './spans.ts';

export interface Reached {
  /** Cores that get the message. */
  readonly cores: number;
  /** Links of the longest way to one of them, or out of the fabric. */
  readonly hops: number;
  /** Times the message leaves the fabric. */
  readonly exits: number;
}

export interface Fabric {
  readonly width: number;
  readonly height: number;
}

/** Ports, and what a message that leaves through one moves by. */
const PORTS: readonly Port[] = ['N', 'E', 'S', 'W', 'R'];
const STEPS = { N: [0, -1], E: [1, 0], S: [0, 1], W: [-1, 0] } as const;

interface Place {
  readonly x: number;
  readonly y: number;
  /** Port through which the router gets the message. */
  readonly from: Port;
}

/** Follows the messages of one flow. A message that goes astray is thrown as a {@link Stray}. */
export class FlowTrace {
  private readonly grid: FlowGrid;
  private readonly flow: number;
  private readonly fabric: Fabric;
  /** By core x 5 + port of entry: 1 + the entry below; 0 = no message came by yet. */
  private readonly entryOf: Int32Array;
  /** By core: switch positions that a message has taken, a bit each. */
  private readonly used: Uint8Array;
  private readonly cores: number[] = [];
  private readonly hops: number[] = [];
  private readonly exits: number[] = [];

  constructor(grid: FlowGrid, flow: number, fabric: Fabric) {
    this.grid = grid;
    this.flow = flow;
    this.fabric = fabric;
    this.entryOf = new Int32Array(fabric.width * fabric.height * PORTS.length);
    this.used = new Uint8Array(fabric.width * fabric.height);
  }

  /** What core (x, y) reaches that sends on the flow. `allowed` says whether a core may get the message. */
  send(x: number, y: number, allowed: (x: number, y: number) => boolean): Reached {
    const routes = this.routesAt(x, y);
    if (!routes[0]?.startsWith('R>')) throw new Stray(`core (${x},${y}) does not send on it, found ${shown(routes)}`);
    return this.walk({ x, y, from: 'R' }, allowed);
  }

  /** What the host reaches that sends to core (x, y) from beyond the fabric, through `from`. */
  enter(x: number, y: number, from: Port, allowed: (x: number, y: number) => boolean): Reached {
    return this.walk({ x, y, from }, allowed);
  }

  /** Routes taken, counted by core and switch position. */
  get taken(): number {
    let count = 0;
    for (const positions of this.used) for (let bits = positions; bits > 0; bits >>= 1) count += bits & 1;
    return count;
  }

  private routesAt(x: number, y: number): readonly string[] {
    return this.grid.at(this.flow, x, y)?.routes ?? [];
  }

  /** Depth first; entries are added up from the last to the first, each into the one it was reached from. */
  private walk(start: Place, allowed: (x: number, y: number) => boolean): Reached {
    const { cores, hops, exits } = this;
    const first = cores.length;
    const parents: number[] = [];
    const stack: (Place & { readonly parent: number })[] = [{ ...start, parent: -1 }];
    for (let place = stack.pop(); place !== undefined; place = stack.pop()) {
      const key = (place.y * this.fabric.width + place.x) * PORTS.length + PORTS.indexOf(place.from);
      const known = this.entryOf[key] - 1;
      if (known >= first) throw new Stray(`it comes to core (${place.x},${place.y}) twice`);
      if (known >= 0) {
        if (place.parent < 0) return { cores: cores[known], hops: hops[known], exits: exits[known] };
        this.join(place.parent, known);
        continue;
      }
      const entry = cores.length;
      this.entryOf[key] = entry + 1;
      parents.push(place.parent);
      cores.push(0);
      hops.push(0);
      exits.push(0);
      for (const port of this.leave(place)) {
        if (port === 'R') {
          if (!allowed(place.x, place.y))
            throw new Stray(`core (${place.x},${place.y}) gets what it does not wait for`);
          cores[entry]++;
          continue;
        }
        const [dx, dy] = STEPS[port];
        const next = { x: place.x + dx, y: place.y + dy, from: OPPOSITE[port], parent: entry };
        if (this.inside(next)) stack.push(next);
        else {
          exits[entry]++;
          hops[entry] = Math.max(hops[entry], 1);
        }
      }
    }
    for (let i = parents.length - 1; i > 0; i--) this.join(parents[i], first + i);
    return { cores: cores[first], hops: hops[first], exits: exits[first] };
  }

  /** Adds what lies behind entry `child` to the entry it was reached from. */
  private join(parent: number, child: number): void {
    this.cores[parent] += this.cores[child];
    this.exits[parent] += this.exits[child];
    this.hops[parent] = Math.max(this.hops[parent], this.hops[child] + 1);
  }

  /** Ports to which the router copies what comes from `from`. */
  private leave({ x, y, from }: Place): Port[] {
    const routes = this.routesAt(x, y);
    const position = routes.findIndex((route) => route.startsWith(`${from}>`));
    if (position < 0) throw new Stray(`core (${x},${y}) does not receive it from ${from}, found ${shown(routes)}`);
    if (from !== 'R' && routes.length > 1 && position !== 1)
      throw new Stray(`core (${x},${y}) lets it pass in switch position ${position}, found ${shown(routes)}`);
    this.used[y * this.fabric.width + x] |= 1 << position;
    return PORTS.filter((port) => routes[position].slice(2).includes(port));
  }

  private inside({ x, y }: Place): boolean {
    return x >= 0 && y >= 0 && x < this.fabric.width && y < this.fabric.height;
  }
}

/** A message that does not arrive where it should. */
export class Stray extends Error {}

const shown = (routes: readonly string[]): string => (routes.length === 0 ? 'none' : routes.join(' then '));
