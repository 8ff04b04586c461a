/** That a transport carries values whole: its senders hold all of them, and rows get what their cores read (R6). */
import type { ProgramTensor } from '../ir/program.ts';
import type { Transport } from '../ir/routing.ts';
import { bytesFor } from '../ir/types.ts';
import { type Box, boxOf, shared, volume } from './core-parts.ts';
import { type Core, localOf, type Owners } from './fabric-owners.ts';
import type { RoutedProgram } from './routed.ts';
import { mostElements } from './tile-sizes.ts';

export interface Carried {
  readonly program: RoutedProgram;
  readonly owners: Owners;
}

/** A value on the cores that send it. */
function tensorOf(value: string, region: number, which: 'inputs' | 'outputs', { program }: Carried): ProgramTensor[] {
  const { placement, stages, values, mapping } = program;
  return placement.regions[region].stages.flatMap((s) => {
    const at = values.stages[s][which].indexOf(value);
    if (at < 0) return [];
    const { tensors, inputs, outputs } = mapping.programs[stages.stages[s].template];
    const tensor = which === 'inputs' ? inputs[at]?.tensor : outputs[at];
    return tensor === undefined || tensor === null ? [] : [tensors[tensor]];
  });
}

/**
 * The senders hold every element of what they send, and the transport says how many wavelets that are over its busiest
 * link: the fullest part of each value, once for every sender that shares the link.
 */
export function verifyHeld(transport: Transport, context: Carried, from: number, senders: readonly Core[]): string[] {
  const { program, owners } = context;
  const { target, mapping, stages, placement } = program;
  const local = localOf(owners, from);
  const { shape } = mapping.programs[stages.stages[placement.regions[from].stages[0]].template];
  const found: string[] = [];
  let part = 0;
  for (const value of transport.values) {
    const [tensor] = tensorOf(value, from, 'outputs', context);
    if (tensor === undefined) {
      found.push(`region ${from} does not make ${value}`);
      continue;
    }
    if (tensor.layout.partial !== null || tensor.layout.cyclic) found.push(`${value} is not whole when it leaves`);
    const boxes = new Map<string, Box>();
    for (const core of senders) {
      const box = boxOf(tensor, shape, ...local(core));
      boxes.set(box.join(), box);
    }
    const held = [...boxes.values()].reduce((n, box) => n + volume(box), 0);
    const all = tensor.shape.reduce((n, extent) => n * extent, 1);
    if (held !== all) found.push(`its senders hold ${held} of ${all} elements of ${value}`);
    part += Math.ceil(wireBytes(tensor, mostElements(tensor, shape)) / target.waveletBytes);
  }
  const { algorithm } = transport;
  const sharing = { lanes: mostAlike(senders, 'y'), columns: mostAlike(senders, 'x'), tree: 1 };
  const wavelets = part * (algorithm === 'bus' || algorithm === 'relay-bus' ? senders.length : sharing[algorithm]);
  if (transport.wavelets !== wavelets)
    found.push(`${wavelets} wavelets cross its busiest link, stated ${transport.wavelets}`);
  return found;
}

/** Bytes on links: an element travels as 16 bits, or as 32. */
export const wireBytes = ({ dtype }: Pick<ProgramTensor, 'dtype'>, elements: number): number =>
  elements * (bytesFor(dtype, 1) === 4 ? 4 : 2);

/** Most cores in one row, or in one column. */
function mostAlike(cores: readonly Core[], key: 'x' | 'y'): number {
  const counts = new Map<number, number>();
  for (const core of cores) counts.set(core[key], (counts.get(core[key]) ?? 0) + 1);
  return [...counts.values()].reduce((a, b) => Math.max(a, b), 0);
}

/** What arrives in a row of a region (row `arrives` of the fabric for a sender) is all that the cores of the row read. */
export function verifyLanes(
  transport: Transport,
  context: Carried,
  from: number,
  senders: readonly Core[],
  arrives: (sender: Core) => number = ({ y }) => y,
): string[] {
  const { program, owners } = context;
  const { mapping, stages, placement } = program;
  const shapeOf = (region: number) =>
    mapping.programs[stages.stages[placement.regions[region].stages[0]].template].shape;
  const local = localOf(owners, from);
  for (const value of transport.values) {
    const [made] = tensorOf(value, from, 'outputs', context);
    if (made === undefined) continue;
    const byRow = new Map<number, Map<string, Box>>();
    for (const core of senders) {
      const box = boxOf(made, shapeOf(from), ...local(core));
      const row = byRow.get(arrives(core)) ?? new Map<string, Box>();
      byRow.set(arrives(core), row.set(box.join(), box));
    }
    for (const region of transport.to ?? [])
      for (const read of tensorOf(value, region, 'inputs', context))
        for (const [row, y] of owners.regions[region].rows.entries()) {
          const arriving = [...(byRow.get(y)?.values() ?? [])];
          let before = '';
          for (const column of owners.regions[region].columns.keys()) {
            const box = boxOf(read, shapeOf(region), column, row);
            if (box.join() === before) continue;
            before = box.join();
            const got = arriving.reduce((n, part) => n + shared(box, part), 0);
            if (got !== volume(box))
              return [
                `row ${y} gets ${got} of the ${volume(box)} elements of ${value} that column ${column} of region ${region} reads`,
              ];
          }
        }
  }
  return [];
}
