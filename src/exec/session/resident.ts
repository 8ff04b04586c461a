/** Operands where kernels can read them. */
import type { View } from '../../ops/support/move.ts';
import { sizeOf } from '../../tensor/tensor.ts';
import { copier } from './rows.ts';
import { denseAt, type Slot } from './slot.ts';
import type { Step, Workshop } from './step.ts';

/** An operand in kernel memory: where it is, and what brings it there in every call. */
export interface Resident {
  readonly base: number;
  readonly view: View;
  readonly refresh: (() => void) | null;
}

/** `slot` where kernels can read it: as it lies if `fits`, else copied into a place of this step's own. */
export function resident(
  slot: Slot,
  fits: (view: View) => boolean,
  shop: Workshop,
  step: Step,
  name: string,
): Resident | undefined {
  shop.load(slot);
  const { view, base, data } = slot;
  if (base >= 0 && fits(view)) return { base, view, refresh: null };
  const block = shop.scratch(step, name, 4 * sizeOf(view.shape));
  if (block === undefined) return undefined;
  const own = denseAt(view.shape);
  const copy = copier(data, view, block.data, own);
  if (slot.known) copy();
  return { base: block.at, view: own, refresh: slot.known ? null : copy };
}

/** Address of the elements of a dense vector; undefined where they are not in kernel memory and change from call to call. */
export function rowAt(slot: Slot, shop: Workshop): number | undefined {
  shop.load(slot);
  const base = slot.base >= 0 ? slot.base : slot.known ? shop.weights?.vector(slot) : undefined;
  return base === undefined ? undefined : base + 4 * slot.view.offset;
}
