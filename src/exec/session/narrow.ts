/** Floats narrower than f32 are held as f32 and computed as f32: what is left is to round what a step has computed. */
import { stored } from '../../ops/support/elementwise.ts';
import type { Slot } from './slot.ts';
import type { Workshop } from './step.ts';

/** Types whose elements are held as f32, and that kernels compute as f32. */
const FLOATS = new Set(['f32', 'f16', 'bf16']);

export const isFloatSlot = (slot: Slot | null | undefined): slot is Slot => slot != null && FLOATS.has(slot.dtype);

/** Their numbers in rows.wat. */
const KIND: Readonly<Record<string, number>> = { f16: 0, bf16: 1 };

/** `compute`, with the first `count` elements of `out` then rounded to what its type can hold. */
export function rounding(out: Slot, count: number, shop: Workshop, compute: () => void): () => void {
  if (out.dtype === 'f32') return compute;
  if (shop.memory !== undefined && out.base >= 0) {
    const { narrow } = shop.memory.rows;
    const [kind, at] = [KIND[out.dtype], out.base];
    return () => {
      compute();
      narrow(kind, at, count);
    };
  }
  const data = out.data.subarray(0, count);
  return () => {
    compute();
    stored(out.dtype, data);
  };
}
