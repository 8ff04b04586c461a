/** Norms over the last axis on the SIMD kernel: in f64 and rounded once, as in src/ops, but for the order of the sums. */
import { normalAxis } from '../../ops/support/axes.ts';
import { sizeOf } from '../../tensor/tensor.ts';
import { isFloatSlot, rounding } from './narrow.ts';
import { rowAt } from './resident.ts';
import { isDense, type Slot } from './slot.ts';
import type { Planner, Step, Workshop } from './step.ts';

/** Whether the mean is taken off first. */
const CENTRED: Readonly<Record<string, boolean>> = {
  LayerNormalization: true,
  RMSNormalization: false,
  SimplifiedLayerNormalization: false,
  'wafc.layernorm': true,
  'wafc.rmsnorm': false,
};

/** What every row is multiplied by or added to: its address, 0 where it is absent; undefined where it is no such row. */
function rowOf(slot: Slot | null | undefined, length: number, shop: Workshop): number | undefined {
  if (slot == null) return 0;
  return isFloatSlot(slot) && sizeOf(slot.view.shape) === length && isDense(slot) ? rowAt(slot, shop) : undefined;
}

/** Elements that a norm is taken over; undefined where that is more than the last axis. */
function lengthOf({ op, attrs }: Step, shape: readonly number[]): number | undefined {
  const width = shape[shape.length - 1];
  if (op.kind.startsWith('wafc.')) return width / attrs.int('groups', 1);
  return normalAxis(attrs.int('axis', -1), shape.length) === shape.length - 1 ? width : undefined;
}

export const planNorm: Planner = (step, shop) => {
  const [x, gain, bias] = step.inputs;
  const [out, ...rest] = step.outputs;
  const { memory } = shop;
  if (memory === undefined || out === null || rest.some((slot) => slot !== null)) return undefined;
  if (!isFloatSlot(x) || !isFloatSlot(out) || x.base < 0 || !isDense(x) || x.view.shape.length === 0) return undefined;
  const { shape, offset } = x.view;
  const length = lengthOf(step, shape);
  if (length === undefined || length < 1) return undefined;
  const [gainAt, biasAt] = [rowOf(gain, length, shop), rowOf(bias, length, shop)];
  if (gainAt === undefined || biasAt === undefined) return undefined;
  const count = sizeOf(shape);
  shop.output(out, shape);
  if (out.base < 0) return undefined;
  const { norm } = memory.rows;
  const [to, from, rows] = [out.base, x.base + 4 * offset, count / length];
  const [epsilon, centred] = [step.attrs.float('epsilon', 1e-5), CENTRED[step.op.kind] ? 1 : 0];
  return rounding(out, count, shop, () => norm(to, from, rows, length, gainAt, biasAt, epsilon, centred));
};

export const NORMS: ReadonlyMap<string, Planner> = new Map(Object.keys(CENTRED).map((kind) => [kind, planNorm]));
