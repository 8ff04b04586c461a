/**
 * Lines of cores that a phase runs along, and messages followed along them, router by router. Lines that no route
 * tells apart are followed once.
 */
import type { RegionShape } from '../ir/program.ts';
import type { LineAxis, Phase, Port } from '../ir/routing.ts';
import type { LineCores, Message } from './messages.ts';
import type { FlowGrid } from './spans.ts';

export interface RouterLine extends LineCores {
  /** Switch positions of flow `flow` of the class at core `i`; empty where it has no route. */
  routes(flow: number, i: number): readonly string[];
  /** Ports towards lower and higher cores. */
  readonly back: Port;
  readonly ahead: Port;
  /** For people: `column 3`. */
  readonly name: string;
}

export const OPPOSITE: Readonly<Record<Port, Port>> = { N: 'S', S: 'N', E: 'W', W: 'E', R: 'R' };

/** Cores and stride of the lines of an axis. */
export function lineCores(axis: LineAxis, { width, height, groups }: RegionShape): LineCores {
  if (axis === 'y') return { cores: height, stride: 1 };
  if (axis === 'x') return { cores: width, stride: 1 };
  return axis === 'xi' ? { cores: width / groups, stride: 1 } : { cores: width, stride: width / groups };
}

/** Every line of the axis that differs from the others in a route of the class. */
export function* linesOf(axis: LineAxis, shape: RegionShape, grid: FlowGrid): Generator<RouterLine> {
  const size = lineCores(axis, shape);
  const { columns, rows } = grid;
  if (axis === 'y') {
    for (const [c, column] of columns.first.entries())
      yield {
        ...size,
        routes: (f, i) => grid.atClass(f, c, rows.of[i])?.routes ?? [],
        back: 'N',
        ahead: 'S',
        name: `column ${column}`,
      };
    return;
  }
  for (const [r, row] of rows.first.entries())
    for (let first = 0; first < shape.width; first += size.cores)
      yield {
        ...size,
        routes: (f, i) => grid.atClass(f, columns.of[first + i], r)?.routes ?? [],
        back: 'W',
        ahead: 'E',
        name: axis === 'xi' ? `row ${row} from column ${first} on` : `row ${row}`,
      };
}

export interface Delivery {
  /** Wavelets over the busiest link and direction. */
  readonly busiest: number;
  /** What differs from the messages; the first fault only. */
  readonly fault: string | undefined;
}

/**
 * Follows every message of a phase along a line: each must reach its receivers and nobody else, and no router of the
 * phase's flows may be left that no message crosses.
 */
export function deliver(line: RouterLine, phase: Phase, messages: readonly Message[]): Delivery {
  const { cores } = line;
  const load = [new Float64Array(cores), new Float64Array(cores)];
  // By flow and core: switch positions that a message has used.
  const used = phase.flows.map(() => new Uint8Array(cores));
  for (const message of messages) {
    const flow = phase.flows[message.flow];
    const fault = flow < 0 ? 'the phase has no such flow' : follow(line, flow, message, used[message.flow], load);
    if (fault !== undefined) {
      const what = `${phase.algorithm} along ${line.name}: from core ${message.sender} on flow ${flow}`;
      return { busiest: 0, fault: `${what}: ${fault}` };
    }
  }
  for (const [i, flow] of phase.flows.entries())
    for (let core = 0; flow >= 0 && core < cores; core++) {
      const routes = line.routes(flow, core);
      const idle = routes.findIndex((_, p) => (used[i][core] & (1 << p)) === 0);
      if (idle >= 0)
        return {
          busiest: 0,
          fault: `${phase.algorithm} along ${line.name}: core ${core} has the route ${routes[idle]} of flow ${flow}, which no message takes`,
        };
    }
  return { busiest: Math.max(0, ...load[0], ...load[1]), fault: undefined };
}

/** What tells a line from others, for a phase: the routes of its flows. */
export function signatureOf(line: RouterLine, { flows }: Phase): string {
  const routes: string[] = [];
  for (const f of flows) for (let i = 0; f >= 0 && i < line.cores; i++) routes.push(line.routes(f, i).join('|'));
  return routes.join();
}

/** One message from router to router; the fault, if it does not arrive where it should. */
function follow(
  line: RouterLine,
  flow: number,
  message: Message,
  used: Uint8Array,
  load: readonly Float64Array[],
): string | undefined {
  const { cores, back, ahead } = line;
  const { sender, from, to, turn, wavelets } = message;
  const start = line.routes(flow, sender);
  const own = start.findIndex((route) => route.startsWith('R>'));
  if (own < 0) return `no route from its ramp, found ${shown(start)}`;
  if (own !== 0) return `it sends in switch position ${own}, found ${shown(start)}`;
  if (!turn && start.length > 1) return `expected one switch position, found ${shown(start)}`;
  used[sender] |= 1;
  let received = 0;
  for (const first of start[0].slice(2)) {
    if (first !== back && first !== ahead) return `the route ${start[0]} leaves the line`;
    const [step, into, out, links] = first === back ? [-1, ahead, back, load[0]] : [1, back, ahead, load[1]];
    let core = sender;
    for (let going = true; going; ) {
      links[core] += wavelets;
      core += step;
      if (core < 0 || core >= cores) return `it leaves the line at core ${core - step}`;
      const routes = line.routes(flow, core);
      const position = routes.findIndex((route) => route.startsWith(`${into}>`));
      if (position < 0) return `core ${core} does not receive it from ${into}, found ${shown(routes)}`;
      if (!turn && routes.length > 1) return `core ${core} has switch positions, found ${shown(routes)}`;
      if (turn && position !== (routes.some((route) => route.startsWith('R>')) ? 1 : 0))
        return `core ${core} lets it pass in switch position ${position}, found ${shown(routes)}`;
      used[core] |= 1 << position;
      going = false;
      for (const port of routes[position].slice(2)) {
        if (port === out) going = true;
        else if (port !== 'R') return `core ${core} sends it on to ${port}`;
        else if (core < from || core > to) return `core ${core} gets what it does not wait for`;
        else received++;
      }
    }
  }
  const expected = to - from + 1 - (sender >= from && sender <= to ? 1 : 0);
  return received === expected ? undefined : `${expected} cores wait for it, ${received} get it`;
}

const shown = (routes: readonly string[]): string => (routes.length === 0 ? 'none' : routes.join(' then '));

/**
 * A cycle of links that wait for each other, for people: cores by their places on the line, directions, colors; undefined
 * when there is none. A link waits for those that its
 * router copies to, and the ramp into a core for the ramp out of it, where the core passes on what arrives. Messages
 * of a later step are sent when those of the earlier are in SRAM, so each step stands for itself.
 */
export function waitCycle(
  line: RouterLine,
  phase: Phase,
  messages: readonly Message[],
  colorOf: (flow: number) => number,
): string[] | undefined {
  for (const step of new Set(messages.map((m) => m.step))) {
    const links = new Links();
    // A flow that is missing is a fault of its own (R5).
    const now = messages.filter((m) => m.step === step && phase.flows[m.flow] >= 0);
    for (const f of new Set(now.map((m) => m.flow))) routerWaits(line, phase.flows[f], colorOf, links);
    for (const { flow, sender, streams } of now)
      for (const other of streams.filter((s) => phase.flows[s] >= 0))
        links.waits(
          `core ${sender} receives on color ${colorOf(phase.flows[other])}`,
          `core ${sender} sends on color ${colorOf(phase.flows[flow])}`,
        );
    const cycle = links.cycle();
    if (cycle !== undefined) return cycle;
  }
  return undefined;
}

function routerWaits(line: RouterLine, flow: number, colorOf: (flow: number) => number, links: Links): void {
  const { cores, ahead, back } = line;
  const color = `color ${colorOf(flow)}`;
  const link = (from: number, to: number): string =>
    `${to > from ? ahead : back} from core ${from} to core ${to} on ${color}`;
  const into = (core: number, port: string): string =>
    port === 'R' ? `core ${core} sends on ${color}` : link(port === back ? core - 1 : core + 1, core);
  const outOf = (core: number, port: string): string =>
    port === 'R' ? `core ${core} receives on ${color}` : link(core, port === ahead ? core + 1 : core - 1);
  for (let core = 0; core < cores; core++)
    for (const route of line.routes(flow, core))
      for (const port of route.slice(2)) links.waits(into(core, route[0]), outOf(core, port));
}

/** Who waits for whom; nodes by name. */
class Links {
  private readonly next = new Map<string, Set<string>>();

  waits(a: string, b: string): void {
    const known = this.next.get(a);
    if (known === undefined) this.next.set(a, new Set([b]));
    else known.add(b);
  }

  /** Depth first, without recursion: lines are long. */
  cycle(): string[] | undefined {
    const done = new Set<string>();
    for (const root of this.next.keys()) {
      const path: string[] = [];
      const onPath = new Set<string>();
      const left: Iterator<string>[] = [];
      const enter = (node: string): void => {
        path.push(node);
        onPath.add(node);
        left.push((this.next.get(node) ?? new Set<string>())[Symbol.iterator]());
      };
      if (!done.has(root)) enter(root);
      while (left.length > 0) {
        const { value, done: ended } = left[left.length - 1].next();
        if (ended === true) {
          left.pop();
          const node = path.pop();
          if (node !== undefined) {
            onPath.delete(node);
            done.add(node);
          }
        } else if (onPath.has(value)) return [...path.slice(path.indexOf(value)), value];
        else if (!done.has(value)) enter(value);
      }
    }
    return undefined;
  }
}
