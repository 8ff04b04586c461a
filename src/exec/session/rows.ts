/**
 * Walks over strided operands, laid out once per shape: dims that all operands walk alike are merged, the innermost is a row,
 * and where each row begins in each operand stands in a table.
 */
import type { View } from '../../ops/support/move.ts';
import { sizeOf, type TensorData } from '../../tensor/tensor.ts';
import type { Slot } from './slot.ts';
import type { Step, Workshop } from './step.ts';

/** `rows` rows of `length` elements; operand i begins row r at `starts[i][r]` and advances by `steps[i]`. */
export interface Rows {
  readonly rows: number;
  readonly length: number;
  readonly steps: readonly number[];
  readonly starts: readonly Int32Array[];
}

/** The walk over `shape` by operands that have a stride for each of its dims. */
export function rowsOf(shape: readonly number[], operands: readonly Omit<View, 'shape'>[]): Rows {
  const dims: number[] = [];
  const strides: number[][] = operands.map(() => []);
  for (const [d, extent] of shape.entries()) {
    if (extent === 1) continue;
    const last = dims.length - 1;
    const merges = last >= 0 && operands.every((o, i) => strides[i][last] === o.strides[d] * extent);
    if (merges) dims[last] *= extent;
    else dims.push(extent);
    for (const [i, o] of operands.entries()) strides[i][merges ? last : last + 1] = o.strides[d];
  }
  const length = dims.pop() ?? 1;
  const steps = strides.map((s) => s.pop() ?? 0);
  const rows = sizeOf(dims);
  const starts = operands.map(({ offset }, i) => startsOf(dims, strides[i], offset));
  return { rows, length, steps, starts };
}

/** Where the rows of an operand begin, in row-major order of `dims`. */
export function startsOf(dims: readonly number[], strides: readonly number[], offset: number): Int32Array {
  const starts = new Int32Array(sizeOf(dims));
  starts[0] = offset;
  let filled = 1;
  // Each dim, from the innermost, repeats what is there already.
  for (let d = dims.length - 1; d >= 0; d--) {
    const block = filled;
    for (let i = 1; i < dims[d]; i++) for (let j = 0; j < block; j++) starts[filled++] = starts[j] + i * strides[d];
  }
  return starts;
}

/** Strides of an operand of shape `view.shape` seen as `shape`, which it broadcasts to. */
export function broadcastView({ shape: own, strides, offset }: View, shape: readonly number[]): View {
  const added = shape.length - own.length;
  return {
    shape,
    strides: shape.map((_, d) => (d < added || own[d - added] === 1 ? 0 : strides[d - added])),
    offset,
  };
}

/**
 * Tables of row addresses in kernel memory, one for each operand, for a step's kernel call; `bases` are the addresses of what
 * `starts` count elements of. Undefined when the memory is full.
 */
export function tableOf(
  step: Step,
  bases: readonly number[],
  starts: readonly Int32Array[],
  shop: Workshop,
  name = 'rows',
): readonly number[] | undefined {
  const { memory } = shop;
  const rows = starts[0].length;
  const place = shop.scratch(step, name, 4 * rows * bases.length);
  if (memory === undefined || place === undefined) return undefined;
  const table = memory.i32(place.at, rows * bases.length);
  for (const [i, base] of bases.entries()) {
    const from = starts[i];
    for (let r = 0; r < rows; r++) table[i * rows + r] = base + 4 * from[r];
  }
  return bases.map((_, i) => place.at + 4 * i * rows);
}

/** Rows shorter than this are copied by a loop: a call of `set` costs as much. */
const SHORT_ROW = 24;

/** A copy between two strided places of one shape, to be done often. */
export function copier(from: TensorData, source: View, to: TensorData, target: Omit<View, 'shape'>): () => void {
  if (sizeOf(source.shape) === 0) return () => {};
  const { rows, length, steps, starts } = rowsOf(source.shape, [source, target]);
  const [fs, ts] = steps;
  const [f, t] = starts;
  if (fs === 1 && ts === 1 && length >= SHORT_ROW) {
    const parts = Array.from(f, (start) => from.subarray(start, start + length));
    return () => {
      for (let r = 0; r < rows; r++) to.set(parts[r], t[r]);
    };
  }
  if (from instanceof Float32Array && to instanceof Float32Array)
    return () => copy32(from, to, rows, length, f, t, fs, ts);
  return () => {
    for (let r = 0; r < rows; r++)
      for (let i = 0, a = f[r], b = t[r]; i < length; i++, a += fs, b += ts) to[b] = from[a];
  };
}

/** {@link copier} from a slot to another, on the SIMD kernel where both lie in its memory and rows without gaps. */
export function slotCopier(
  step: Step,
  from: Slot,
  to: Slot,
  target: Omit<View, 'shape'>,
  shop: Workshop,
  name: string,
): () => void {
  const { memory } = shop;
  if (memory !== undefined && from.base >= 0 && to.base >= 0 && sizeOf(from.view.shape) > 0) {
    const { rows, length, steps, starts } = rowsOf(from.view.shape, [from.view, target]);
    const table =
      steps.every((by) => by === 1) || length === 1
        ? tableOf(step, [from.base, to.base], starts, shop, name)
        : undefined;
    if (table !== undefined) {
      const { copy } = memory.rows;
      const [xs, outs] = table;
      return () => copy(outs, xs, rows, length);
    }
  }
  return copier(from.data, from.view, to.data, target);
}

/** Only ever sees f32, so that the engine compiles it for that. */
function copy32(
  from: Float32Array,
  to: Float32Array,
  rows: number,
  length: number,
  f: Int32Array,
  t: Int32Array,
  fs: number,
  ts: number,
): void {
  for (let r = 0; r < rows; r++) for (let i = 0, a = f[r], b = t[r]; i < length; i++, a += fs, b += ts) to[b] = from[a];
}
