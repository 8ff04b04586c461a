/** Rules R4, R5, R8, R9 and R10 of routing.ts, for the collectives inside the regions of a class. */
import type { Diagnostic } from '../diag/diagnostic.ts';
import type { ScheduledOp } from '../ir/facts.ts';
import { type CollectiveOp, isCollective, type RegionProgram } from '../ir/program.ts';
import type { Flow, LineAxis, Phase, RouteClass } from '../ir/routing.ts';
import type { Target } from '../ir/target.ts';
import { deliver, lineCores, linesOf, signatureOf, waitCycle } from './lines.ts';
import { ALGORITHMS, flowCount, messagesOf, partiesOf } from './messages.ts';
import { Occupancy } from './occupancy.ts';
import { brokenRoute, type RoutedProgram } from './routed.ts';
import { FlowGrid } from './spans.ts';
import { mostBytes } from './tile-sizes.ts';

/** What is wrong with the phases of a class, whose flows are flows. */
export function verifyClass(program: RoutedProgram, k: number, routes: RouteClass): Diagnostic[] {
  const { target, mapping, schedule, stages } = program;
  const { width, height } = mapping.programs[routes.templates[0]].shape;
  const grid = new FlowGrid(routes.flows, width, height);
  const occupancy = new Occupancy(grid, target.queues);
  const found: Diagnostic[] = [];
  for (const [i, template] of routes.templates.entries()) {
    const region = mapping.programs[template];
    const where = `template ${stages.templates[template].name}`;
    const phases = routes.phases[i];
    const structure = verifyPhases(region, phases, target);
    found.push(...structure.map((message) => brokenRoute('R4', message, where)));
    found.push(...occupancy.verify(phases).map((message) => brokenRoute('R8', `class ${k}: ${message}`, where)));
    if (structure.length > 0) continue;
    const busiest = new Map<number, number>();
    for (const phase of phases) {
      const run = runPhase(region, phase, { grid, flows: routes.flows });
      found.push(...run.faults.map(({ rule, message }) => brokenRoute(rule, message, where)));
      busiest.set(phase.op, (busiest.get(phase.op) ?? 0) + run.busiest);
    }
    const scheduled = schedule?.perTemplate[template];
    if (scheduled !== undefined)
      found.push(...verifyTime(scheduled, { phases, busiest, target }).map((m) => brokenRoute('R9', m, where)));
  }
  return found;
}

/** R4: the phases that the program's collectives need, from their axes. */
function verifyPhases(region: RegionProgram, phases: readonly Phase[], target: Target): string[] {
  const found: string[] = [];
  let at = 0;
  for (const [o, op] of region.ops.entries()) {
    if (!isCollective(op)) continue;
    let payload = Math.ceil(
      op.inputs.reduce((sum, t) => sum + mostBytes(region.tensors[t], region.shape), 0) / target.waveletBytes,
    );
    for (const axes of lineAxes(op, region)) {
      const phase = phases[at];
      const what = `op ${o} (${op.op} over ${axes[0]})`;
      if (phase === undefined || phase.op !== o || !axes.includes(phase.axis)) {
        const is = phase === undefined ? 'none' : `one of op ${phase.op} over ${phase.axis}`;
        return [...found, `${what} needs a phase, found ${is}`];
      }
      at++;
      if (!ALGORITHMS[op.op].includes(phase.algorithm)) found.push(`${what} cannot be done by ${phase.algorithm}`);
      else if (phase.flows.length !== flowCount(phase.algorithm))
        found.push(`${what}: ${phase.algorithm} has ${flowCount(phase.algorithm)} flows, found ${phase.flows.length}`);
      const isGrouped = phase.algorithm.endsWith('two-phase');
      if (isGrouped ? !(Number.isInteger(phase.group) && phase.group >= 1) : phase.group !== 0)
        found.push(`${what}: groups of ${phase.group} cores`);
      if (phase.wavelets !== payload) found.push(`${what}: ${payload} wavelets a core, found ${phase.wavelets}`);
      const parties = partiesOf(lineCores(phase.axis, region.shape));
      if (op.op === 'all_gather') payload *= parties;
      if (op.op === 'reduce_scatter') payload = Math.ceil(payload / parties);
    }
  }
  if (at < phases.length) found.push(`op ${phases[at].op} needs no phase over ${phases[at].axis}`);
  return found;
}

/** For each phase of an op the names that its lines may have: where an axis has one core, two names mean the same. */
function lineAxes({ axes }: CollectiveOp, { shape }: RegionProgram): (readonly LineAxis[])[] {
  const inner = shape.width / shape.groups;
  const [xo, xi] = [axes.includes('xo') && shape.groups > 1, axes.includes('xi') && inner > 1];
  const found: (readonly LineAxis[])[] = [];
  if (axes.includes('y') && shape.height > 1) found.push(['y']);
  if (xo && xi) found.push(['x']);
  else if (xo) found.push(inner === 1 ? ['x', 'xo'] : ['xo']);
  else if (xi) found.push(shape.groups === 1 ? ['x', 'xi'] : ['xi']);
  return found;
}

interface Routes {
  readonly grid: FlowGrid;
  readonly flows: readonly Flow[];
}

/** R5 and R10 of one phase, over all its lines, and wavelets over the busiest link. */
function runPhase(region: RegionProgram, phase: Phase, { grid, flows }: Routes) {
  const faults: { rule: string; message: string }[] = [];
  const op = region.ops[phase.op];
  const messages = isCollective(op) ? messagesOf(phase, op.op, lineCores(phase.axis, region.shape)) : [];
  let busiest = 0;
  const seen = new Set<string>();
  for (const routers of linesOf(phase.axis, region.shape, grid)) {
    const signature = signatureOf(routers, phase);
    if (seen.has(signature)) continue;
    seen.add(signature);
    const delivery = deliver(routers, phase, messages);
    busiest = Math.max(busiest, delivery.busiest);
    if (delivery.fault !== undefined) faults.push({ rule: 'R5', message: `op ${phase.op}: ${delivery.fault}` });
    const cycle = waitCycle(routers, phase, messages, (flow) => flows[flow].color);
    if (cycle !== undefined)
      faults.push({ rule: 'R10', message: `op ${phase.op} along ${routers.name}: ${cycle.join(' -> ')}` });
  }
  return { faults, busiest };
}

/** What schemas/target.schema.json says a target means that does not say. */
const DEFAULT_RESET_CYCLES = 20;

interface Timed {
  readonly phases: readonly Phase[];
  /** By op: wavelets over the busiest link of each of its phases, added up. */
  readonly busiest: ReadonlyMap<number, number>;
  readonly target: Target;
}

/** R9: one wavelet a cycle and direction, and `routeResetCycles` for every flow written. */
function verifyTime(scheduled: readonly ScheduledOp[], { phases, busiest, target }: Timed): string[] {
  const found: string[] = [];
  for (const [op, wavelets] of busiest) {
    const entry = scheduled.find((s) => s.op === op);
    const own = phases.filter((phase) => phase.op === op);
    const loads = own.reduce((n, phase) => n + phase.loads.length, 0);
    const reset = loads * (target.routeResetCycles ?? DEFAULT_RESET_CYCLES);
    if (entry === undefined) found.push(`op ${op} has phases, but no cycles`);
    else {
      if ((entry.reset ?? 0) !== reset)
        found.push(`op ${op} writes ${loads} flows, which takes ${reset} cycles, found ${entry.reset ?? 0}`);
      if (entry.cycles < wavelets + reset)
        found.push(
          `op ${op} has ${entry.cycles} cycles for ${wavelets} wavelets over a link, after ${reset} for routes`,
        );
    }
  }
  return found;
}
