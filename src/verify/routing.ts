/**
 * Routes, recomputed from programs, regions and target alone, by the definitions of ARCHITECTURE.md, "Routing"; shares
 * no code with what plans them. R4, R5, R9 and R10 are in class-routes.ts, R6 in transports.ts, R8 in
 * class-routes.ts and meeting.ts, R11 in meeting.ts.
 *
 * R1: the runs of a flow are sets of cores inside its rectangle that share no core
 * R2: a route receives from one port and sends to others; colors and switch positions are those that the target has
 * R3: every template is in one class, those of a region in the same; a class has phases for each, and no other flows
 * R4: every collective between cores has its phases, in order, by an algorithm that does it; no other phase is there
 * R5: along every line of a phase each message reaches exactly its receivers, and no router of its flows is idle
 * R6: every value goes to all cores of every region that reads it, or to the host, whole, and nowhere else
 * R7: a core binds a queue that the target has where a route meets its ramp, and none elsewhere
 * R8: at any time a core has one route for a color and one color for a queue, those that are needed then
 * R9: the schedule gives every collective the cycles that its busiest link needs, and those of writing routes
 * R10: no cycle of links waits for itself
 * R11: routers of defects, and those that a region passes over, only pass on, one way a color, if they may at all
 */
import type { Diagnostic } from '../diag/diagnostic.ts';
import type { Flow } from '../ir/routing.ts';
import type { Target } from '../ir/target.ts';
import { verifyClass } from './class-routes.ts';
import { brokenRoute, type RoutedProgram } from './routed.ts';
import { FlowGrid, spanFault, spanSize } from './spans.ts';
import { verifyTransports } from './transports.ts';

/** Everything that is wrong with the routes; empty when they hold. */
export function verifyRouting(program: RoutedProgram): Diagnostic[] {
  const found = verifyRoutes(program);
  // What follows walks the routes, which must be routes for that.
  return found.length > 0 ? found : verifyTransports(program);
}

/** All rules but those of what enters, crosses and leaves the fabric. */
export function verifyRoutes(program: RoutedProgram): Diagnostic[] {
  const { target, mapping, routing } = program;
  const found = [
    ...verifyFlows(routing.flows, { width: target.width, height: target.height, target, what: 'transports' }),
    ...verifyClasses(program),
  ];
  // What follows walks the routes, which must be routes for that.
  if (found.length > 0) return found;
  for (const [k, routes] of routing.classes.entries()) {
    const { width, height } = mapping.programs[routes.templates[0]].shape;
    found.push(...verifyFlows(routes.flows, { width, height, target, what: `class ${k}` }));
  }
  if (found.length > 0) return found;
  return routing.classes.flatMap((routes, k) => verifyClass(program, k, routes));
}

interface Rectangle {
  readonly width: number;
  readonly height: number;
  readonly target: Target;
  readonly what: string;
}

/** R1, R2 and R7, of each flow by itself. */
function verifyFlows(flows: readonly Flow[], { width, height, target, what }: Rectangle): Diagnostic[] {
  const found: Diagnostic[] = [];
  for (const [f, { color, runs }] of flows.entries()) {
    const name = `flow ${f} of ${what}`;
    if (!target.colors.usable.includes(color))
      found.push(brokenRoute('R2', `${name} has color ${color}, which ${target.name} does not give a program`));
    for (const { columns, rows, routes, input, output } of runs) {
      for (const fault of [spanFault(columns, width), spanFault(rows, height)])
        if (fault !== undefined) found.push(brokenRoute('R1', `${name}: ${fault}`));
      const bad = routesFault(routes);
      if (bad !== undefined) found.push(brokenRoute('R2', `${name}: ${bad}`));
      if (routes.length > 1 && !target.colors.switchable.includes(color))
        found.push(brokenRoute('R2', `${name} switches, which color ${color} of ${target.name} cannot`));
      const queues = [
        ['input', input, target.queues.input, routes.some((r) => r.slice(2).includes('R'))],
        ['output', output, target.queues.output, routes.some((r) => r.startsWith('R'))],
      ] as const;
      for (const [kind, queue, count, needed] of queues) {
        const is = queue === null ? `no ${kind} queue` : `${kind} queue ${queue}`;
        if (needed !== (queue !== null))
          found.push(brokenRoute('R7', `${name}: ${is} for the routes ${routes.join(' then ')}`));
        else if (queue !== null && !(Number.isInteger(queue) && queue >= 0 && queue < count))
          found.push(brokenRoute('R7', `${name}: ${is}, of 0 .. ${count - 1}`));
      }
    }
  }
  if (found.length > 0) return found;
  for (const [f, { runs }] of flows.entries()) {
    const cores = runs.reduce((n, run) => n + spanSize(run.columns) * spanSize(run.rows), 0);
    if (cores > width * height)
      found.push(brokenRoute('R1', `flow ${f} of ${what} has runs of ${cores} cores, of ${width * height}`));
  }
  if (found.length > 0) return found;
  const grid = new FlowGrid(flows, width, height);
  for (const f of flows.keys()) {
    const core = grid.overlap(f);
    if (core !== undefined)
      found.push(brokenRoute('R1', `flow ${f} of ${what} has two runs at core (${core.column},${core.row})`));
  }
  return found;
}

/** Switch positions that a router of the fabric has: the base and three more (SDK builtins). */
const MOST_POSITIONS = 4;

function routesFault(routes: readonly string[]): string | undefined {
  if (routes.length === 0 || routes.length > MOST_POSITIONS) return `${routes.length} switch positions`;
  for (const route of routes) {
    if (!/^[NESWR]>N?E?S?W?R?$/.test(route) || route.length < 3) return `${route} is no route`;
    if (route.slice(2).includes(route[0])) return `${route} sends back where it receives from`;
  }
  return undefined;
}

function verifyClasses({ mapping, stages, routing }: RoutedProgram): Diagnostic[] {
  const found: Diagnostic[] = [];
  const classOf = new Map<number, number>();
  for (const [k, { templates, phases, flows }] of routing.classes.entries()) {
    if (templates.length === 0) found.push(brokenRoute('R3', `class ${k} has no template`));
    if (phases.length !== templates.length)
      found.push(
        brokenRoute('R3', `class ${k} has phases of ${phases.length} programs for ${templates.length} templates`),
      );
    for (const t of templates) {
      const program = mapping.programs[t];
      const first = mapping.programs[templates[0]];
      if (program === undefined || first === undefined)
        found.push(brokenRoute('R3', `class ${k}: there is no template ${t}`));
      else if (program.shape.width !== first.shape.width || program.shape.height !== first.shape.height)
        found.push(brokenRoute('R3', `class ${k} has templates of different shapes`));
      if (classOf.has(t)) found.push(brokenRoute('R3', `template ${t} is in classes ${classOf.get(t)} and ${k}`));
      classOf.set(t, k);
    }
    for (const phase of phases.flat())
      for (const f of [...phase.flows.filter((id) => id !== -1), ...phase.loads])
        if (flows[f] === undefined) found.push(brokenRoute('R3', `class ${k}: there is no flow ${f}`));
    const used = new Set(phases.flat().flatMap((phase) => phase.flows));
    const idle = [...flows.keys()].find((f) => !used.has(f));
    if (idle !== undefined) found.push(brokenRoute('R3', `class ${k}: flow ${idle} is in no phase`));
  }
  for (const t of mapping.programs.keys())
    if (!classOf.has(t)) found.push(brokenRoute('R3', `template ${stages.templates[t]?.name ?? t} is in no class`));
  for (const [g, group] of mapping.groups.entries()) {
    const classes = new Set(group.map((s) => classOf.get(stages.stages[s].template)));
    if (classes.size > 1) found.push(brokenRoute('R3', `the templates of region ${g} are in different classes`));
  }
  return found;
}
