/** Activations on their way from region to region: what a step pays beside the programs of its stages. */
import type { Stages } from '../ir/facts.ts';
import type { RegionProgram, T } from '../ir/program.ts';
import type { Target } from '../ir/target.ts';
import { bytesFor } from '../ir/types.ts';
import type { Rect } from '../target/cores.ts';
import type { Overhead } from './constants.ts';
import { type SendCost, sendCost } from './transport.ts';

/** Stages in groups of consecutive ones, and where each group's region is. */
export interface Placed {
  readonly stages: Stages;
  /** By template. */
  readonly programs: readonly RegionProgram[];
  readonly groups: readonly (readonly number[])[];
  readonly regions: readonly Rect[];
}

/** The send from each region to the next one, in order. */
export function sendsOf(
  { stages: { stages }, programs, groups, regions }: Placed,
  target: Target,
  overhead?: Overhead,
): SendCost[] {
  // What a later stage reads goes through every region in between.
  const lastReader = new Map<number, number>();
  for (const [s, { inputs }] of stages.entries()) for (const v of inputs) lastReader.set(v, s);
  return groups.slice(1).map((next, i) => {
    const last = stages[groups[i][groups[i].length - 1]];
    const producer = programs[last.template];
    const passed = last.outputs.map((v, k) =>
      (lastReader.get(v) ?? -1) >= next[0] ? stepBytes(producer, producer.outputs[k]) : 0,
    );
    const bytes = passed.reduce((a, b) => a + b, 0) + rowBytes(programs[stages[next[0]].template]);
    return sendCost({ from: regions[i], to: regions[i + 1], bytes }, target, overhead);
  });
}

/** Bytes of a whole step tensor. */
export function stepBytes({ tensors }: RegionProgram, t: T | null): number {
  if (t === null) return 0;
  const { dtype, shape } = tensors[t];
  return bytesFor(
    dtype,
    shape.reduce((a, b) => a * b, 1),
  );
}

/** Host values that travel on with the activation: rows, indices and mask entries of the next stage. */
const rowBytes = (program: RegionProgram): number =>
  program.inputs.reduce(
    (n, input) => n + (input === null || input.kind === 'activation' ? 0 : stepBytes(program, input.tensor)),
    0,
  );
