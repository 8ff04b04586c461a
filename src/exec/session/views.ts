/** Ops that only move elements: views cost nothing, joins and look-ups copy into place. */
import { normalAxis, splitAt } from '../../ops/support/axes.ts';
import { wrapIndex } from '../../ops/support/index.ts';
import type { Constant } from '../../ir/constant.ts';
import { readElements } from '../../tensor/read.ts';
import { sizeOf, type TensorData } from '../../tensor/tensor.ts';
import { isFloatSlot, rounding } from './narrow.ts';
import { slotCopier } from './rows.ts';
import { denseAt, isDense, place, type Placement, type Slot } from './slot.ts';
import type { Planner, Step } from './step.ts';

/** What a strided view of `slot` is. */
const viewOf = ({ dtype, data, base, known }: Slot, view: Slot['view']): Placement => ({
  dtype,
  data,
  base,
  known,
  view,
});

/** Ops whose registry entry says which strided views they give. */
export const planView: Planner = (step, shop) => {
  const [source, ...rest] = step.inputs;
  const { view } = step.def;
  if (source === null || source.dtype === 'string' || view === undefined) return undefined;
  if (rest.some((slot) => slot !== null && !slot.known)) return undefined;
  shop.load(source);
  const context = shop.context(step);
  const views = view(context, source.view);
  if (views !== undefined) {
    for (const [i, out] of step.outputs.entries()) if (out !== null) place(out, viewOf(source, views[i]));
    return null;
  }
  if (source.known) return undefined;
  const [out] = step.outputs;
  const [reshaped] = view(context, denseAt(source.view.shape)) ?? [];
  if (out === null || reshaped === undefined) return undefined;
  shop.output(out, reshaped.shape);
  return slotCopier(step, source, out, denseAt(source.view.shape), shop, 'copy');
};

/** A cast to the type that the value has already, or from and to floats that are held as f32: these are rounded, or they are the same. */
export const planCast: Planner = (step, shop) => {
  const [x] = step.inputs;
  const [out] = step.outputs;
  if (x === null || out === null || x.dtype === 'string') return undefined;
  const areFloats = isFloatSlot(x) && isFloatSlot(out);
  if (x.dtype !== out.dtype && !areFloats) return undefined;
  if (x.dtype === out.dtype || (out.dtype === 'f32' && areFloats)) {
    place(out, { ...viewOf(x, x.view), dtype: out.dtype });
    return null;
  }
  shop.load(x);
  const { shape } = x.view;
  shop.output(out, shape);
  return rounding(out, sizeOf(shape), shop, slotCopier(step, x, out, denseAt(shape), shop, 'copy'));
};

export const planConcat: Planner = (step, shop) => {
  const parts = step.inputs.filter((slot) => slot !== null);
  const [out] = step.outputs;
  const [first] = parts;
  if (out === null || first.dtype === 'string') return undefined;
  const rank = first.view.shape.length;
  const odd = parts.some(({ dtype, view }) => dtype !== first.dtype || view.shape.length !== rank);
  if (odd) return undefined;
  for (const part of parts) shop.load(part);
  const { op } = step;
  const axis = normalAxis(step.attrs.int('axis', op.version < 4 ? 1 : undefined), rank);
  if (parts.some(({ view }) => view.shape.some((n, d) => d !== axis && n !== first.view.shape[d]))) return undefined;
  const shape = first.view.shape.with(
    axis,
    parts.reduce((sum, { view }) => sum + view.shape[axis], 0),
  );
  shop.output(out, shape);
  const { strides } = out.view;
  let start = 0;
  const copies = parts.map((part, i) => {
    const offset = start * strides[axis];
    start += part.view.shape[axis];
    return slotCopier(step, part, out, { strides, offset }, shop, `part ${i}`);
  });
  return () => {
    for (const copy of copies) copy();
  };
};

/** Rows of a table, or the one element of an axis that a known index names. */
export const planGather: Planner = (step, shop) => {
  const [source, indices] = step.inputs;
  const [out] = step.outputs;
  if (source === null || indices === null || out === null || source.dtype === 'string') return undefined;
  const axis = step.op.kind === 'Gather' ? axisOf(step, source.view.shape.length) : 0;
  const { shape, strides, offset } = source.view;
  const { extent, inner } = splitAt(shape, axis);
  if (axis === 0 && isDense(indices) && isLarge(source)) {
    const { constant } = source;
    const to = shop.output(out, [...indices.view.shape, ...shape.slice(1)]);
    const row = (i: number): TensorData => {
      const starts = shape.map((_, d) => (d === 0 ? i : 0));
      return readElements(constant, starts, shape.with(0, 1)).data;
    };
    const count = sizeOf(indices.view.shape);
    const [picks, first] = [indices.data, indices.view.offset];
    return () => {
      for (let i = 0; i < count; i++) to.set(row(wrapIndex(step.op.kind, picks[first + i], extent)), i * inner);
    };
  }
  shop.load(source);
  if (indices.known && indices.view.shape.length === 0) {
    shop.load(indices);
    const at = wrapIndex(step.op.kind, indices.data[indices.view.offset], shape[axis]);
    const kept = <T>(list: readonly T[]): readonly T[] => list.toSpliced(axis, 1);
    place(out, viewOf(source, { shape: kept(shape), strides: kept(strides), offset: offset + at * strides[axis] }));
    return null;
  }
  if (axis !== 0 || !isDense(source) || !isDense(indices)) return undefined;
  const to = shop.output(out, [...indices.view.shape, ...shape.slice(1)]);
  const count = sizeOf(indices.view.shape);
  const [table, picks, first] = [source.data, indices.data, indices.view.offset];
  return () => {
    for (let i = 0; i < count; i++) {
      const from = offset + wrapIndex(step.op.kind, picks[first + i], extent) * inner;
      to.set(table.subarray(from, from + inner), i * inner);
    }
  };
};

/** Tables of more elements stay in their file: rows are read when they are asked for. */
const LARGE_TABLE = 2 ** 26;
const isLarge = (slot: Slot): slot is Slot & { constant: Constant } =>
  slot.constant !== null && slot.data.length === 0 && sizeOf(slot.view.shape) > LARGE_TABLE;

const axisOf = ({ attrs }: Step, rank: number): number => normalAxis(attrs.int('axis', 0), rank);
