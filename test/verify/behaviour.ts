/**
 * What a plan does, by brute force: every core of the fabric has its registers, routes and queues are written into them
 * in the order of the program, and every message is followed from router to router over what stands there at that
 * moment. Two plans behave alike when the descriptions are equal. Own code from ARCHITECTURE.md on, for tests: it
 * shares nothing with the checker that it is held against, and knows no algorithm; it only says who hears whom.
 */
import type { ProgramTensor, RegionShape } from '../../src/ir/program.ts';
import type { Flow, RouteRun, Span, Transport } from '../../src/ir/routing.ts';
import type { Plan } from '../../src/plan/types.ts';
import { memoryFault } from './memory-behaviour.ts';

/** What the machine cannot do, or what the plan says that is not so. */
export class Broken extends Error {}

/** A description of what the plan does; of a plan that cannot run, what breaks it. */
export function behaviourOf(plan: Plan): string {
  try {
    const fault = memoryFault(plan);
    if (fault !== undefined) throw new Broken(fault);
    return describe(plan);
  } catch (error) {
    // Whatever indices lead nowhere is broken, too.
    if (error instanceof Broken || error instanceof TypeError || error instanceof RangeError)
      return `broken: ${error.message}`;
    throw error;
  }
}

const STEP: Readonly<Record<string, readonly [dx: number, dy: number, into: string]>> = {
  N: [0, -1, 'S'],
  E: [1, 0, 'W'],
  S: [0, 1, 'N'],
  W: [-1, 0, 'E'],
};

/** Registers of a core and its router. */
interface Core {
  readonly routes: Map<number, readonly string[]>;
  readonly input: Map<number, number>;
  readonly output: Map<number, number>;
}

/** Columns and rows of the fabric where those of a region stand. */
interface Ground {
  readonly columns: readonly number[];
  readonly rows: readonly number[];
}

type Cells = ReadonlyMap<number, RouteRun>;

function numbersOf(span: Span): number[] {
  let numbers = [span[0]];
  for (let i = 1; i < span.length; i += 2) {
    const inner = numbers;
    numbers = Array.from({ length: span[i] }, (_, k) => inner.map((n) => n + k * span[i + 1])).flat();
  }
  return numbers;
}

/** Runs of a flow by row x width + column. */
function cellsOf({ runs }: Flow, width: number, height: number): Cells {
  const cells = new Map<number, RouteRun>();
  for (const run of runs)
    for (const y of numbersOf(run.rows))
      for (const x of numbersOf(run.columns)) {
        if (x < 0 || y < 0 || x >= width || y >= height) throw new Broken('a run leaves its rectangle');
        if (cells.has(y * width + x)) throw new Broken('two runs at a core');
        cells.set(y * width + x, run);
      }
  return cells;
}

const kept = (start: number, count: number, skipped: readonly number[] = []): number[] => {
  const out: number[] = [];
  for (let n = start; out.length < count; n++) if (!skipped.includes(n)) out.push(n);
  return out;
};

function describe(plan: Plan): string {
  const { target, regions, stages, templates, schedule } = plan;
  const { width, height } = target;
  const owner = new Map<number, string>();
  const claim = (x: number, y: number, who: string): void => {
    if (x < 0 || y < 0 || x >= width || y >= height) throw new Broken(`${who} leaves the fabric`);
    if (owner.has(y * width + x)) throw new Broken(`two regions at ${x},${y}`);
    owner.set(y * width + x, who);
  };
  const isDead = (x: number, y: number): boolean =>
    target.defects.some((d) => x >= d.x && x < d.x + d.width && y >= d.y && y < d.y + d.height);
  const grounds = regions.map((r, i): Ground => {
    const ground = { columns: kept(r.x, r.width, r.skippedColumns), rows: kept(r.y, r.height, r.skippedRows) };
    // What lies between its columns and rows is nobody else's.
    for (let y = ground.rows[0]; y <= ground.rows[r.height - 1]; y++)
      for (let x = ground.columns[0]; x <= ground.columns[r.width - 1]; x++) claim(x, y, `region ${i}`);
    for (const y of ground.rows)
      for (const x of ground.columns) if (isDead(x, y)) throw new Broken('a region on a defect');
    return ground;
  });
  for (const { x, y } of plan.replicas)
    for (const [i, { columns, rows }] of grounds.entries())
      for (const row of rows)
        for (const column of columns) {
          claim(column + x, row + y, `copy of region ${i}`);
          if (isDead(column + x, row + y)) throw new Broken('a copy on a defect');
        }
  for (const [s, stage] of stages.entries()) {
    const homes = regions.flatMap((r, i) => (r.stages.includes(s) ? [i] : []));
    if (homes.join() !== `${stage.region}`) throw new Broken(`stage ${s} is at home in ${homes}`);
    const { shape } = templates[stage.template].program;
    const { width: w, height: h } = regions[stage.region];
    if (shape.width !== w || shape.height !== h) throw new Broken('a region of another shape');
  }
  const machine = new Machine(plan, grounds, isDead);
  const lines = [
    ...stages.map((s) => `stage ${s.template} ${s.region}: ${s.inputs} -> ${s.outputs}`),
    // Which bytes are whose: what the tiles of a blob are follows from its place and its layout.
    ...stages.map((s) => s.weights.map((b) => `${b.offset} ${b.bytes} ${b.dtype}[${b.shape}]`).join()),
    ...templates.map(({ program }) => program.weights.map((t) => tilesOf(program.tensors[t], program.shape)).join()),
    ...regions.map((r, i) => `region ${i}: ${r.stages}`),
    // Predicted cycles are what the plan says of itself; which of the bounds is the largest is a remark.
    JSON.stringify(schedule, (key, value) => (key === 'boundBy' ? undefined : value)),
    ...machine.transports(),
  ];
  // Twice: what a step leaves behind, the next one finds.
  for (let step = 0; step < 2; step++) for (const s of stages.keys()) lines.push(...machine.stage(s));
  return [...lines, ...machine.transports()].join('\n');
}

class Machine {
  private readonly cores: Core[];
  private readonly flows: readonly Cells[];
  private readonly classFlows: readonly (readonly Cells[])[];
  private readonly plan: Plan;
  private readonly grounds: readonly Ground[];

  constructor(plan: Plan, grounds: readonly Ground[], isDead: (x: number, y: number) => boolean) {
    this.plan = plan;
    this.grounds = grounds;
    const { target, routing, templates } = plan;
    const { width, height } = target;
    this.cores = Array.from({ length: width * height }, () => ({
      routes: new Map(),
      input: new Map(),
      output: new Map(),
    }));
    this.flows = routing.flows.map((flow) => cellsOf(flow, width, height));
    this.classFlows = routing.classes.map(({ flows, templates: own }) => {
      const { shape } = templates[own[0]].program;
      return flows.map((flow) => cellsOf(flow, shape.width, shape.height));
    });
    for (const { color, runs } of [...routing.flows, ...routing.classes.flatMap((c) => c.flows)])
      for (const run of runs) this.allowed(color, run);
    for (const [f, cells] of this.flows.entries())
      for (const [at, run] of cells) {
        const [x, y] = [at % width, Math.floor(at / width)];
        if (isDead(x, y) && (target.defectsForward !== true || run.routes.some((r) => r.includes('R'))))
          throw new Broken(`flow ${f} on a defect`);
        if (this.cores[at].routes.has(routing.flows[f].color)) throw new Broken('two transports on a color');
        this.write(this.cores[at], routing.flows[f].color, run, true);
      }
    for (const region of grounds.keys()) this.load(region, isDead);
  }

  /** What the target gives a program. */
  private allowed(color: number, { routes, input, output }: RouteRun): void {
    const { colors, queues } = this.plan.target;
    if (!colors.usable.includes(color)) throw new Broken(`color ${color}`);
    if (routes.length === 0 || routes.length > 4) throw new Broken('switch positions');
    if (routes.length > 1 && !colors.switchable.includes(color)) throw new Broken(`color ${color} cannot switch`);
    for (const [from, , ...to] of routes)
      if (!'NESWR'.includes(from) || to.length === 0 || to.includes(from) || new Set(to).size !== to.length)
        throw new Broken(`route ${from}>${to.join('')}`);
    if ((input !== null) !== routes.some((r) => r.slice(2).includes('R'))) throw new Broken('an input queue');
    if ((output !== null) !== routes.some((r) => r.startsWith('R'))) throw new Broken('an output queue');
    if (input !== null && (input < 0 || input >= queues.input)) throw new Broken(`input queue ${input}`);
    if (output !== null && (output < 0 || output >= queues.output)) throw new Broken(`output queue ${output}`);
  }

  /** Registers of flows that are written once; then what the routers between a region's cores pass on for good. */
  private load(region: number, isDead: (x: number, y: number) => boolean): void {
    const k = this.classOf(region);
    const { flows, phases } = this.plan.routing.classes[k];
    const late = new Set(phases.flat().flatMap((p) => p.loads));
    for (const f of flows.keys()) if (!late.has(f)) this.writeFlow(region, k, f);
    const { columns, rows } = this.grounds[region];
    const sends = (f: number, c: number, r: number, port: string): boolean =>
      this.classFlows[k][f].get(r * columns.length + c)?.routes.some((route) => route.slice(2).includes(port)) === true;
    const passes = (x: number, y: number, way: (f: number) => string): void => {
      const ways = new Map<number, string>();
      for (const [f, { color }] of flows.entries()) {
        if (way(f) === '') continue;
        if (isDead(x, y) && this.plan.target.defectsForward !== true) throw new Broken('a message over a defect');
        if (way(f).length > 1 || (ways.get(color) ?? way(f)) !== way(f)) throw new Broken('two ways over a gap');
        if (this.cores[y * this.plan.target.width + x].routes.has(color)) throw new Broken('a color in a gap');
        ways.set(color, way(f));
      }
    };
    for (let c = 1; c < columns.length; c++)
      for (let x = columns[c - 1] + 1; x < columns[c]; x++)
        for (const [r, y] of rows.entries())
          passes(x, y, (f) => `${sends(f, c - 1, r, 'E') ? 'E' : ''}${sends(f, c, r, 'W') ? 'W' : ''}`);
    for (let r = 1; r < rows.length; r++)
      for (let y = rows[r - 1] + 1; y < rows[r]; y++)
        for (const [c, x] of columns.entries())
          passes(x, y, (f) => `${sends(f, c, r - 1, 'S') ? 'S' : ''}${sends(f, c, r, 'N') ? 'N' : ''}`);
  }

  private classOf(region: number): number {
    const { routing, stages, regions } = this.plan;
    return routing.classes.findIndex((c) => c.templates.includes(stages[regions[region].stages[0]].template));
  }

  private at(region: number, column: number, row: number): Core {
    const { columns, rows } = this.grounds[region];
    return this.cores[rows[row] * this.plan.target.width + columns[column]];
  }

  private writeFlow(region: number, k: number, f: number): void {
    const width = this.grounds[region].columns.length;
    const { color } = this.plan.routing.classes[k].flows[f];
    for (const [cell, run] of this.classFlows[k][f])
      this.write(this.at(region, cell % width, Math.floor(cell / width)), color, run);
  }

  private write(core: Core, color: number, { routes, input, output }: RouteRun, once = false): void {
    core.routes.set(color, routes);
    if (once && input !== null && core.input.has(input)) throw new Broken('two transports on an input queue');
    // A color feeds one queue.
    if (input !== null) {
      for (const [q, bound] of core.input) if (bound === color) core.input.delete(q);
      core.input.set(input, color);
    }
    if (output !== null && this.plan.target.queues.outputsShared !== true) core.output.set(output, color);
  }

  /** Who hears whom in every phase of a stage. */
  stage(s: number): string[] {
    const { stages, routing } = this.plan;
    const { region, template } = stages[s];
    const k = this.classOf(region);
    const own = routing.classes[k];
    const list = own.phases[own.templates.indexOf(template)];
    return list.flatMap((phase, i) => {
      for (const f of phase.loads) this.writeFlow(region, k, f);
      const { op, axis, algorithm, group, wavelets } = phase;
      const head = `stage ${s} phase ${i}: op ${op} ${axis} ${algorithm} ${group} ${wavelets}`;
      const used = new Set<string>();
      const now = new Map<string, number>();
      const found = phase.flows.flatMap((f, slot) => (f < 0 ? [] : this.hear(region, k, f).map((m) => `${slot} ${m}`)));
      for (const f of phase.flows)
        if (f >= 0)
          for (const [cell, { input, output }] of this.classFlows[k][f])
            for (const end of [`in ${input}`, `out ${output}`]) {
              if (end.endsWith('null') || (end.startsWith('out') && this.plan.target.queues.outputsShared === true))
                continue;
              // One queue, two colors at once.
              if ((now.get(`${cell} ${end}`) ?? own.flows[f].color) !== own.flows[f].color) used.add(`${cell} ${end}`);
              now.set(`${cell} ${end}`, own.flows[f].color);
            }
      if (used.size > 0) throw new Broken(`queues of two colors in ${head}`);
      return [head, ...found];
    });
  }

  /** Messages of flow `f` of a class over the registers as they are. */
  private hear(region: number, k: number, f: number): string[] {
    const width = this.grounds[region].columns.length;
    const height = this.grounds[region].rows.length;
    const { color } = this.plan.routing.classes[k].flows[f];
    const cells = this.classFlows[k][f];
    const found: string[] = [];
    for (const [cell, run] of cells) {
      const registers = this.at(region, cell % width, Math.floor(cell / width)).routes.get(color) ?? [];
      if (registers.join() !== run.routes.join()) found.push(`${cell} has ${registers.join('|')}`);
      if (!run.routes.some((r) => r.startsWith('R'))) continue;
      const sent = this.follow({
        x: cell % width,
        y: Math.floor(cell / width),
        width,
        height,
        color,
        run: (x, y) => cells.get(y * width + x),
        core: (x, y) => this.at(region, x, y),
      });
      found.push(`${cell}: ${sent.join(' ')}`);
    }
    return found.sort();
  }

  /** From a core's ramp, or through `into`, to all that hear it; with the switch positions on the way. */
  private follow(start: Start): string[] {
    const { width, height, color, run, core } = start;
    const sender = run(start.x, start.y);
    const { queues } = this.plan.target;
    const into = start.into ?? 'R';
    if (into === 'R' && queues.outputsShared !== true && sender !== undefined) {
      const bound = core(start.x, start.y).output.get(sender.output ?? -1);
      if (bound !== color) return [`sends on color ${bound}`];
    }
    const found: string[] = [];
    const left: [number, number, string][] = [[start.x, start.y, into]];
    const seen = new Set<string>();
    for (let next = left.pop(); next !== undefined; next = left.pop()) {
      const [x, y, port] = next;
      if (seen.has(`${x},${y},${port}`)) throw new Broken('a loop');
      seen.add(`${x},${y},${port}`);
      const routes = core(x, y).routes.get(color) ?? [];
      const position = routes.findIndex((r) => r.startsWith(port));
      if (position !== (port === 'R' || !routes.some((r) => r.startsWith('R')) ? 0 : 1)) {
        found.push(`lost ${x},${y} from ${port}`);
        continue;
      }
      start.used?.add(`${x},${y},${position}`);
      for (const out of routes[position].slice(2)) {
        if (out === 'R') {
          const queue = run(x, y)?.input ?? -1;
          found.push(core(x, y).input.get(queue) === color ? `${x},${y}` : `unheard ${x},${y}`);
          continue;
        }
        const [dx, dy, enters] = STEP[out];
        const inside = x + dx >= 0 && y + dy >= 0 && x + dx < width && y + dy < height;
        if (inside) left.push([x + dx, y + dy, enters]);
        else found.push('out');
      }
    }
    return found.sort();
  }

  /** What every transport brings to whom. Which goes first tells only what must have come before. */
  transports(): string[] {
    const { routing, regions, stages } = this.plan;
    const used = this.flows.map(() => new Set<string>());
    const come = regions.map(() => new Set<string>());
    const lines = routing.transports.map((t) => {
      const { kind, from, to, values, algorithm, wavelets, hops, depth } = t;
      for (const value of from === null ? [] : values) {
        const own = [...come[from ?? 0]];
        for (const s of regions[from ?? 0].stages) {
          const inputs = stages[s].inputs.filter((_, i) => this.reads(s, i));
          if (inputs.some((name) => !own.includes(name))) throw new Broken(`${value} leaves too early`);
          own.push(...stages[s].outputs);
          if (stages[s].outputs.includes(value)) break;
        }
      }
      for (const r of to ?? []) for (const value of values) come[r].add(value);
      const head = `${kind} ${from} ${to === null ? 'host' : [...to].sort((a, b) => a - b)} ${values} ${algorithm} ${wavelets} ${hops} ${depth}`;
      return [head, ...this.carry(t, used).sort()].join('\n');
    });
    return lines.sort();
  }

  /** Whether an input comes over the fabric; the ends of caches stay where they are. */
  private reads(s: number, input: number): boolean {
    const { stages, templates } = this.plan;
    return templates[stages[s].template].program.inputs[input] !== null;
  }

  private carry(t: Transport, used: readonly Set<string>[]): string[] {
    const { target, routing } = this.plan;
    const { width, height } = target;
    const last = t.flows[t.flows.length - 1];
    const send = (f: number, x: number, y: number, into?: string): string[] =>
      this.follow({
        x,
        y,
        width,
        height,
        color: routing.flows[f].color,
        run: (cx, cy) => this.flows[f].get(cy * width + cx),
        core: (cx, cy) => this.cores[cy * width + cx],
        used: used[f],
        ...(into === undefined ? {} : { into }),
      });
    if (t.kind === 'input') {
      const doors = [...this.flows[last]].flatMap(([cell, { routes }]) => {
        const [x, y] = [cell % width, Math.floor(cell / width)];
        const edges = `${y === 0 ? 'N' : ''}${x === width - 1 ? 'E' : ''}${y === height - 1 ? 'S' : ''}${x === 0 ? 'W' : ''}`;
        return [...edges].filter((p) => routes.some((r) => r.startsWith(p))).map((p) => ({ x, y, p }));
      });
      if (doors.length !== 1) throw new Broken(`${doors.length} doors`);
      return send(last, doors[0].x, doors[0].y, doors[0].p);
    }
    const senders = t.senders.flatMap(({ columns, rows }) =>
      numbersOf(rows).flatMap((y) => numbersOf(columns).map((x): [number, number] => [x, y])),
    );
    for (const f of t.flows)
      for (const [cell, { routes }] of f < 0 ? [] : this.flows[f]) {
        const isSender = senders.some(([x, y]) => y * width + x === cell);
        // The cores that pass a row on are no senders of the transport.
        const isPassing = t.algorithm === 'columns' && f === last;
        if (!isSender && !isPassing && routes.some((r) => r.startsWith('R'))) throw new Broken('who sends?');
      }
    const content = (x: number, y: number): string => this.tiles(t, x, y);
    const lines: string[] = [];
    const tell = (what: string, to: readonly string[]): void => {
      for (const core of to) lines.push(`${core} gets ${what}`);
    };
    if (t.algorithm === 'relay-bus') {
      const next = new Map(senders.map(([x, y]) => [`${x},${y}`, [] as string[]]));
      for (const f of t.flows.slice(0, 2))
        for (const [x, y] of senders)
          if (f >= 0 && this.flows[f].get(y * width + x)?.output != null)
            next.set(`${x},${y}`, [...(next.get(`${x},${y}`) ?? []), ...send(f, x, y)]);
      for (const [x, y] of senders) {
        lines.push(`${x},${y} to ${next.get(`${x},${y}`)?.join(' ')}: ${content(x, y)}`);
        if (this.flows[last].get(y * width + x)?.output != null) tell(`all from ${x},${y}`, send(last, x, y));
      }
      return lines;
    }
    if (t.algorithm === 'columns') {
      for (const [x, y] of senders)
        for (const f of t.flows.slice(0, -1)) {
          if (f < 0 || this.flows[f].get(y * width + x)?.output == null) continue;
          for (const core of send(f, x, y)) {
            tell(content(x, y), [core]);
            const [cx, cy] = core.split(',').map(Number);
            if (last >= 0 && this.flows[last].get(cy * width + cx)?.output != null)
              tell(content(x, y), send(last, cx, cy));
          }
        }
      return lines;
    }
    for (const [x, y] of senders) tell(content(x, y), send(last, x, y));
    return lines;
  }

  /** What a core holds of the values of a transport. */
  private tiles(t: Transport, x: number, y: number): string {
    const region = t.from ?? 0;
    const { columns, rows } = this.grounds[region];
    const [column, row] = [columns.indexOf(x), rows.indexOf(y)];
    if (column < 0 || row < 0) throw new Broken('a sender outside of its region');
    const { stages, templates, regions } = this.plan;
    return t.values
      .map((value) => {
        for (const s of regions[region].stages) {
          const { program } = templates[stages[s].template];
          const tensor = program.outputs[stages[s].outputs.indexOf(value)];
          if (tensor !== undefined && tensor !== null)
            return `${value}${boxOf(program.tensors[tensor], program.shape, column, row)}`;
        }
        throw new Broken(`nobody makes ${value}`);
      })
      .join(' ');
  }
}

interface Start {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly color: number;
  readonly into?: string;
  readonly used?: Set<string>;
  run(x: number, y: number): RouteRun | undefined;
  core(x: number, y: number): Core;
}

/** How a weight is cut: an axis of one core cuts nothing. */
function tilesOf({ layout }: ProgramTensor, { width, height, groups }: RegionShape): string {
  const sizes = { y: height, xo: groups, xi: width / groups };
  const dims = layout.dims.map((axes) => axes.filter((axis) => sizes[axis] > 1).join('.'));
  return `[${dims}] ${JSON.stringify(layout.woven ?? null)}`;
}

/** The elements of a tensor on a core, dim by dim. */
function boxOf({ shape, layout }: ProgramTensor, region: RegionShape, column: number, row: number): string {
  const inner = region.width / region.groups;
  const places = { y: row, xo: Math.floor(column / inner), xi: column % inner };
  const sizes = { y: region.height, xo: region.groups, xi: inner };
  const dims = shape.map((extent, d) => {
    let [start, length] = [0, extent];
    for (const axis of layout.dims[d]) {
      const end = Math.floor(((places[axis] + 1) * length) / sizes[axis]);
      const from = Math.floor((places[axis] * length) / sizes[axis]);
      [start, length] = [start + from, end - from];
    }
    return `${start}+${length}`;
  });
  return `[${dims}]`;
}
