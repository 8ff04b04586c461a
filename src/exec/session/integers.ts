/** MatMulInteger on the kernel for pairs of 16-bit numbers: exact, as the plain product is. */
import { packedBytes, packPairs } from '../../kernels/pack.ts';
import { sizeOf } from '../../tensor/tensor.ts';
import { isDense, type Slot } from './slot.ts';
import type { Planner, Step, Workshop } from './step.ts';

/** One zero point for all, or one a column; undefined where it is neither, or not known. */
function zeroOf(slot: Slot | null | undefined, columns: number, shop: Workshop): ((j: number) => number) | undefined {
  if (slot == null) return () => 0;
  if (!slot.known || !isDense(slot)) return undefined;
  shop.load(slot);
  const { data, view } = slot;
  const count = sizeOf(view.shape);
  if (count === 1) return () => data[view.offset];
  return count === columns && view.shape.length === 1 ? (j) => data[view.offset + j] : undefined;
}

/** A dense left operand with one zero point, by one constant matrix. */
export const planMatMulInteger: Planner = (step, shop) => {
  const { memory } = shop;
  const [a, b, aZero, bZero] = step.inputs;
  const [out] = step.outputs;
  if (memory === undefined || a === null || b === null || out === null || !b.known || b.view.shape.length !== 2)
    return undefined;
  if (
    sizeOf(a.view.shape) === 0 ||
    a.view.shape.length < 2 ||
    !isDense(a) ||
    (aZero != null && sizeOf(aZero.view.shape) !== 1)
  )
    return undefined;
  const [k, n] = b.view.shape;
  const m = sizeOf(a.view.shape) / k;
  const zeros = zeroOf(bZero, n, shop);
  const pairs = Math.ceil(k / 2);
  const right = zeros && packed(step, b, zeros, shop);
  const left = shop.scratch(step, 'a', 4 * m * pairs);
  const sums = shop.scratch(step, 'c', 4 * m * n);
  if (right === undefined || left === undefined || sums === undefined) return undefined;
  const to = shop.output(out, [...a.view.shape.slice(0, -1), n]);
  if (aZero != null) shop.load(aZero);
  const [x, first] = [a.data, a.view.offset];
  const rows = memory.i16(left.at, 2 * m * pairs).fill(0);
  const result = memory.i32(sums.at, m * n);
  const { gemm_i16: gemm } = memory.kernels;
  return () => {
    const zero = aZero == null ? 0 : aZero.data[aZero.view.offset];
    for (let i = 0, at = first; i < m; i++)
      for (let p = 0, row = 2 * i * pairs; p < k; p++) rows[row + p] = x[at++] - zero;
    gemm(left.at, right, sums.at, m, n, pairs);
    to.set(result);
  };
};

/** Address of b less its zero points, in panels of pairs. */
function packed(step: Step, b: Slot, zero: (j: number) => number, shop: Workshop): number | undefined {
  shop.load(b);
  const [k, n] = b.view.shape;
  const [rowStride, colStride] = b.view.strides;
  const place = shop.scratch(step, 'b', packedBytes(2 * Math.ceil(k / 2), n) / 2);
  if (place === undefined || shop.memory === undefined) return undefined;
  const shifted = new Int16Array(k * n);
  for (let p = 0, at = 0; p < k; p++)
    for (let j = 0; j < n; j++) shifted[at++] = b.data[b.view.offset + p * rowStride + j * colStride] - zero(j);
  const into = shop.memory.i16(place.at, packedBytes(2 * Math.ceil(k / 2), n) / 4);
  packPairs(into, { data: shifted, offset: 0, rowStride: n, colStride: 1 }, k, n);
  return place.at;
}
