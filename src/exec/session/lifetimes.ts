/**
 * Which slots share storage: those of one symbolic type whose lives do not overlap. A life lasts from the step that computes a
 * value to the last step that reads it, itself or a view of it.
 */
import { printDim } from '../../ir/dim.ts';
import type { Graph } from '../../ir/graph.ts';
import type { TensorType } from '../../ir/types.ts';
import { opFor } from '../../ops/registry.ts';
import type { Slot } from './slot.ts';
import type { Step } from './step.ts';
import { emptyStorage, type Storage } from './storage.ts';

/** Kinds whose outputs may lie where an input lies. */
const mayShare = ({ op }: Step): boolean =>
  opFor(op.kind)?.view !== undefined || ['Cast', 'Gather', 'Add', 'Concat'].includes(op.kind);

/** Values of one key have one number of elements, whatever the lengths are. */
const keyOf = ({ dtype, shape }: TensorType): string =>
  `${dtype} ${shape
    .map(printDim)
    .filter((d) => d !== '1')
    .sort()
    .join(' ')}`;

/** Gives every slot that a step or a feed fills its storage; `kept` are read after the last step. */
export function assignStorage(
  graph: Graph,
  slots: readonly Slot[],
  steps: readonly Step[],
  kept: ReadonlySet<Slot>,
  types: ReadonlyMap<Slot, TensorType>,
): void {
  const ends = endsOf(steps, kept);
  const free = new Map<string, Storage[]>();
  const dying = new Map<number, Slot[]>();
  const give = (slot: Slot, producer: Step | null, at: number): void => {
    const type = types.get(slot);
    if (type === undefined) throw new Error(`${slot.name} has no type`);
    slot.storage = free.get(keyOf(type))?.pop() ?? emptyStorage(type.dtype);
    slot.storage.users.push({ slot, producer });
    const end = Math.max(at, ends.get(slot) ?? at);
    dying.set(end, [...(dying.get(end) ?? []), slot]);
  };
  for (const value of graph.inputs) give(slots[value], null, -1);
  const release = (at: number): void => {
    for (const slot of dying.get(at) ?? []) {
      const type = types.get(slot);
      if (type === undefined || slot.storage === null) continue;
      const key = keyOf(type);
      const list = free.get(key);
      if (list) list.push(slot.storage);
      else free.set(key, [slot.storage]);
    }
  };
  release(-1);
  for (const [i, step] of steps.entries()) {
    for (const out of step.outputs) if (out !== null) give(out, step, i);
    release(i);
  }
}

/** Index of the last step that reads a slot or a view of it. */
function endsOf(steps: readonly Step[], kept: ReadonlySet<Slot>): ReadonlyMap<Slot, number> {
  const ends = new Map<Slot, number>([...kept].map((slot) => [slot, Number.POSITIVE_INFINITY]));
  for (const [i, step] of [...steps.entries()].reverse()) {
    const outputs = mayShare(step) ? step.outputs : [];
    const end = Math.max(i, ...outputs.map((out) => (out === null ? i : (ends.get(out) ?? i))));
    for (const slot of [...step.inputs, ...step.captured.values()])
      if (slot !== null) ends.set(slot, Math.max(end, ends.get(slot) ?? end));
  }
  return ends;
}
