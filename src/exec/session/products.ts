/**
 * Matrix products on the SIMD kernels: MatMul, Gemm, wafc.linear and MatMulNBits. Sums are in f32 where src/ops sums in double:
 * the one place where a session's results differ from the plain kernels', by the rounding of a sum.
 */
import { broadcastNumbers } from '../../ops/support/broadcast.ts';
import { reshapedView, type View } from '../../ops/support/move.ts';
import { sizeOf } from '../../tensor/tensor.ts';
import { packedBytes } from '../../kernels/pack.ts';
import { codesOfNBits } from './nbits.ts';
import { panelScratch, type Products } from './parallel.ts';
import { isFloatSlot, rounding } from './narrow.ts';
import { type Resident, resident, rowAt } from './resident.ts';
import { broadcastView, startsOf } from './rows.ts';
import { isDense, place, type Slot } from './slot.ts';
import type { Planner, Step, Workshop } from './step.ts';
import type { Packed } from './weights.ts';

const lastIsDense = ({ shape, strides }: View): boolean =>
  shape[shape.length - 1] === 1 || strides[strides.length - 1] === 1;
/** Rows or columns lie without gaps: a matrix or its transpose. */
const isMatrix = (view: View): boolean => {
  const { shape, strides } = view;
  const d = shape.length - 2;
  return lastIsDense(view) || shape[d] === 1 || strides[d] === 1;
};

/** A product of a stack of matrices [.., m, k] with one [k, n] or a stack of them. */
interface Product {
  readonly a: Slot;
  readonly b: Slot;
  /** As [.., k, n]. */
  readonly bView: View;
  /** Fixed, of n elements. */
  readonly bias: Slot | null;
  readonly shape: readonly number[];
}

/** The elements of a fixed vector over the last axis of `shape`. */
function isRow(slot: Slot, shape: readonly number[]): boolean {
  const n = shape[shape.length - 1];
  const own = slot.view.shape;
  return (
    slot.dtype === 'f32' &&
    slot.known &&
    own.length <= shape.length &&
    own.length > 0 &&
    own[own.length - 1] === n &&
    sizeOf(own) === n &&
    isDense(slot)
  );
}

/** The Add of a fixed row that is the only reader of `step`'s result: its row can be what the sums start from. */
function addBehind(step: Step, shape: readonly number[], shop: Workshop): { step: Step; row: Slot } | undefined {
  const [out] = step.outputs;
  if (out === null || out.dtype !== 'f32' || !shop.isPrivate(out)) return undefined;
  const [add] = out.consumers;
  if (add.op.kind !== 'Add') return undefined;
  const row = add.inputs[0] === out ? add.inputs[1] : add.inputs[0];
  return row !== null && row !== out && shop.isFixed(row) && isRow(row, shape) ? { step: add, row } : undefined;
}

function planProduct(step: Step, { a, b, bView, bias, shape }: Product, shop: Workshop): (() => void) | undefined {
  const { products, weights } = shop;
  const [out] = step.outputs;
  if (products === undefined || weights === undefined || out === null) return undefined;
  shop.fuse(step, null);
  const m = a.view.shape[a.view.shape.length - 2];
  const [k, n] = bView.shape.slice(-2);
  if (sizeOf(shape) === 0 || k === 0) return undefined;
  const left = resident(a, lastIsDense, shop, step, 'a');
  shop.output(out, shape);
  if (left === undefined || out.base < 0) return undefined;
  const fused = bias === null ? addBehind(step, shape, shop) : undefined;
  const row = bias ?? fused?.row ?? null;
  const start = row === null ? 0 : rowAt(row, shop);
  if (start === undefined) return undefined;
  const rounded = (run: () => void): (() => void) => rounding(out, sizeOf(shape), shop, run);
  const stackB = bView.shape.slice(0, -2);
  if (b.known && sizeOf(stackB) === 1) {
    const [rowStride, colStride] = bView.strides.slice(-2);
    const packed = weights.matrix(b, { k, n, offset: bView.offset, rowStride, colStride }, shop.load);
    const tall = reshapedView(left.view, [sizeOf(shape) / n, k]);
    const by = packed && multiply(packed, products, shop, step, k, n);
    if (by === undefined) return undefined;
    shop.fuse(step, fused?.step ?? null);
    const c = out.base;
    const { refresh } = left;
    if (tall !== undefined && (k === 1 || tall.strides[1] === 1)) {
      const [at, lda, rows] = [left.base + 4 * tall.offset, 4 * tall.strides[0], tall.shape[0]];
      return rounded(() => {
        refresh?.();
        by(at, lda, c, rows, start);
      });
    }
    const starts = stackOf(left.view, shape.slice(0, -2));
    const lda = 4 * left.view.strides[left.view.strides.length - 2];
    return rounded(() => {
      refresh?.();
      for (let s = 0; s < starts.length; s++) by(left.base + 4 * starts[s], lda, c + 4 * s * m * n, m, start);
    });
  }
  const run = planStacks(step, { a: left, b, bView, m, k, n, start, c: out.base, stack: shape.slice(0, -2) }, shop);
  if (run === undefined) return undefined;
  shop.fuse(step, fused?.step ?? null);
  return rounded(run);
}

/** Element offsets of the matrices of a stack. */
function stackOf(view: View, stack: readonly number[]): Int32Array {
  const full = broadcastView(
    { shape: view.shape.slice(0, -2), strides: view.strides.slice(0, -2), offset: view.offset },
    stack,
  );
  return startsOf(stack, full.strides, full.offset);
}

/** c [rows, n] = start + a [rows, k] times a packed matrix. */
function multiply(
  packed: Packed,
  { gemm, gemmCodes, panels }: Products,
  shop: Workshop,
  step: Step,
  k: number,
  n: number,
): ((a: number, lda: number, c: number, rows: number, start: number) => void) | undefined {
  if (packed.kind === 'f32') {
    const { at } = packed;
    return (a, lda, c, rows, start) => gemm(a, lda, at, 32, 32 * k, c, 4 * n, rows, n, k, start);
  }
  const { codes, scales, zeros, stride, bits, block } = packed.codes;
  const scratch = shop.scratch(step, 'panel', panels * panelScratch(k));
  if (scratch === undefined) return undefined;
  return (a, lda, c, rows, start) =>
    gemmCodes(a, lda, codes.at, bits, scales.at, zeros.at, stride, block, c, 4 * n, rows, n, k, start, scratch.at);
}

interface Stacks {
  readonly a: Resident;
  readonly b: Slot;
  readonly bView: View;
  readonly m: number;
  readonly k: number;
  readonly n: number;
  readonly start: number;
  readonly c: number;
  readonly stack: readonly number[];
}

/** Few rows of lines along k are dot products; more are worth turning the lines into panels first. */
const FEW_ROWS = 4;

/** Right-hand matrices that change from call to call: read where they lie. */
function planStacks(
  step: Step,
  { a, b, bView, m, k, n, start, c, stack }: Stacks,
  shop: Workshop,
): (() => void) | undefined {
  const { memory, products } = shop;
  if (memory === undefined || products === undefined) return undefined;
  const { kernels } = memory;
  const { gemm } = products;
  shop.load(b);
  // The view of b for this product may be a transposed one: both of its orders can be read.
  const right = resident({ ...b, view: bView }, isMatrix, shop, step, 'b');
  if (right === undefined) return undefined;
  const [as, bs] = [stackOf(a.view, stack), stackOf(right.view, stack)];
  const lda = 4 * a.view.strides[a.view.strides.length - 2];
  const [rowStride, colStride] = right.view.strides.slice(-2);
  const size = m * n;
  const prepare = (): void => {
    a.refresh?.();
    right.refresh?.();
  };
  if (n === 1 || colStride === 1) {
    return () => {
      prepare();
      for (let s = 0; s < as.length; s++)
        gemm(
          a.base + 4 * as[s],
          lda,
          right.base + 4 * bs[s],
          4 * rowStride,
          32,
          c + 4 * s * size,
          4 * n,
          m,
          n,
          k,
          start,
        );
    };
  }
  if (m < FEW_ROWS && start === 0) {
    return () => {
      prepare();
      for (let s = 0; s < as.length; s++)
        kernels.gemm_nt(
          a.base + 4 * as[s],
          lda,
          right.base + 4 * bs[s],
          4 * colStride,
          c + 4 * s * size,
          4 * n,
          m,
          n,
          k,
        );
    };
  }
  const panels = shop.scratch(step, 'panels', packedBytes(k, n));
  if (panels === undefined) return undefined;
  return () => {
    prepare();
    for (let s = 0; s < as.length; s++) {
      if (s === 0 || bs[s] !== bs[s - 1]) kernels.pack_nt(right.base + 4 * bs[s], 4 * colStride, n, k, panels.at);
      gemm(a.base + 4 * as[s], lda, panels.at, 32, 32 * k, c + 4 * s * size, 4 * n, m, n, k, start);
    }
  };
}

const swapped = ({ shape, strides, offset }: View): View => {
  const swap = <T>(list: readonly T[]): readonly T[] => [
    ...list.slice(0, -2),
    list[list.length - 1],
    list[list.length - 2],
  ];
  return { shape: swap(shape), strides: swap(strides), offset };
};

/** Operands of rank 2 and more; vectors are left to the plain kernel. */
const planMatMul: Planner = (step, shop) => {
  const [a, b] = step.inputs;
  if (!isFloatSlot(a) || !isFloatSlot(b) || a.view.shape.length < 2 || b.view.shape.length < 2) return undefined;
  const [sa, sb] = [a.view.shape, b.view.shape];
  if (sa[sa.length - 1] !== sb[sb.length - 2]) return undefined;
  const shape = [...broadcastNumbers(sa.slice(0, -2), sb.slice(0, -2)), sa[sa.length - 2], sb[sb.length - 1]];
  return planProduct(step, { a, b, bView: b.view, bias: null, shape }, shop);
};

const planLinear: Planner = (step, shop) => {
  const [a, b, bias] = step.inputs;
  if (!isFloatSlot(a) || !isFloatSlot(b) || a.view.shape.length < 2) return undefined;
  const shape = [...a.view.shape.slice(0, -1), b.view.shape[1]];
  if (bias != null && !isRow(bias, shape)) return undefined;
  return planProduct(step, { a, b, bView: b.view, bias: bias ?? null, shape }, shop);
};

const planGemm: Planner = (step, shop) => {
  const [a, b, c] = step.inputs;
  const attrs = step.attrs;
  if (!isFloatSlot(a) || !isFloatSlot(b)) return undefined;
  if (attrs.int('transA', 0) === 1 || attrs.float('alpha', 1) !== 1 || attrs.float('beta', 1) !== 1) return undefined;
  const bView = attrs.int('transB', 0) === 1 ? swapped(b.view) : b.view;
  const shape = [a.view.shape[0], bView.shape[1]];
  if (c != null && (a.dtype !== 'f32' || !isRow(c, shape))) return undefined;
  return planProduct(step, { a, b, bView, bias: c ?? null, shape }, shop);
};

/** com.microsoft.MatMulNBits with its own blocks: codes stay codes. */
const planNBits: Planner = (step, shop) => {
  const { products, weights } = shop;
  const [a, codes] = step.inputs;
  const [out] = step.outputs;
  if (products === undefined || weights === undefined || !isFloatSlot(a) || codes === null || out === null)
    return undefined;
  const form = codesOfNBits(step, shop);
  if (form === undefined) return undefined;
  const { k, n } = form;
  const shape = [...a.view.shape.slice(0, -1), n];
  if (sizeOf(shape) === 0) return undefined;
  const packed = weights.named(`${codes.name}\n${step.op.origin.node}`, codes.data, form.source);
  const by = packed && multiply(packed, products, shop, step, k, n);
  const left = resident(a, lastIsDense, shop, step, 'a');
  shop.output(out, shape);
  if (left === undefined) return undefined;
  const tall = reshapedView(left.view, [sizeOf(shape) / n, k]);
  if (by === undefined || tall === undefined || out.base < 0) return undefined;
  const [at, lda, rows, c] = [left.base + 4 * tall.offset, 4 * tall.strides[0], tall.shape[0], out.base];
  const start = form.bias === null ? 0 : rowAt(form.bias, shop);
  if (start === undefined) return undefined;
  const { refresh } = left;
  return rounding(out, sizeOf(shape), shop, () => {
    refresh?.();
    by(at, lda, c, rows, start);
  });
};

/** An Add that its product has taken in. */
export const planFused = (step: Step, product: Step): null => {
  const [from] = product.outputs;
  const [out] = step.outputs;
  if (from !== null && out !== null) place(out, { ...from });
  return null;
};

export const PRODUCTS: ReadonlyMap<string, Planner> = new Map([
  ['MatMul', planMatMul],
  ['Gemm', planGemm],
  ['wafc.linear', planLinear],
  ['com.microsoft.MatMulNBits', planNBits],
]);
