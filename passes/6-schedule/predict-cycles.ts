/**
 * predict-cycles: when every op of every template starts, and what a step takes.
 *
 * Before  facts `mapping`, `placement` and `routing`.
 * After   fact `schedule`: ops one after another (a region program has one thread of control), transports on their routes,
 *         host bytes, writes of routes; calibrated estimates and physical bounds side by side, never mixed.
 * Skips   overlap of compute and communication: none is assumed.
 */
import { joinedByStage } from '../../src/cost/joined.ts';
import { costProgram } from '../../src/cost/program.ts';
import { ROUTE_RESET_CYCLES } from '../../src/cost/constants.ts';
import { sendCost, transportCost } from '../../src/cost/transport.ts';
import type { Placement, Schedule, ScheduledOp } from '../../src/ir/facts.ts';
import type { RegionProgram, T } from '../../src/ir/program.ts';
import type { Routing, Transport } from '../../src/ir/routing.ts';
import type { Target } from '../../src/ir/target.ts';
import { bytesFor } from '../../src/ir/types.ts';
import { definePass } from '../../src/pass/pass.ts';

export default definePass({
  name: 'predict-cycles',
  summary: 'predict the cycles of every op and of a step',
  requires: ['stages', 'mapping', 'placement', 'routing'],
  provides: ['schedule'],
  preserves: ['stages', 'mapping', 'placement', 'memory', 'routing'],
  numerics: 'exact',
  options: {},
  run(program) {
    const { stages, mapping, placement, routing, target, graph } = program;
    const resets = resetsOf(routing, mapping.programs.length);
    const perTemplate = mapping.programs.map((p, t) => {
      let start = 0;
      return costProgram(p, target).map(({ op, cycles: own, bound, boundBy, algorithm }): ScheduledOp => {
        const at = start;
        const reset = (resets[t].get(op) ?? 0) * (target.routeResetCycles ?? ROUTE_RESET_CYCLES);
        const cycles = own + reset;
        start += cycles;
        return {
          op,
          start: at,
          cycles,
          bound,
          boundBy,
          ...(algorithm === undefined ? {} : { algorithm }),
          ...(reset === 0 ? {} : { reset }),
        };
      });
    });
    const sends = routing.transports.flatMap((t) => sendOf(t, placement, target));
    const joined = joinedByStage(stages.stages, mapping.groups, mapping.programs, target);
    const perStage = stages.stages.map((s, i) => perTemplate[s.template].reduce((n, o) => n + o.cycles, 0) - joined[i]);
    const cycles = [...perStage, ...sends.map((s) => s.cycles)].reduce((a, b) => a + b, 0);
    const bound = [...stages.stages.flatMap((s) => perTemplate[s.template]), ...sends].reduce((n, o) => n + o.bound, 0);
    const cyclesIn = waitForHost(routing, placement, { perStage, sends }, target);
    const cyclesOut = routing.transports.reduce((n, t) => (t.kind === 'output' ? n + transportCost(t, target) : n), 0);
    const made = new Set(stages.stages.flatMap((s) => s.outputs));
    const hostInputs = new Map(
      stages.stages.flatMap((s) =>
        s.inputs.map((v, i): [number, number] => [
          v,
          made.has(v)
            ? 0
            : bytesOf(mapping.programs[s.template], mapping.programs[s.template].inputs[i]?.tensor ?? null),
        ]),
      ),
    );
    const outputs = new Set(graph.outputs);
    const hostOps = new Set(stages.host.flatMap((at) => graph.ops[at].inputs));
    const bytesOut = stages.stages.reduce(
      (n, s) =>
        n +
        s.outputs.reduce(
          (m, v, i) =>
            m +
            (outputs.has(v) || hostOps.has(v)
              ? bytesOf(mapping.programs[s.template], mapping.programs[s.template].outputs[i])
              : 0),
          0,
        ),
      0,
    );
    const schedule: Schedule = {
      perTemplate,
      joined,
      sends,
      host: {
        bytesIn: [...hostInputs.values()].reduce((a, b) => a + b, 0),
        bytesOut,
        cyclesIn,
        cyclesOut,
      },
      cyclesPerStep: { calibrated: cycles + cyclesIn + cyclesOut, bound },
    };
    return { ...program, schedule };
  },
});

/** Bytes of a whole step tensor. */
function bytesOf({ tensors }: RegionProgram, t: T | null): number {
  if (t === null) return 0;
  const { dtype, shape } = tensors[t];
  return bytesFor(
    dtype,
    shape.reduce((a, b) => a * b, 1),
  );
}

/** By template: routes that are written before each op. */
function resetsOf({ classes }: Routing, templates: number): Map<number, number>[] {
  const resets = Array.from({ length: templates }, () => new Map<number, number>());
  for (const { templates: own, phases } of classes)
    for (const [i, list] of phases.entries())
      for (const { op, loads } of list) resets[own[i]].set(op, (resets[own[i]].get(op) ?? 0) + loads.length);
  return resets;
}

/**
 * Cycles that regions wait for values of the host, one after another: trees are fed one after another, too, and travel
 * while earlier regions work.
 */
function waitForHost(
  { transports }: Routing,
  { regions }: Placement,
  { perStage, sends }: { readonly perStage: readonly number[]; readonly sends: Schedule['sends'] },
  target: Target,
): number {
  const arrival = new Map<number, number>();
  let fed = 0;
  for (const t of transports) {
    if (t.kind !== 'input') continue;
    for (const r of t.to ?? []) arrival.set(r, Math.max(arrival.get(r) ?? 0, fed + transportCost(t, target)));
    fed += t.wavelets;
  }
  let [now, waited] = [0, 0];
  for (const [r, { stages }] of regions.entries()) {
    const wait = Math.max(0, (arrival.get(r) ?? 0) - now);
    waited += wait;
    now += wait + stages.reduce((n, s) => n + perStage[s], 0);
    for (const send of sends) if (send.from === r) now += send.cycles;
  }
  return waited;
}

/** Sends go one after another; nothing could beat the shortest way between the regions. */
function sendOf(transport: Transport, { regions }: Placement, target: Target): Schedule['sends'][number][] {
  const { kind, from, to, algorithm, wavelets } = transport;
  if (kind !== 'send' || from === null || to === null) return [];
  const cycles = transportCost(transport, target);
  return to.map((r) => {
    const ends = { from: regions[from], to: regions[r] };
    const lanes = algorithm === 'lanes' ? regions[from].height : 1;
    const { bound } = sendCost({ ...ends, bytes: wavelets * lanes * target.waveletBytes }, target);
    return { from, to: r, cycles, bound: Math.min(cycles, bound) };
  });
}
