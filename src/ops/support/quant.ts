/** Scales and zero points: how they lie over a tensor, and how values become quantized elements. */
import type { DType } from '../../ir/types.ts';
import { type Tensor, tensor } from '../../tensor/tensor.ts';
import { splitAt } from './axes.ts';
import { eachRow, planRows } from './broadcast.ts';
import { limitsOf } from './limits.ts';
import { roundEven } from './special.ts';

/** Which scale belongs to which element: one for all, one per index of `axis`, or one per block along `axis`. */
export interface ScaleLayout {
  readonly axis: number;
  /** Elements of `axis` that share a scale; 0 where the layout is not blocked. */
  readonly block: number;
}

/**
 * Calls `visit` for runs of `n` elements from `base` whose scales begin at `scale` and advance by `step` (0 or 1)
 * per element, in order.
 */
export function eachScaleRun(
  shape: readonly number[],
  scales: readonly number[],
  { axis, block }: ScaleLayout,
  visit: (base: number, n: number, scale: number, step: number) => void,
): void {
  const count = shape.reduce((a, b) => a * b, 1);
  if (count === 0) return;
  if (block === 0 && scales.every((n) => n === 1)) {
    visit(0, count, 0, 0);
    return;
  }
  const { outer, extent, inner } = splitAt(shape, axis);
  const blocks = block === 0 ? 0 : scales[axis];
  for (let o = 0; o < outer; o++) {
    for (let k = 0; k < extent; k++) {
      const base = (o * extent + k) * inner;
      if (block === 0) visit(base, inner, k, 0);
      else visit(base, inner, (o * blocks + Math.floor(k / block)) * inner, 1);
    }
  }
}

/** What a real number in units of the scale becomes: rounded to even, moved by the zero point, clamped to the type. */
export function requantize(dtype: DType, zeroPoint: number): (v: number) => number {
  const [low, high] = limitsOf(dtype);
  return (v) => Math.min(high, Math.max(low, roundEven(v) + zeroPoint));
}

/**
 * An 8-bit tensor with its zero point taken off, as 16-bit integers. A zero point is one number, one per index
 * of `axis`, or of a shape that broadcasts.
 */
export function shifted(x: Tensor, zeroPoint: Tensor | undefined, axis: number): Tensor {
  const out = new Int16Array(x.data.length);
  out.set(x.data);
  if (zeroPoint === undefined || zeroPoint.data.every((z) => z === 0)) return tensor('i16', x.shape, out);
  const one = zeroPoint.data.length === 1;
  const shape = one ? [] : zeroPoint.shape.length > 1 ? zeroPoint.shape : x.shape.map((n, d) => (d === axis ? n : 1));
  const plan = planRows(x.shape, [shape]);
  const [step] = plan.steps;
  eachRow(plan, (o, [at]) => {
    for (let i = 0; i < plan.length; i++) out[o + i] -= zeroPoint.data[at + i * step];
  });
  return tensor('i16', x.shape, out);
}
