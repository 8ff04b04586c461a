/**
 * Numpy broadcasting: shapes (symbolic) and loops (numeric). The loops are driven row by row: merged dims give
 * few, long rows in which every operand either advances by one or stays put, so that same-shape, scalar and
 * trailing-vector operands all become one tight loop without special cases.
 */
import { type Dim, equalDims, isKnown, printDim } from '../../ir/dim.ts';
import { allocate, sizeOf, type Tensor, type TensorData, tensor } from '../../tensor/tensor.ts';
import type { InferContext } from '../op.ts';
import { badValue } from './fault.ts';

/**
 * One dim of a broadcast, or undefined when the two can never agree. Two different unbound symbols count as
 * equal and the left one is kept: exporters name one length twice (past of keys, past of values), and hardly
 * ever leave it open whether a dim broadcasts. A known extent above 1 wins over a symbol.
 */
export function broadcastDim(a: Dim, b: Dim): Dim | undefined {
  if (a === 1) return b;
  if (b === 1 || equalDims(a, b)) return a;
  if (isKnown(a)) return isKnown(b) ? undefined : a;
  return isKnown(b) ? b : a;
}

/** The common shape of `shapes`, or undefined when they do not broadcast. */
export function broadcastShapes(...shapes: readonly (readonly Dim[])[]): readonly Dim[] | undefined {
  const rank = Math.max(0, ...shapes.map((s) => s.length));
  const out = new Array<Dim>(rank).fill(1);
  for (const shape of shapes) {
    for (const [d, dim] of shape.entries()) {
      const joined = broadcastDim(out[d + rank - shape.length], dim);
      if (joined === undefined) return undefined;
      out[d + rank - shape.length] = joined;
    }
  }
  return out;
}

/** The common shape of all inputs that are present; a `mismatch` names the first input that does not fit the ones before. */
export function broadcastInputs(context: Pick<InferContext, 'inputs' | 'mismatch'>): readonly Dim[] {
  let out: readonly Dim[] = [];
  for (const [input, type] of context.inputs.entries()) {
    if (type === undefined) continue;
    const joined = broadcastShapes(out, type.shape);
    if (joined === undefined) {
      const shown = (s: readonly Dim[]) => `[${s.map(printDim).join(',')}]`;
      context.mismatch({ input, expected: `a shape that broadcasts with ${shown(out)}`, found: shown(type.shape) });
    }
    out = joined;
  }
  return out;
}

/** Numeric form of {@link broadcastShapes}, for dims that inference did not know. Throws Diagnosed `run/bad-value`. */
export function broadcastNumbers(...shapes: readonly (readonly number[])[]): readonly number[] {
  const out = broadcastShapes(...shapes);
  if (out === undefined) badValue('operands', `shapes do not broadcast: ${shapes.map((s) => `[${s}]`).join(' ')}`);
  return out as readonly number[];
}

/** How a broadcast over some operands is walked: `outer` dims, then a row of `length` elements. */
export interface RowPlan {
  readonly outer: readonly number[];
  readonly length: number;
  /** By operand: 1 where it advances along the row, 0 where one element serves the whole row. */
  readonly steps: readonly number[];
  /** By operand, by outer dim: elements to advance. */
  readonly strides: readonly (readonly number[])[];
}

/** Merges dims of `shape` that every operand walks alike and takes the innermost as the row. */
export function planRows(shape: readonly number[], operands: readonly (readonly number[])[]): RowPlan {
  const full = operands.map((s) => broadcastStrides(s, shape));
  const dims: number[] = [];
  const strides: number[][] = operands.map(() => []);
  for (const [d, extent] of shape.entries()) {
    if (extent === 1) continue;
    const last = dims.length - 1;
    const merges = last >= 0 && full.every((s, i) => strides[i][last] === s[d] * extent);
    if (merges) dims[last] *= extent;
    else dims.push(extent);
    for (const [i, s] of full.entries()) strides[i][merges ? last : last + 1] = s[d];
  }
  const length = dims.pop() ?? 1;
  const steps = strides.map((s) => s.pop() ?? 0);
  return { outer: dims, length, steps, strides };
}

/** Calls `visit` for every row in order: offset of the row in the output, offsets in the operands (reused array). */
export function eachRow(plan: RowPlan, visit: (out: number, at: readonly number[]) => void): void {
  const { outer, length, strides } = plan;
  const rows = sizeOf(outer);
  if (length === 0) return;
  const at = strides.map(() => 0);
  const index = outer.map(() => 0);
  for (let row = 0; row < rows; row++) {
    visit(row * length, at);
    for (let d = outer.length - 1; d >= 0; d--) {
      index[d]++;
      for (let i = 0; i < at.length; i++) at[i] += strides[i][d];
      if (index[d] < outer[d]) break;
      for (let i = 0; i < at.length; i++) at[i] -= strides[i][d] * outer[d];
      index[d] = 0;
    }
  }
}

/** Row-major strides of `from` seen as `to`: 0 along broadcast dims. */
export function broadcastStrides(from: readonly number[], to: readonly number[]): number[] {
  const strides = new Array<number>(to.length).fill(0);
  let step = 1;
  for (let d = from.length - 1; d >= 0; d--) {
    if (from[d] !== 1) strides[d + to.length - from.length] = step;
    step *= from[d];
  }
  return strides;
}

/** `source` repeated to `shape`; the same tensor when it has that shape already. */
export function broadcastTo(source: Tensor, shape: readonly number[]): Tensor {
  if (source.shape.length === shape.length && source.shape.every((n, d) => n === shape[d])) return source;
  const plan = planRows(shape, [source.shape]);
  const step = plan.steps[0];
  if (source.strings !== undefined) {
    const { strings } = source;
    const out = new Array<string>(sizeOf(shape));
    eachRow(plan, (o, [at]) => {
      for (let i = 0; i < plan.length; i++) out[o + i] = strings[at + i * step];
    });
    return { dtype: source.dtype, shape, data: source.data, strings: out };
  }
  const out = allocate(source.dtype, sizeOf(shape));
  eachRow(plan, (o, [at]) => {
    if (step === 0) out.fill(source.data[at], o, o + plan.length);
    else out.set(source.data.subarray(at, at + plan.length), o);
  });
  return tensor(source.dtype, shape, out);
}

/**
 * One row of a two-operand op: `out[o + i] = f(a[ai + i * as], b[bi + i * bs])` for `i < n`. Hot ops write the
 * loop out (a shared loop around a callback cannot be inlined); {@link rowOf} makes one from a callback.
 */
export type BinaryRow = (
  out: TensorData,
  o: number,
  n: number,
  a: TensorData,
  ai: number,
  as: number,
  b: TensorData,
  bi: number,
  bs: number,
) => void;

export const rowOf =
  (f: (x: number, y: number) => number): BinaryRow =>
  (out, o, n, a, ai, as, b, bi, bs) => {
    for (let i = 0; i < n; i++) out[o + i] = f(a[ai + i * as], b[bi + i * bs]);
  };

/** Fills `out`, of the broadcast shape `shape`, from two operands. */
export function binaryInto(out: TensorData, shape: readonly number[], a: Tensor, b: Tensor, row: BinaryRow): void {
  const plan = planRows(shape, [a.shape, b.shape]);
  const [as, bs] = plan.steps;
  eachRow(plan, (o, at) => row(out, o, plan.length, a.data, at[0], as, b.data, at[1], bs));
}
