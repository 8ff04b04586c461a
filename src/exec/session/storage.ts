/**
 * Where activations live. Slots whose lives do not overlap share a storage; it grows to the largest of them, and stays from
 * call to call. Floats of at most 32 bits are kept in kernel memory while there is room, so that products read and write it in place.
 */
import type { DType } from '../../ir/types.ts';
import type { Block, KernelMemory } from '../../kernels/memory.ts';
import { allocate, type TensorData } from '../../tensor/tensor.ts';
import type { Slot } from './slot.ts';
import type { Step } from './step.ts';

export interface Storage {
  readonly dtype: DType;
  /** Slots that share it, and the steps that fill them. */
  readonly users: { readonly slot: Slot; readonly producer: Step | null }[];
  block: Block | null;
  whole: TensorData;
}

export const emptyStorage = (dtype: DType): Storage => ({ dtype, users: [], block: null, whole: allocate(dtype, 0) });

/** The first `count` elements; when the storage grows, everybody else who uses it is planned anew. */
export function reserve(
  storage: Storage,
  count: number,
  memory: KernelMemory | undefined,
): { data: TensorData; base: number } {
  if (count > storage.whole.length) {
    const { whole } = storage;
    // A length that grows token by token must not mean a new array for each.
    const room = whole.length === 0 ? count : Math.max(count, Math.ceil(whole.length * 1.5));
    if (storage.block !== null) memory?.give(storage.block);
    storage.block = null;
    const block = memory !== undefined && whole instanceof Float32Array ? memory.take(room * 4) : undefined;
    if (memory !== undefined && block !== undefined) {
      storage.block = block;
      storage.whole = memory.f32(block.at, room);
    } else storage.whole = allocate(storage.dtype, room);
    for (const { producer } of storage.users) if (producer !== null) producer.dirty = true;
  }
  return { data: storage.whole, base: storage.block?.at ?? -1 };
}
