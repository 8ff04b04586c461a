/**
 * Rule R6 of routing.ts: what crosses the fabric between regions and at its edges, recomputed from stages, programs,
 * regions and target. Where they meet is in meeting.ts.
 */
import type { Diagnostic } from '../diag/diagnostic.ts';
import type { Transport } from '../ir/routing.ts';
import type { Target } from '../ir/target.ts';
import { type Core, type Owners, ownersOf } from './fabric-owners.ts';
import { FlowTrace, type Reached, Stray } from './fabric-trace.ts';
import { verifyMeeting } from './meeting.ts';
import { type Carried, verifyHeld, verifyLanes, wireBytes } from './payload.ts';
import { brokenRoute, type RoutedProgram } from './routed.ts';
import { FlowGrid, spanEnd, spanFault, spanHas, spanSize } from './spans.ts';

/** Everything that is wrong with the transports of a program whose flows are flows. */
export function verifyTransports(program: RoutedProgram): Diagnostic[] {
  const { routing, target } = program;
  const owners = ownersOf(program);
  const grid = new FlowGrid(routing.flows, target.width, target.height);
  const found = [...verifyCarried(program), ...verifyOrder(program), ...verifyMeeting(program, grid, owners)];
  const traces = new Map<number, FlowTrace>();
  const traceOf = (flow: number): FlowTrace => {
    const known = traces.get(flow) ?? new FlowTrace(grid, flow, target);
    traces.set(flow, known);
    return known;
  };
  for (const [i, transport] of routing.transports.entries()) {
    const name = `transport ${i} (${transport.kind} of ${transport.values.join(', ')})`;
    const bad = transport.flows.find((f) => f !== -1 && routing.flows[f] === undefined);
    if (bad !== undefined) {
      found.push(brokenRoute('R6', `${name}: there is no flow ${bad}`));
      continue;
    }
    try {
      found.push(...verifyOne(transport, { program, owners, traceOf }).map((m) => brokenRoute('R6', `${name}: ${m}`)));
    } catch (error) {
      if (!(error instanceof Stray)) throw error;
      found.push(brokenRoute('R6', `${name}: ${error.message}`));
    }
  }
  if (found.length > 0) return found;
  for (const [f, { runs }] of routing.flows.entries()) {
    const routes = runs.reduce((n, run) => n + spanSize(run.columns) * spanSize(run.rows) * run.routes.length, 0);
    const taken = traces.get(f)?.taken ?? 0;
    if (taken !== routes)
      found.push(brokenRoute('R6', `flow ${f} of transports has ${routes} routes, of which messages take ${taken}`));
  }
  return found;
}

/** What has to be carried: values by `from > to`, host as `host`. */
function verifyCarried({ values, stages, placement, routing }: RoutedProgram): Diagnostic[] {
  const regionOf = new Map(placement.regions.flatMap((region, r) => region.stages.map((s) => [s, r] as const)));
  const needed = new Set<string>();
  const maker = new Map<string, number>();
  for (const s of stages.stages.keys()) {
    const region = regionOf.get(s);
    for (const value of values.stages[s].inputs) {
      if (value === null) continue;
      const from = maker.get(value);
      if (from !== region) needed.add(`${value}: ${from ?? 'host'} to ${region}`);
    }
    for (const value of values.stages[s].outputs) {
      if (value === null || region === undefined) continue;
      maker.set(value, region);
      if (values.results.has(value)) needed.add(`${value}: ${region} to host`);
    }
  }
  const found: Diagnostic[] = [];
  const carried = new Set<string>();
  for (const { from, to, values: names } of routing.transports)
    for (const region of to ?? ['host']) {
      const ways = names.map((value) => `${value}: ${from ?? 'host'} to ${region}`);
      for (const way of ways) if (carried.has(way)) found.push(brokenRoute('R6', `${way} is carried twice`));
      for (const way of ways) carried.add(way);
      // What travels together goes to all that read one of them; the others drop it.
      if (!ways.some((way) => needed.has(way))) found.push(brokenRoute('R6', `nobody needs ${ways.join(', ')}`));
    }
  for (const way of needed) if (!carried.has(way)) found.push(brokenRoute('R6', `nothing carries ${way}`));
  return found;
}

/** Transports go in the order of the list: a region sends when all has come that its stages read up to then. */
function verifyOrder({ values, placement, routing }: RoutedProgram): Diagnostic[] {
  const found: Diagnostic[] = [];
  const come = placement.regions.map(() => new Set<string>());
  for (const [i, { from, to, values: names }] of routing.transports.entries()) {
    for (const value of names) {
      const stages = from === null ? [] : (placement.regions[from]?.stages ?? []);
      const maker = stages.findIndex((s) => values.stages[s].outputs.includes(value));
      const own = new Set<string | null>();
      for (const s of stages.slice(0, maker + 1)) {
        const { inputs, outputs } = values.stages[s];
        const missing = inputs.find((name) => name !== null && !own.has(name) && !come[from ?? 0].has(name));
        if (missing !== undefined)
          found.push(brokenRoute('R6', `transport ${i} has ${value} leave region ${from} before ${missing} comes`));
        for (const name of outputs) own.add(name);
      }
    }
    for (const region of to ?? []) for (const value of names) come[region]?.add(value);
  }
  return found;
}

interface Context extends Carried {
  traceOf(flow: number): FlowTrace;
}

/** What is wrong with one transport; throws a Stray for a message that goes astray. */
function verifyOne(transport: Transport, context: Context): string[] {
  const { kind, from, to, flows, algorithm } = transport;
  const { program, owners, traceOf } = context;
  if ((kind === 'input') !== (from === null) || (kind === 'output') !== (to === null))
    return [`it goes from ${from ?? 'the host'} to ${to ?? 'the host'}`];
  for (const region of [...(from === null ? [] : [from]), ...(to ?? [])])
    if (program.placement.regions[region] === undefined) return [`there is no region ${region}`];
  const wanted = { tree: 1, lanes: 1, columns: Math.max(2, flows.length), bus: 1, 'relay-bus': 3 }[algorithm];
  if (flows.length !== wanted || (algorithm === 'tree') !== (kind === 'input'))
    return [`a ${kind} by ${algorithm} over ${flows.length} flows`];
  const goals = new Set(to ?? []);
  const allowed = (x: number, y: number): boolean => goals.has(owners.at(x, y));
  const all = [...goals].reduce((n, r) => n + owners.regions[r].columns.length * owners.regions[r].rows.length, 0);
  if (from === null) return verifyTree(transport, context, { allowed, all });
  const sending = sendersOf(transport, owners, from, program.target);
  if (typeof sending === 'string') return [sending];
  const found = verifyHeld(transport, context, from, sending);
  const last = flows.at(-1) ?? -1;
  if (algorithm === 'relay-bus') {
    const order = inLine(sending);
    if (order === undefined) return [...found, 'its senders are in no line'];
    const end = program.routing.flows[last].runs.length === 0 ? undefined : lastOf(order, last, program);
    if (end === undefined) return [...found, `no end of the line of senders sends on flow ${last}`];
    const line = end === 0 ? order : [...order].reverse();
    let relayed = 0;
    for (const [d, core] of line.entries()) {
      if (d === 0) continue;
      const next = line[d - 1];
      const one = traceOf(flows[d % 2]).send(core.x, core.y, (x, y) => x === next.x && y === next.y);
      if (one.cores !== 1 || one.exits > 0) found.push(`core (${core.x},${core.y}) does not reach the next one`);
      relayed += one.hops;
    }
    const result = traceOf(last).send(line[0].x, line[0].y, allowed);
    return [
      ...found,
      ...verifyReached(result, transport, all),
      ...verifyWay(transport, relayed + result.hops, line.length),
    ];
  }
  if (algorithm === 'columns') return [...found, ...verifyColumns(transport, context, from, sending)];
  let hops = 0;
  for (const { x, y } of sending) {
    const inRow = (cx: number, cy: number): boolean => cy === y && allowed(cx, cy);
    const reached = traceOf(last).send(x, y, algorithm === 'lanes' ? inRow : allowed);
    hops = Math.max(hops, reached.hops);
    const row = [...goals].reduce(
      (n, r) => n + (owners.regions[r].rows.includes(y) ? owners.regions[r].columns.length : 0),
      0,
    );
    found.push(...verifyReached(reached, transport, algorithm === 'lanes' ? row : all));
    if (found.length > 0) return found;
  }
  found.push(...verifyWay(transport, hops, 1));
  if (algorithm === 'lanes' && to !== null) found.push(...verifyLanes(transport, context, from, sending));
  return found;
}

/** Each sender reaches the core of its column in the same row of the other region, and that core its row. */
function verifyColumns(transport: Transport, context: Context, from: number, sending: readonly Core[]): string[] {
  const { program, owners, traceOf } = context;
  const { flows, to } = transport;
  const [goal] = to ?? [];
  if (goal === undefined || to?.length !== 1) return ['columns go to one region'];
  const { columns, rows } = owners.regions[goal];
  const arrives = ({ y }: Core): number => rows[owners.regions[from].rows.indexOf(y)] ?? -1;
  const last = flows.at(-1) ?? -1;
  let hops = 0;
  for (const core of sending) {
    const y = arrives(core);
    const sends = flows.slice(0, -1).filter((f) => f !== -1 && lastOf([core], f, program) === 0);
    if (sends.length !== 1) return [`core (${core.x},${core.y}) sends on ${sends.length} of its flows`];
    const down = traceOf(sends[0]).send(core.x, core.y, (cx, cy) => cx === core.x && cy === y);
    if (down.cores !== 1 || down.exits > 0) return [`core (${core.x},${core.y}) does not reach row ${y}`];
    const inRow = (cx: number, cy: number): boolean => cy === y && cx !== core.x && owners.at(cx, cy) === goal;
    const along = columns.length === 1 ? { cores: 0, exits: 0, hops: 0 } : traceOf(last).send(core.x, y, inRow);
    if (along.cores !== columns.length - 1 || along.exits > 0)
      return [`${columns.length - 1} cores of row ${y} wait for it, ${along.cores} get it`];
    hops = Math.max(hops, down.hops + along.hops);
  }
  const found = verifyLanes(transport, context, from, sending, arrives);
  return [...found, ...verifyWay(transport, hops, 2)];
}

/** What the transport says of its longest way. */
function verifyWay(transport: Transport, hops: number, depth: number): string[] {
  if (transport.hops !== hops) return [`its longest way has ${hops} links, stated ${transport.hops}`];
  return transport.depth === depth ? [] : [`${depth} cores pass it on, stated ${transport.depth}`];
}

function verifyReached({ cores, exits }: Reached, { kind }: Transport, all: number): string[] {
  if (kind === 'output') return exits === 1 ? [] : [`it leaves the fabric ${exits} times`];
  if (exits > 0) return ['it leaves the fabric'];
  return cores === all ? [] : [`${all} cores wait for it, ${cores} get it`];
}

interface Goal {
  allowed(x: number, y: number): boolean;
  readonly all: number;
}

/** The host sends at the one place where a route receives from beyond the fabric. */
function verifyTree(transport: Transport, { program, traceOf }: Context, { allowed, all }: Goal): string[] {
  const { width, height } = program.target;
  const flow = transport.flows[0];
  const doors: { x: number; y: number; from: 'N' | 'E' | 'S' | 'W' }[] = [];
  for (const { columns, rows, routes } of program.routing.flows[flow].runs) {
    const [left, right] = [spanHas(columns, 0), spanHas(columns, width - 1)];
    const [top, bottom] = [spanHas(rows, 0), spanHas(rows, height - 1)];
    const into = (port: string): boolean => routes.some((route) => route.startsWith(`${port}>`));
    const [y, x] = [rows[0], columns[0]];
    if (left && into('W')) doors.push({ x: 0, y, from: 'W' });
    if (right && into('E')) doors.push({ x: width - 1, y, from: 'E' });
    if (top && into('N')) doors.push({ x, y: 0, from: 'N' });
    if (bottom && into('S')) doors.push({ x, y: height - 1, from: 'S' });
  }
  if (doors.length !== 1) return [`the host can enter flow ${flow} at ${doors.length} places`];
  const [{ x, y, from }] = doors;
  const reached = traceOf(flow).enter(x, y, from, allowed);
  return [
    ...verifyReached(reached, transport, all),
    // From the host to the first router is a link, too.
    ...verifyWay(transport, reached.hops + 1, 1),
    ...verifyGiven(transport, program),
  ];
}

/** The host sends all of every value. */
function verifyGiven(transport: Transport, program: RoutedProgram): string[] {
  const { target, stages, values, mapping } = program;
  let wavelets = 0;
  for (const value of transport.values) {
    const s = values.stages.findIndex(({ inputs }) => inputs.includes(value));
    if (s < 0) return [`nobody reads ${value}`];
    const { tensors, inputs } = mapping.programs[stages.stages[s].template];
    const tensor = tensors[inputs[values.stages[s].inputs.indexOf(value)]?.tensor ?? -1];
    if (tensor === undefined) return [`nobody reads ${value}`];
    const elements = tensor.shape.reduce((n, extent) => n * extent, 1);
    wavelets += Math.ceil(wireBytes(tensor, elements) / target.waveletBytes);
  }
  return transport.wavelets === wavelets ? [] : [`${wavelets} wavelets from the host, stated ${transport.wavelets}`];
}

/** Cores that send, all of region `from`; or what is wrong with them. */
function sendersOf({ senders }: Transport, { at }: Owners, from: number, target: Target): Core[] | string {
  const found: Core[] = [];
  const known = new Set<number>();
  for (const { columns, rows } of senders) {
    const fault = spanFault(columns, target.width) ?? spanFault(rows, target.height);
    if (fault !== undefined) return fault;
    for (let y = rows[0]; y <= spanEnd(rows); y++)
      for (let x = columns[0]; spanHas(rows, y) && x <= spanEnd(columns); x++) {
        if (!spanHas(columns, x)) continue;
        if (at(x, y) !== from) return `core (${x},${y}) sends, which is not in region ${from}`;
        if (known.has(y * target.width + x)) return `core (${x},${y}) sends twice`;
        known.add(y * target.width + x);
        found.push({ x, y });
      }
  }
  return found.length === 0 ? 'nobody sends' : found;
}

/** The cores from one end to the other; undefined when they are not in one row or column. */
function inLine(cores: readonly Core[]): Core[] | undefined {
  const sorted = [...cores].sort((a, b) => a.x - b.x || a.y - b.y);
  const one = sorted.every(({ x }) => x === sorted[0].x) || sorted.every(({ y }) => y === sorted[0].y);
  return one ? sorted : undefined;
}

/** Which end of the line sends on flow `flow`: 0 the first, 1 the last. */
function lastOf(line: readonly Core[], flow: number, { routing }: RoutedProgram): 0 | 1 | undefined {
  const sends = ({ x, y }: Core): boolean =>
    routing.flows[flow].runs.some(
      ({ columns, rows, routes }) => spanHas(columns, x) && spanHas(rows, y) && routes.some((r) => r.startsWith('R>')),
    );
  if (sends(line[0])) return 0;
  return sends(line[line.length - 1]) ? 1 : undefined;
}
