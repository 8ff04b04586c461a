/**
 * Elementwise ops on f32, written out as loops over rows. The arithmetic is that of src/ops: computed in double, rounded when
 * stored, which for one operation gives the bits of f32 arithmetic.
 */
import { broadcastNumbers } from '../../ops/support/broadcast.ts';
import { erf, gelu, geluTanh, sigmoid } from '../../ops/support/special.ts';
import { broadcastView, rowsOf } from './rows.ts';
import type { Slot } from './slot.ts';
import { sizeOf } from '../../tensor/tensor.ts';
import type { Planner } from './step.ts';

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
const square: Row = (out, o, n, a, ai, as) => {
  for (let i = 0; i < n; i++) out[o + i] = a[ai + i * as] * a[ai + i * as];
};

const BINARY: Readonly<Record<string, Row>> = { Add: add, Sub: sub, Mul: mul, Div: div };

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
const geluRow: Map = (out, o, n, x, at, step) => {
  for (let i = 0; i < n; i++) out[o + i] = gelu(x[at + i * step]);
};
const geluTanhRow: Map = (out, o, n, x, at, step) => {
  for (let i = 0; i < n; i++) out[o + i] = geluTanh(x[at + i * step]);
};

const isF32 = (slot: Slot | null): slot is Slot => slot !== null && slot.dtype === 'f32';

/** Two operands, any broadcast, any strides. */
export const planBinary: Planner = (step, shop) => {
  const [a, b] = step.inputs;
  const [out] = step.outputs;
  if (out === null || !isF32(a) || !isF32(b)) return undefined;
  shop.load(a);
  shop.load(b);
  const row = step.op.kind === 'Pow' ? squareWhere(b) : BINARY[step.op.kind];
  if (row === undefined) return undefined;
  const shape = broadcastNumbers(a.view.shape, b.view.shape);
  const to = shop.output(out, shape);
  if (sizeOf(shape) === 0) return null;
  const plan = rowsOf(shape, [broadcastView(a.view, shape), broadcastView(b.view, shape), out.view]);
  // The output is dense: its rows follow each other.
  const { rows, length } = plan;
  const [as, bs] = plan.steps;
  const [at, bt] = plan.starts;
  const [x, y] = [a.data, b.data];
  if (!(x instanceof Float32Array && y instanceof Float32Array && to instanceof Float32Array)) return undefined;
  if (rows === 1) return () => row(to, 0, length, x, at[0], as, y, bt[0], bs);
  return () => {
    for (let r = 0, o = 0; r < rows; r++, o += length) row(to, o, length, x, at[r], as, y, bt[r], bs);
  };
};

/** Pow is known here for the square only. */
const squareWhere = ({ known, data, view }: Slot): Row | undefined =>
  known && sizeOf(view.shape) === 1 && data[view.offset] === 2 ? square : undefined;

export const planUnary: Planner = (step, shop) => {
  const [x] = step.inputs;
  const [out] = step.outputs;
  if (out === null || !isF32(x)) return undefined;
  const { kind, attrs } = step.op;
  const map = kind === 'Gelu' ? (attrs.approximate === 'tanh' ? geluTanhRow : geluRow) : UNARY[kind];
  const { view, data } = x;
  const to = shop.output(out, view.shape);
  if (sizeOf(view.shape) === 0) return null;
  const { rows, length, steps, starts } = rowsOf(view.shape, [view, out.view]);
  if (!(data instanceof Float32Array && to instanceof Float32Array)) return undefined;
  const [at] = starts;
  const [by] = steps;
  return () => {
    for (let r = 0, o = 0; r < rows; r++, o += length) map(to, o, length, data, at[r], by);
  };
};

export const ELEMENTWISE: ReadonlyMap<string, Planner> = new Map([
  ...['Pow', ...Object.keys(BINARY)].map((kind) => [kind, planBinary] as const),
  ...['Gelu', ...Object.keys(UNARY)].map((kind) => [kind, planUnary] as const),
]);
