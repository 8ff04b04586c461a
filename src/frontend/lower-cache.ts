/**
 * Cache formats of wafc.attention (src/ops/support/rounded-cache.ts) in ONNX's own ops: keys and values as their codes' values, computed from
 * all positions in each call, so that a past that was never rounded is rounded, too.
 */
import type { ValueId } from '../ir/ids.ts';
import { BLOCK, type CacheFormat } from '../ops/support/rounded-cache.ts';
import type { Lowering } from './lower.ts';

/** Keys or values [B, H, T, d], and which of their forms a query reads where. */
export interface LoweredCache {
  /** What the next call is given. */
  readonly present: ValueId;
  readonly whole: ValueId;
  /** Of `int4:kivi32`: read in the place of `whole` before the query's own block. */
  readonly rounded?: ValueId;
}

export interface LoweringCache {
  readonly format: CacheFormat;
  /** Of `int8`. */
  readonly scales?: ValueId;
  readonly isKey: boolean;
  readonly heads: number;
  /** Features of a head. */
  readonly size: number;
}

/** A cache of a format, with the scales of `int8`. */
export function roundedCache(
  l: Lowering,
  x: ValueId,
  { format, scales, isKey, heads, size }: LoweringCache,
): LoweredCache {
  const dtype = l.dtypeOf(x);
  const wide = dtype === 'f32' ? x : l.cast(x, 'f32');
  const narrowed = (v: ValueId): ValueId => (dtype === 'f32' ? v : l.cast(v, dtype));
  if (format === 'fp16') {
    const values = l.cast(l.cast(x, 'f16'), dtype);
    return { present: values, whole: values };
  }
  if (scales !== undefined) {
    const scale = l.reshape(scales, [heads, 1, -1]);
    const codes = clipped(l, l.add('Round', [l.add('Div', [wide, scale])]), -128, 127);
    const values = narrowed(l.add('Mul', [codes, scale]));
    return { present: values, whole: values };
  }
  if (format !== 'int4:kivi32') throw new Error(`${format} has no scales`);
  const rounded = narrowed(isKey ? kiviKeys(l, wide, size) : kiviValues(l, wide, size));
  const complete = l.add('Less', [positions(l, x, 1), blocks(l, l.extent(x, 2))]);
  return { present: l.add('Where', [complete, rounded, x]), whole: x, rounded };
}

/** bool [S, T]: whether a query reads a position's rounded form. */
export function readsRounded(l: Lowering, q: ValueId, key: ValueId): ValueId {
  const total = l.extent(key, 2);
  const first = l.add('Sub', [total, l.extent(q, 2)]);
  const own = l.unsqueeze(l.add('Range', [first, total, l.scalar('i64', 1)]), 1);
  return l.add('Less', [positions(l, key, 0), blocks(l, own)]);
}

/** 0 .. T-1, as a row (0) or a column (1). */
function positions(l: Lowering, x: ValueId, axis: 0 | 1): ValueId {
  return l.unsqueeze(l.add('Range', [l.scalar('i64', 0), l.extent(x, 2), l.scalar('i64', 1)]), axis);
}

/** The last multiple of the block that is not above n. */
const blocks = (l: Lowering, n: ValueId): ValueId => {
  const size = l.scalar('i64', BLOCK);
  return l.add('Mul', [l.add('Div', [n, size]), size]);
};

/** Every feature over blocks of positions; positions are filled up to whole blocks, which are cut off again. */
function kiviKeys(l: Lowering, keys: ValueId, size: number): ValueId {
  const total = l.extent(keys, 2);
  const one = l.scalar('i64', 1);
  // Never empty: an empty tensor has no shape that Reshape could infer.
  const filled = l.add('Mul', [
    l.add('Add', [l.add('Div', [total, l.scalar('i64', BLOCK)]), one]),
    l.scalar('i64', BLOCK),
  ]);
  const zeros = l.ints([0, 0, 0, 0, 0, 0]);
  const more = l.unsqueeze(l.add('Sub', [filled, total]), 0);
  const pads = l.add('Concat', [zeros, more, l.ints([0])], { axis: 0 });
  const apart = l.reshape(l.add('Pad', [keys, pads], { mode: 'constant' }), [0, 0, -1, BLOCK, size]);
  const back = l.reshape(roundedTo16(l, apart, 3), [0, 0, -1, size]);
  return l.add('Slice', [back, l.ints([0]), l.unsqueeze(total, 0), l.ints([2])]);
}

/** Every position by runs of features. */
function kiviValues(l: Lowering, values: ValueId, size: number): ValueId {
  const runs: ValueId[] = [];
  for (let d = 0; d < size; d += BLOCK)
    runs.push(roundedTo16(l, size <= BLOCK ? values : l.slice(values, 3, d, Math.min(size, d + BLOCK)), 3));
  return runs.length === 1 ? runs[0] : l.add('Concat', runs, { axis: 3 });
}

/** 16 levels between the extremes along an axis; the least value and the step in f16. */
function roundedTo16(l: Lowering, x: ValueId, axis: number): ValueId {
  const half = (v: ValueId): ValueId => l.cast(l.cast(clipped(l, v, -65504, 65504), 'f16'), 'f32');
  const low = half(l.extreme('ReduceMin', x, axis));
  const step = half(l.add('Div', [l.add('Sub', [l.extreme('ReduceMax', x, axis), low]), l.scalar('f32', 15)]));
  const isSpread = l.add('Greater', [step, l.scalar('f32', 0)]);
  const divisor = l.add('Where', [isSpread, step, l.scalar('f32', 1)]);
  const codes = clipped(l, l.add('Round', [l.add('Div', [l.add('Sub', [x, low]), divisor])]), 0, 15);
  return l.add('Add', [l.add('Mul', [codes, step]), low]);
}

const clipped = (l: Lowering, x: ValueId, low: number, high: number): ValueId =>
  l.add('Clip', [x, l.scalar('f32', low), l.scalar('f32', high)]);
