/**
 * How stages and the host hang together, by the names of values; shares no code with what cuts the graph.
 *
 * S1: what a stage or the host reads is given by the caller or made before, by the host or by an earlier stage; each once
 * S2: every value is made once, and every output of the model is made
 * S3: a stage reads values of the type and shape in which an earlier one makes them
 * S4: a cache takes in the past of the layer, and of the keys or values, whose present it gives
 */
import type { Diagnostic } from '../diag/diagnostic.ts';
import type { IoRole } from '../ir/facts.ts';
import { parseGraph } from '../ir/parse.ts';
import type { ProgramTensor } from '../ir/program.ts';
import type { Plan } from '../plan/types.ts';

/** Everything that is wrong with what stages read and make; empty when it holds. */
export function verifyLinks({ inputs, outputs, host, stages, templates }: Plan): Diagnostic[] {
  const found: Diagnostic[] = [];
  const [before, after] = [parseGraph(host.before), parseGraph(host.after)];
  const names = (graph: typeof before, ids: typeof before.inputs): string[] => ids.map((v) => graph.names[v]);
  const there = new Set(inputs.map(({ name }) => name));
  const read = (name: string, who: string): void => {
    if (!there.has(name)) found.push(broken('S1', `${who} reads ${name}, which nothing has made by then`));
  };
  const make = (name: string, who: string): void => {
    if (there.has(name)) found.push(broken('S2', `${who} makes ${name}, which is there already`));
    there.add(name);
  };
  for (const name of names(before, before.inputs)) read(name, 'the host');
  // What the host hands on as it is, it does not make.
  const given = new Set(names(before, before.inputs));
  for (const name of names(before, before.outputs)) if (!given.has(name)) make(name, 'the host');
  const made = new Map<string, ProgramTensor>();
  const roles = new Map([...inputs, ...outputs].map(({ name, role }) => [name, role]));
  for (const stage of stages) {
    const who = `stage ${stage.name}`;
    const { program } = templates[stage.template];
    if (new Set(stage.inputs).size < stage.inputs.length) found.push(broken('S1', `${who} reads a value twice`));
    for (const [i, name] of stage.inputs.entries()) {
      read(name, who);
      const [is, wants] = [made.get(name), program.tensors[program.inputs[i]?.tensor ?? -1]];
      if (is !== undefined && wants !== undefined && typed(is) !== typed(wants))
        found.push(broken('S3', `${who} reads ${name} as ${typed(wants)}, which is made as ${typed(is)}`));
    }
    for (const [i, name] of stage.outputs.entries()) {
      make(name, who);
      const tensor = program.tensors[program.outputs[i] ?? -1];
      if (tensor !== undefined) made.set(name, tensor);
    }
    for (const { past, present } of program.caches) {
      const [from, to] = [stage.inputs[past], stage.outputs[present]];
      if (from === undefined || to === undefined) continue;
      if (cacheOf(roles.get(from)) !== cacheOf(roles.get(to)))
        found.push(broken('S4', `${who} takes ${from} as the past of ${to}`));
    }
  }
  for (const name of names(after, after.inputs)) read(name, 'the host');
  const taken = new Set(names(after, after.inputs));
  for (const name of names(after, after.outputs)) if (!taken.has(name)) make(name, 'the host');
  for (const { name } of outputs)
    if (!there.has(name)) found.push(broken('S2', `nothing makes ${name}, which the model gives`));
  return found;
}

const typed = ({ dtype, shape }: ProgramTensor): string => `${dtype}[${shape}]`;

/** Number of the cache that an input or output is an end of. */
const cacheOf = (role: IoRole | undefined): number | undefined =>
  role?.kind === 'past' || role?.kind === 'present' ? role.cache : undefined;

const broken = (rule: string, message: string): Diagnostic => ({ code: `verify/${rule}`, severity: 'error', message });
