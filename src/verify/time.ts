/**
 * The schedule against what it schedules: no cost model, only that ops follow each other, that nothing beats its own
 * bound or the links it uses, and that sums are sums. That collectives have the cycles their links need is R9.
 *
 * T1: the ops of a template run in order, one when the other ends, from cycle 0 on
 * T2: nothing takes less than its bound, or than its routes take; beside that every send takes the same
 * T3: the cycles of a step are those of the ops of all stages, less what they save where they join, of sends and the host
 * T4: sends are those of the routes, in order; collectives are by the algorithms of their phases
 * T5: the host's bytes are those of the values that it gives and takes
 */
import type { Diagnostic } from '../diag/diagnostic.ts';
import type { Schedule } from '../ir/facts.ts';
import { isCollective, type RegionProgram } from '../ir/program.ts';
import type { Transport } from '../ir/routing.ts';
import type { Target } from '../ir/target.ts';
import { bytesFor } from '../ir/types.ts';
import { brokenRoute as broken, type RoutedProgram } from './routed.ts';

/** Everything that is wrong with the schedule; empty when it holds, and when there is none. */
export function verifyTime(program: RoutedProgram): Diagnostic[] {
  const { schedule } = program;
  if (schedule === undefined) return [];
  return [
    ...verifyOps(program, schedule),
    ...verifySends(program, schedule),
    ...verifyHost(program, schedule),
    ...verifySums(program, schedule),
  ];
}

/** T1, T2 and T4 of ops. */
function verifyOps({ mapping, routing, stages }: RoutedProgram, { perTemplate }: Schedule): Diagnostic[] {
  const found: Diagnostic[] = [];
  for (const [t, list] of perTemplate.entries()) {
    const where = `template ${stages.templates[t]?.name ?? t}`;
    const own = routing.classes.find(({ templates }) => templates.includes(t));
    const phases = own?.phases[own.templates.indexOf(t)] ?? [];
    let end = 0;
    for (const [i, { op, start, cycles, bound, algorithm }] of list.entries()) {
      if (op !== i) found.push(broken('T1', `entry ${i} is op ${op}`, where));
      if (start !== end) found.push(broken('T1', `op ${op} starts at ${start}, the one before ends at ${end}`, where));
      end = start + cycles;
      if (bound < 0 || cycles < bound)
        found.push(broken('T2', `op ${op} has ${cycles} cycles and a bound of ${bound}`, where));
      const by = phases.filter((phase) => phase.op === op).map((phase) => phase.algorithm);
      const what = mapping.programs[t].ops[op];
      const expected = isCollective(what) ? by.join('+') || 'none' : undefined;
      if (algorithm !== expected)
        found.push(broken('T4', `op ${op} is by ${algorithm ?? 'none'}, its phases by ${expected ?? 'none'}`, where));
    }
  }
  return found;
}

/** Cycles that no transport can do without: its wavelets one after the other, its links, its ramps. */
const leastOf = ({ wavelets, hops, depth }: Transport, { hopCycles, rampCycles }: Target): number =>
  wavelets + hops * hopCycles + depth * (2 * rampCycles + 1);

/** T2 and T4 of sends. */
function verifySends({ routing, target }: RoutedProgram, { sends }: Schedule): Diagnostic[] {
  const carried = routing.transports.flatMap((t) =>
    t.kind === 'send' ? (t.to ?? []).map((to) => ({ from: t.from, to, least: leastOf(t, target) })) : [],
  );
  if (carried.length !== sends.length)
    return [broken('T4', `${sends.length} sends, the routes have ${carried.length}`)];
  const [software] = sends.map(({ cycles }, i) => cycles - carried[i].least);
  return sends.flatMap(({ from, to, cycles, bound }, i): Diagnostic[] => {
    const name = `send ${i} from region ${from} to ${to}`;
    const { from: sender, to: reader, least } = carried[i];
    if (from !== sender || to !== reader)
      return [broken('T4', `${name} is one from region ${sender} to ${reader} on its routes`)];
    if (bound < 0 || cycles < Math.max(bound, least))
      return [
        broken('T2', `${name} has ${cycles} cycles, a bound of ${bound}, and takes at least ${least} on its routes`),
      ];
    return cycles - least === software
      ? []
      : [broken('T2', `${name} has ${cycles - least} cycles beside its routes, others have ${software}`)];
  });
}

/** T2 and T5. */
function verifyHost({ routing, values, stages, mapping, target }: RoutedProgram, { host }: Schedule): Diagnostic[] {
  const made = new Set(values.stages.flatMap((s) => s.outputs));
  const given = new Map<string, number>();
  let taken = 0;
  for (const [s, { inputs, outputs }] of values.stages.entries()) {
    const program = mapping.programs[stages.stages[s].template];
    for (const [i, value] of inputs.entries())
      if (value !== null && !made.has(value)) given.set(value, bytesOf(program, program.inputs[i]?.tensor));
    for (const [i, value] of outputs.entries())
      if (value !== null && values.results.has(value)) taken += bytesOf(program, program.outputs[i]);
  }
  const gives = [...given.values()].reduce((a, b) => a + b, 0);
  const found: Diagnostic[] = [];
  if (host.bytesIn !== gives) found.push(broken('T5', `the host gives ${gives} bytes a step, stated ${host.bytesIn}`));
  if (host.bytesOut !== taken)
    found.push(broken('T5', `the host takes ${taken} bytes a step, stated ${host.bytesOut}`));
  const least = routing.transports.reduce((n, t) => (t.kind === 'output' ? n + leastOf(t, target) : n), 0);
  if (host.cyclesIn < 0 || host.cyclesOut < least)
    found.push(broken('T2', `results take at least ${least} cycles on their routes, stated ${host.cyclesOut}`));
  return found;
}

/** Bytes of a whole tensor of a step. */
function bytesOf({ tensors }: RegionProgram, t: number | null | undefined): number {
  if (t === null || t === undefined) return 0;
  const { dtype, shape } = tensors[t];
  return bytesFor(
    dtype,
    shape.reduce((a, b) => a * b, 1),
  );
}

/** T3. */
function verifySums(
  { stages, placement }: RoutedProgram,
  { perTemplate, joined, sends, host, cyclesPerStep }: Schedule,
): Diagnostic[] {
  const sum = (key: 'cycles' | 'bound'): number => {
    const each = perTemplate.map((list) => list.reduce((n, entry) => n + entry[key], 0));
    return (
      stages.stages.reduce((n, { template }) => n + each[template], 0) + sends.reduce((n, send) => n + send[key], 0)
    );
  };
  const saved = joined.reduce((n, cycles) => n + cycles, 0);
  const calibrated = sum('cycles') - saved + host.cyclesIn + host.cyclesOut;
  const found: Diagnostic[] = [];
  const first = new Set(placement.regions.map((region) => region.stages[0]));
  for (const [s, { name, template }] of stages.stages.entries()) {
    const own = perTemplate[template].reduce((n, entry) => n + entry.cycles, 0);
    const most = first.has(s) ? 0 : own;
    if (joined.length !== stages.stages.length || !(joined[s] >= 0 && joined[s] <= most))
      found.push(broken('T3', `stage ${name} saves ${joined[s]} cycles where the one before ends, of ${most}`));
  }
  if (cyclesPerStep.calibrated !== calibrated)
    found.push(broken('T3', `a step takes ${calibrated} cycles, stated ${cyclesPerStep.calibrated}`));
  if (cyclesPerStep.bound !== sum('bound'))
    found.push(broken('T3', `the bound of a step is ${sum('bound')} cycles, stated ${cyclesPerStep.bound}`));
  return found;
}
