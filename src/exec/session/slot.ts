/** What a session knows of a value while it runs: type, where its elements are, and who must hear when that changes. */
import { type Constant, rowMajor } from '../../ir/constant.ts';
import type { DType } from '../../ir/types.ts';
import type { View } from '../../ops/support/move.ts';
import { copyView } from '../../ops/support/move.ts';
import { allocate, sizeOf, type Tensor, type TensorData, tensor } from '../../tensor/tensor.ts';
import type { Step } from './step.ts';
import type { Storage } from './storage.ts';

export interface Slot {
  readonly name: string;
  /** Element (i, j, ..) is `data[offset + i*strides[0] + ..]`. */
  view: View;
  dtype: DType;
  data: TensorData;
  /** Byte address of data[0] in kernel memory; -1 where it is elsewhere. */
  base: number;
  /** The same in every call with these shapes: depends on constants and extents alone. */
  known: boolean;
  /** Elements of a string tensor; `data` is empty then. */
  strings: readonly string[] | null;
  /** A constant of the graph: read when its elements are first needed, which `load` sees to. */
  constant: Constant | null;
  /** Where a step puts what it computes into this slot. */
  storage: Storage | null;
  readonly consumers: Step[];
  /** Slots, placed before it, that must have its shape: only one of them was asked for it (merge.ts). */
  readonly twins: Slot[];
}

/** Two values of one symbolic type have different shapes after all. */
export class TwinFault extends Error {}

export const emptySlot = (name: string, dtype: DType): Slot => ({
  name,
  view: { shape: [], strides: [], offset: 0 },
  dtype,
  data: allocate(dtype, 0),
  base: -1,
  known: false,
  strings: null,
  constant: null,
  storage: null,
  twins: [],
  consumers: [],
});

const sameNumbers = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((n, i) => n === b[i]);

/** Small known values are compared by content, so that an unchanged shape does not wake who reads it. */
const COMPARED = 64;

function sameData(slot: Slot, data: TensorData): boolean {
  if (slot.data === data) return true;
  if (!slot.known || data.length > COMPARED || data.length !== slot.data.length) return false;
  for (let i = 0; i < data.length; i++) if (!Object.is(slot.data[i], data[i])) return false;
  return true;
}

/** What may change of a slot. */
export type Placement = Pick<Slot, 'dtype' | 'view' | 'data' | 'base' | 'known'>;

/** Moves a slot; steps that read it are planned anew where anything differs. */
export function place(slot: Slot, to: Placement): void {
  const { view } = slot;
  for (const twin of slot.twins) if (!sameNumbers(to.view.shape, twin.view.shape)) throw new TwinFault(slot.name);
  if (
    slot.known === to.known &&
    slot.dtype === to.dtype &&
    view.offset === to.view.offset &&
    sameNumbers(view.shape, to.view.shape) &&
    sameNumbers(view.strides, to.view.strides) &&
    slot.base === to.base &&
    sameData(slot, to.data)
  )
    return;
  slot.view = to.view;
  slot.dtype = to.dtype;
  slot.data = to.data;
  slot.base = to.base;
  slot.known = to.known;
  for (const step of slot.consumers) step.dirty = true;
}

/** Whether the elements lie row-major without gaps. */
export function isDense({ view: { shape, strides } }: Slot): boolean {
  let step = 1;
  for (let d = shape.length - 1; d >= 0; d--) {
    if (shape[d] !== 1 && strides[d] !== step) return false;
    step *= shape[d];
  }
  return true;
}

export const denseAt = (shape: readonly number[], offset = 0): View => ({ shape, strides: rowMajor(shape), offset });

/** The slot's elements as a dense tensor; shares them where they are dense. */
export function tensorOf(slot: Slot): Tensor {
  const { view, data, dtype, strings } = slot;
  if (strings !== null) return { dtype, shape: view.shape, data, strings };
  const count = sizeOf(view.shape);
  if (!isDense(slot)) {
    const out = allocate(dtype, count);
    copyView(data, view, out);
    return tensor(dtype, view.shape, out);
  }
  const whole = view.offset === 0 && data.length === count;
  return tensor(dtype, view.shape, whole ? data : data.subarray(view.offset, view.offset + count));
}
