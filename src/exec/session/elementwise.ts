/**
 * Elementwise ops on f32, written out as loops over rows. The arithmetic is that of src/ops: computed in double, rounded when
 * stored, which for one operation gives the bits of f32 arithmetic.
 */
import { broadcastNumbers } from '../../ops/support/broadcast.ts';
import { erf, gelu, geluTanh, sigmoid } from '../../ops/support/special.ts';
import { isFloatSlot, rounding } from './narrow.ts';
import { broadcastView, type Rows, rowsOf, tableOf } from './rows.ts';
import { isDense, type Slot } from './slot.ts';
import { sizeOf } from '../../tensor/tensor.ts';
import type { Planner, Step, Workshop } from './step.ts';

/** `out[o + i] = f(a[ai + i * as], b[bi + i * bs])`. */
type Row = (
  out: Float32Array,
  o: number,
  n: number,
  a: Float32Array,
  ai: number,
  as: number,
  b: Float32Array,
  bi: number,
  bs: number,
) => void;

const add: Row = (out, o, n, a, ai, as, b, bi, bs) => {
  for (let i = 0; i < n; i++) out[o + i] = a[ai + i * as] + b[bi + i * bs];
};
const sub: Row = (out, o, n, a, ai, as, b, bi, bs) => {
  for (let i = 0; i < n; i++) out[o + i] = a[ai + i * as] - b[bi + i * bs];
};
const mul: Row = (out, o, n, a, ai, as, b, bi, bs) => {
  for (let i = 0; i < n; i++) out[o + i] = a[ai + i * as] * b[bi + i * bs];
};
const div: Row = (out, o, n, a, ai, as, b, bi, bs) => {
  for (let i = 0; i < n; i++) out[o + i] = a[ai + i * as] / b[bi + i * bs];
};

const BINARY: Readonly<Record<string, Row>> = { Add: add, Sub: sub, Mul: mul, Div: div };
/** Their numbers in rows.wat. */
const BINARY_CODE: Readonly<Record<string, number>> = { Add: 0, Sub: 1, Mul: 2, Div: 3, Pow: 2 };

/** `out[o + i] = f(x[at + i * step])`. */
type Map = (out: Float32Array, o: number, n: number, x: Float32Array, at: number, step: number) => void;

/** A loop each: a shared one around a callback would not be inlined. */
const UNARY: Readonly<Record<string, Map>> = {
  Neg(out, o, n, x, at, step) {
    for (let i = 0; i < n; i++) out[o + i] = -x[at + i * step];
  },
  Sqrt(out, o, n, x, at, step) {
    for (let i = 0; i < n; i++) out[o + i] = Math.sqrt(x[at + i * step]);
  },
  Reciprocal(out, o, n, x, at, step) {
    for (let i = 0; i < n; i++) out[o + i] = 1 / x[at + i * step];
  },
  Relu(out, o, n, x, at, step) {
    for (let i = 0; i < n; i++) {
      const v = x[at + i * step];
      out[o + i] = v < 0 ? 0 : v;
    }
  },
  Exp(out, o, n, x, at, step) {
    for (let i = 0; i < n; i++) out[o + i] = Math.exp(x[at + i * step]);
  },
  Tanh(out, o, n, x, at, step) {
    for (let i = 0; i < n; i++) out[o + i] = Math.tanh(x[at + i * step]);
  },
  Erf(out, o, n, x, at, step) {
    for (let i = 0; i < n; i++) out[o + i] = erf(x[at + i * step]);
  },
  Sigmoid(out, o, n, x, at, step) {
    for (let i = 0; i < n; i++) out[o + i] = sigmoid(x[at + i * step]);
  },
  'wafc.silu'(out, o, n, x, at, step) {
    for (let i = 0; i < n; i++) {
      const v = x[at + i * step];
      out[o + i] = v * sigmoid(v);
    }
  },
};
const cube: Map = (out, o, n, x, at, step) => {
  for (let i = 0; i < n; i++) {
    const v = x[at + i * step];
    out[o + i] = v * v * v;
  }
};
const geluRow: Map = (out, o, n, x, at, step) => {
  for (let i = 0; i < n; i++) out[o + i] = gelu(x[at + i * step]);
};
const geluTanhRow: Map = (out, o, n, x, at, step) => {
  for (let i = 0; i < n; i++) out[o + i] = geluTanh(x[at + i * step]);
};

/** A function, and its number in rows.wat where it is there. */
interface Fn {
  readonly map: Map;
  readonly code?: number;
}
const CUBE: Fn = { map: cube, code: 7 };
const GELU: Fn = { map: geluRow, code: 5 };
const GELU_TANH: Fn = { map: geluTanhRow, code: 6 };
const MAP_CODE: Readonly<Record<string, number>> = { Exp: 0, Sigmoid: 1, 'wafc.silu': 2, Tanh: 3, Erf: 4 };

function functionOf({ op }: Step): Fn {
  if (op.kind === 'Gelu') return op.attrs.approximate === 'tanh' ? GELU_TANH : GELU;
  if (op.kind === 'com.microsoft.Gelu') return GELU;
  const code = MAP_CODE[op.kind];
  return { map: UNARY[op.kind], ...(code === undefined ? {} : { code }) };
}

/** Two operands, any broadcast, any strides. */
export const planBinary: Planner = (step, shop) => {
  const [a, b] = step.inputs;
  const [out] = step.outputs;
  if (out === null || !isFloatSlot(a) || !isFloatSlot(b) || out.dtype !== a.dtype) return undefined;
  shop.load(a);
  shop.load(b);
  if (step.op.kind !== 'Pow') return planRows(step, [a, b], out, BINARY[step.op.kind], shop);
  // Of powers, those that are products.
  const power = b.known && sizeOf(b.view.shape) === 1 ? b.data[b.view.offset] : undefined;
  if (power === 2) return planRows(step, [a, a], out, mul, shop);
  return power === 3 ? planMap(a, out, CUBE, shop) : undefined;
};

function planRows(
  step: Step,
  [a, b]: readonly [Slot, Slot],
  out: Slot,
  row: Row,
  shop: Workshop,
): (() => void) | null | undefined {
  const shape = broadcastNumbers(a.view.shape, b.view.shape);
  const to = shop.output(out, shape);
  if (sizeOf(shape) === 0) return null;
  const plan = rowsOf(shape, [broadcastView(a.view, shape), broadcastView(b.view, shape), out.view]);
  // The output is dense: its rows follow each other.
  const { rows, length } = plan;
  const [as, bs] = plan.steps;
  const [at, bt] = plan.starts;
  const simd = planSimd(step, [a, b], out, plan, shop);
  const count = sizeOf(shape);
  if (simd !== undefined) return rounding(out, count, shop, simd);
  const [x, y] = [a.data, b.data];
  if (!(x instanceof Float32Array && y instanceof Float32Array && to instanceof Float32Array)) return undefined;
  return rounding(out, count, shop, () => {
    for (let r = 0, o = 0; r < rows; r++, o += length) row(to, o, length, x, at[r], as, y, bt[r], bs);
  });
}

/** The rows on the SIMD kernels, where operands lie in their memory and advance by one element or none. */
function planSimd(
  step: Step,
  operands: readonly [Slot, Slot],
  out: Slot,
  { rows, length, steps, starts }: Rows,
  shop: Workshop,
): (() => void) | undefined {
  const { memory } = shop;
  if (memory === undefined || out.base < 0 || steps.some((by) => by !== 0 && by !== 1)) return undefined;
  const bases = operands.map((slot) => (slot.base < 0 && slot.known ? (shop.weights?.vector(slot) ?? -1) : slot.base));
  const table = bases.some((base) => base < 0) ? undefined : tableOf(step, [...bases, out.base], starts, shop);
  if (table === undefined) return undefined;
  const { binary } = memory.rows;
  const code = BINARY_CODE[step.op.kind];
  const [xs, ys, outs] = table;
  const [xstep, ystep] = steps;
  return () => binary(code, outs, rows, length, xs, xstep, ys, ystep);
}

export const planUnary: Planner = (step, shop) => {
  const [x] = step.inputs;
  const [out] = step.outputs;
  if (out === null || !isFloatSlot(x) || out.dtype !== x.dtype) return undefined;
  shop.load(x);
  return planMap(x, out, functionOf(step), shop);
};

function planMap(x: Slot, out: Slot, { map, code }: Fn, shop: Workshop): (() => void) | null | undefined {
  const { view, data } = x;
  const to = shop.output(out, view.shape);
  const count = sizeOf(view.shape);
  if (count === 0) return null;
  if (shop.memory !== undefined && code !== undefined && x.base >= 0 && out.base >= 0 && isDense(x)) {
    const [apply, target, from] = [shop.memory.rows.map, out.base, x.base + 4 * view.offset];
    return rounding(out, count, shop, () => apply(code, target, from, count));
  }
  const { rows, length, steps, starts } = rowsOf(view.shape, [view, out.view]);
  if (!(data instanceof Float32Array && to instanceof Float32Array)) return undefined;
  const [at] = starts;
  const [by] = steps;
  return rounding(out, count, shop, () => {
    for (let r = 0, o = 0; r < rows; r++, o += length) map(to, o, length, data, at[r], by);
  });
}

export const ELEMENTWISE: ReadonlyMap<string, Planner> = new Map([
  ...['Pow', ...Object.keys(BINARY)].map((kind) => [kind, planBinary] as const),
  ...['Gelu', 'com.microsoft.Gelu', ...Object.keys(UNARY)].map((kind) => [kind, planUnary] as const),
]);
