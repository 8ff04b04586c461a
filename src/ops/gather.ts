/** Views that pick elements by index: Gather, GatherElements, GatherND, Compress. */
import { rowMajor } from '../ir/constant.ts';
import { isKnown } from '../ir/dim.ts';
import { sizeOf, type TensorData } from '../tensor/tensor.ts';
import type { InferContext, RunContext } from './op.ts';
import { normalAxis, splitAt } from './support/axes.ts';
import { badValue } from './support/fault.ts';
import { eachOffset, wrapIndex } from './support/index.ts';
import { knownValues, tensorAt, typeAt } from './support/inputs.ts';
import { defineView, moveTensors } from './support/move.ts';

function runGather(context: RunContext) {
  const source = tensorAt(context, 0);
  const indices = tensorAt(context, 1);
  const axis = normalAxis(context.attrs.int('axis', 0), source.shape.length);
  const { outer, extent, inner } = splitAt(source.shape, axis);
  const picks = new Array<number>(indices.data.length);
  for (let i = 0; i < picks.length; i++) picks[i] = wrapIndex('Gather', indices.data[i], extent);
  const shape = [...source.shape.slice(0, axis), ...indices.shape, ...source.shape.slice(axis + 1)];
  const kernel = ([from]: readonly TensorData[], to: TensorData) => {
    let at = 0;
    for (let o = 0; o < outer; o++) {
      for (const pick of picks) {
        const start = (o * extent + pick) * inner;
        if (inner === 1) to[at] = from[start];
        else to.set(from.subarray(start, start + inner), at);
        at += inner;
      }
    }
  };
  return [moveTensors([source], shape, kernel)];
}

const gather = defineView({
  domain: '',
  name: 'Gather',
  since: [1, 11, 13],
  infer(context) {
    const { dtype, shape } = typeAt(context, 0);
    const indices = typeAt(context, 1);
    const axis = normalAxis(context.attrs.int('axis', 0), shape.length, context);
    const extent = shape[axis];
    const outside = isKnown(extent) ? knownValues(context, 1)?.find((i) => i < -extent || i >= extent) : undefined;
    if (outside !== undefined)
      context.mismatch({
        input: 1,
        expected: `indices in ${-Number(extent)}..${Number(extent) - 1}`,
        found: `${outside}`,
      });
    return { types: [{ dtype, shape: [...shape.slice(0, axis), ...indices.shape, ...shape.slice(axis + 1)] }] };
  },
  run: runGather,
});

const gatherElements = defineView({
  domain: '',
  name: 'GatherElements',
  since: [11, 13],
  infer(context: InferContext) {
    const { dtype, shape } = typeAt(context, 0);
    const indices = typeAt(context, 1);
    normalAxis(context.attrs.int('axis', 0), shape.length, context);
    if (indices.shape.length !== shape.length) {
      context.mismatch({ input: 1, expected: `rank ${shape.length}`, found: `rank ${indices.shape.length}` });
    }
    return { types: [{ dtype, shape: indices.shape }] };
  },
  run(context) {
    const source = tensorAt(context, 0);
    const indices = tensorAt(context, 1);
    const axis = normalAxis(context.attrs.int('axis', 0), source.shape.length);
    const strides = rowMajor(source.shape);
    const along = strides[axis];
    strides[axis] = 0;
    const kernel = ([from]: readonly TensorData[], to: TensorData) =>
      eachOffset(indices.shape, strides, (offset, i) => {
        to[i] = from[offset + wrapIndex('GatherElements', indices.data[i], source.shape[axis]) * along];
      });
    return [moveTensors([source], indices.shape, kernel)];
  },
});

const gatherNd = defineView({
  domain: '',
  name: 'GatherND',
  since: [11, 12, 13],
  infer(context: InferContext) {
    const { dtype, shape } = typeAt(context, 0);
    const indices = typeAt(context, 1).shape;
    const depth = indices.at(-1);
    const batch = context.attrs.int('batch_dims', 0);
    if (depth === undefined || !isKnown(depth) || batch + depth > shape.length) {
      context.mismatch({ input: 1, expected: `a last dim of at most ${shape.length - batch}`, found: String(depth) });
    }
    return { types: [{ dtype, shape: [...indices.slice(0, -1), ...shape.slice(batch + depth)] }] };
  },
  run(context) {
    const source = tensorAt(context, 0);
    const indices = tensorAt(context, 1);
    const batch = context.attrs.int('batch_dims', 0);
    const depth = indices.shape[indices.shape.length - 1];
    const strides = rowMajor(source.shape);
    const inner = sizeOf(source.shape.slice(batch + depth));
    const picks = sizeOf(indices.shape.slice(0, -1));
    const perBatch = picks / Math.max(1, sizeOf(indices.shape.slice(0, batch)));
    const batchStep = batch === 0 ? 0 : strides[batch - 1];
    const shape = [...indices.shape.slice(0, -1), ...source.shape.slice(batch + depth)];
    const kernel = ([from]: readonly TensorData[], to: TensorData) => {
      for (let p = 0; p < picks; p++) {
        let start = batch === 0 ? 0 : Math.floor(p / perBatch) * batchStep;
        for (let k = 0; k < depth; k++) {
          start += wrapIndex('GatherND', indices.data[p * depth + k], source.shape[batch + k]) * strides[batch + k];
        }
        to.set(from.subarray(start, start + inner), p * inner);
      }
    };
    return [moveTensors([source], shape, kernel)];
  },
});

const compress = defineView({
  domain: '',
  name: 'Compress',
  since: [9, 11],
  infer(context: InferContext) {
    const { dtype, shape } = typeAt(context, 0);
    const kept = knownValues(context, 1)?.filter((c) => c !== 0).length ?? context.fresh('compress');
    if (!context.attrs.has('axis')) return { types: [{ dtype, shape: [kept] }] };
    const axis = normalAxis(context.attrs.int('axis'), shape.length, context);
    return { types: [{ dtype, shape: shape.map((n, d) => (d === axis ? kept : n)) }] };
  },
  run(context) {
    const source = tensorAt(context, 0);
    const kept = [...tensorAt(context, 1).data.entries()].flatMap(([i, c]) => (c !== 0 ? [i] : []));
    const flat = [sizeOf(source.shape)];
    const axis = context.attrs.has('axis') ? normalAxis(context.attrs.int('axis'), source.shape.length) : 0;
    const shape = context.attrs.has('axis') ? source.shape : flat;
    const { outer, extent, inner } = splitAt(shape, axis);
    if (kept.some((i) => i >= extent)) badValue('Compress', `a condition reaches past the extent ${extent}`);
    const kernel = ([from]: readonly TensorData[], to: TensorData) => {
      for (let o = 0, at = 0; o < outer; o++) {
        for (const i of kept) {
          to.set(from.subarray((o * extent + i) * inner, (o * extent + i + 1) * inner), at);
          at += inner;
        }
      }
    };
    const out = shape.map((n, d) => (d === axis ? kept.length : n));
    return [moveTensors([source], out, kernel)];
  },
});

export const ops = [gather, gatherElements, gatherNd, compress];
