/** Views that cut a tensor into parts, join parts, or put a border around one: Split, Concat, Pad. */
import { addDims, type Dim, divDims, isKnown, printDim } from '../ir/dim.ts';
import { rowMajor } from '../ir/constant.ts';
import { sizeOf, type TensorData } from '../tensor/tensor.ts';
import type { InferContext, RunContext } from './op.ts';
import { mayEqual, normalAxis, printShape, splitAt } from './support/axes.ts';
import { badValue } from './support/fault.ts';
import { knownValues, numbersAt, tensorAt, typeAt } from './support/inputs.ts';
import { defineStrided, defineView, moveTensors } from './support/move.ts';

/** `extent` in `count` parts, all equal but for a smaller last one (Split 18). */
function evenParts(extent: number, count: number): number[] {
  const part = Math.ceil(extent / count);
  return Array.from({ length: count }, (_, i) => Math.max(0, Math.min(part, extent - i * part)));
}

function inferParts(context: InferContext, extent: Dim): readonly Dim[] {
  const count = context.outputCount;
  if (context.version < 13 && context.attrs.has('split')) return context.attrs.ints('split');
  if (context.inputs[1] !== undefined) {
    return context.valueOf(1) ?? Array.from({ length: count }, () => context.fresh('split'));
  }
  const wanted = context.attrs.int('num_outputs', count);
  if (isKnown(extent)) {
    if (context.version < 18 && extent % wanted !== 0) {
      context.mismatch({ input: 0, expected: `an extent that ${wanted} divides`, found: String(extent) });
    }
    return evenParts(extent, wanted);
  }
  const part = divDims(extent, wanted);
  return Array.from({ length: wanted }, () => part ?? context.fresh('split'));
}

const split = defineStrided({
  domain: '',
  name: 'Split',
  since: [1, 2, 11, 13, 18],
  infer(context: InferContext) {
    const { dtype, shape } = typeAt(context, 0);
    const axis = normalAxis(context.attrs.int('axis', 0), shape.length, context);
    const parts = inferParts(context, shape[axis]);
    const sum = parts.reduce(addDims, 0);
    if (!mayEqual(sum, shape[axis])) {
      context.mismatch({
        input: 0,
        expected: `parts that add up to ${printDim(shape[axis])}`,
        found: printShape(parts),
      });
    }
    return { types: parts.map((part) => ({ dtype, shape: shape.map((n, d) => (d === axis ? part : n)) })) };
  },
  view(context, source) {
    const axis = normalAxis(context.attrs.int('axis', 0), source.shape.length);
    const given =
      context.version < 13 && context.attrs.has('split') ? context.attrs.ints('split') : numbersAt(context, 1);
    const parts = given ?? evenParts(source.shape[axis], context.attrs.int('num_outputs', context.outputCount));
    const { strides } = source;
    let start = 0;
    return parts.map((part) => {
      const shape = source.shape.map((n, d) => (d === axis ? part : n));
      const offset = source.offset + (part === 0 ? 0 : start * strides[axis]);
      start += part;
      return { shape, strides, offset };
    });
  },
});

function inferConcat(context: InferContext) {
  const first = typeAt(context, 0);
  const rank = first.shape.length;
  const axis = normalAxis(context.attrs.int('axis', context.version < 4 ? 1 : undefined), rank, context);
  const out: Dim[] = [...first.shape];
  for (let input = 1; input < context.inputs.length; input++) {
    const { dtype, shape } = typeAt(context, input);
    const fits =
      dtype === first.dtype && shape.length === rank && shape.every((n, d) => d === axis || mayEqual(n, out[d]));
    if (!fits) {
      context.mismatch({
        input,
        expected: `${first.dtype}${printShape(out)} but for axis ${axis}`,
        found: `${dtype}${printShape(shape)}`,
      });
    }
    for (const [d, n] of shape.entries()) {
      if (d === axis) out[d] = addDims(out[d], n);
      else if (isKnown(n)) out[d] = n;
    }
  }
  return { types: [{ dtype: first.dtype, shape: out }] };
}

const concat = defineView({
  domain: '',
  name: 'Concat',
  since: [1, 4, 11, 13],
  dataInputs: 'all',
  infer: inferConcat,
  run(context) {
    const parts = context.inputs.map((_, i) => tensorAt(context, i));
    const rank = parts[0].shape.length;
    const axis = normalAxis(context.attrs.int('axis', context.version < 4 ? 1 : undefined), rank);
    const extent = parts.reduce((sum, p) => sum + p.shape[axis], 0);
    const shape = parts[0].shape.map((n, d) => (d === axis ? extent : n));
    const odd = parts.find((p) => p.shape.length !== rank || p.shape.some((n, d) => d !== axis && n !== shape[d]));
    if (odd) badValue('Concat', `expected [${shape}] but for axis ${axis}, found [${odd.shape}]`);
    const { outer, inner } = splitAt(shape, axis);
    const kernel = (from: readonly TensorData[], to: TensorData) => {
      const rows = parts.map((p) => p.shape[axis] * inner);
      let at = 0;
      for (let o = 0; o < outer; o++) {
        for (const [i, data] of from.entries()) {
          to.set(data.subarray(o * rows[i], (o + 1) * rows[i]), at);
          at += rows[i];
        }
      }
    };
    return [moveTensors(parts, shape, kernel)];
  },
});

/** Pads per dim from ONNX's list (all begins, then all ends) over `axes`. */
function spread<D extends Dim>(
  pads: readonly D[],
  axes: readonly number[],
  rank: number,
): { before: D | 0; after: D | 0 }[] {
  const out = Array.from({ length: rank }, (): { before: D | 0; after: D | 0 } => ({ before: 0, after: 0 }));
  for (const [i, axis] of axes.entries())
    out[normalAxis(axis, rank)] = { before: pads[i], after: pads[i + axes.length] };
  return out;
}

/** By output index along one axis: the source index, or -1 where the fill value goes. */
function padIndex(extent: number, pad: { before: number; after: number }, mode: string): Int32Array {
  const out = new Int32Array(Math.max(0, pad.before + extent + pad.after));
  const period = 2 * (extent - 1);
  for (let i = 0; i < out.length; i++) {
    const at = i - pad.before;
    if (at >= 0 && at < extent) out[i] = at;
    else if (mode === 'constant' || extent === 0) out[i] = -1;
    else if (mode === 'edge') out[i] = at < 0 ? 0 : extent - 1;
    else if (mode === 'wrap') out[i] = ((at % extent) + extent) % extent;
    else {
      const phase = period === 0 ? 0 : ((at % period) + period) % period;
      out[i] = phase < extent ? phase : period - phase;
    }
  }
  return out;
}

const padsAttr = (context: InferContext | RunContext): readonly number[] =>
  context.attrs.ints(context.version < 2 ? 'paddings' : 'pads');

function runPad(context: RunContext) {
  const source = tensorAt(context, 0);
  const rank = source.shape.length;
  const { attrs, version } = context;
  const pads = version < 11 ? padsAttr(context) : (numbersAt(context, 1) ?? []);
  const all = [...source.shape.keys()];
  const axes = (version >= 18 ? numbersAt(context, 3) : undefined) ?? all;
  const mode = attrs.string('mode', 'constant');
  if (!['constant', 'reflect', 'edge', 'wrap'].includes(mode)) badValue('Pad', `mode ${mode} is not known`);
  const maps = spread(pads, axes, rank).map((pad, d) => padIndex(source.shape[d], pad, mode));
  const shape = maps.map((m) => m.length);
  const strides = rowMajor(source.shape);
  const value = version >= 11 ? context.inputs[2] : undefined;
  const inner = maps.pop() ?? Int32Array.of(0);
  const rows = sizeOf(shape.slice(0, -1));
  const kernel = (from: readonly TensorData[], to: TensorData) => {
    const [data, fills] = from;
    const fill = fills !== undefined ? fills[0] : version < 11 ? attrs.float('value', 0) : 0;
    const index = maps.map(() => 0);
    for (let row = 0; row < rows; row++) {
      let base = 0;
      for (const [d, map] of maps.entries())
        base = base < 0 || map[index[d]] < 0 ? -1 : base + map[index[d]] * strides[d];
      const at = row * inner.length;
      for (let i = 0; i < inner.length; i++) to[at + i] = base < 0 || inner[i] < 0 ? fill : data[base + inner[i]];
      for (let d = maps.length - 1; d >= 0 && ++index[d] === maps[d].length; d--) index[d] = 0;
    }
  };
  return [moveTensors(value === undefined ? [source] : [source, value], shape, kernel)];
}

const pad = defineView({
  domain: '',
  name: 'Pad',
  since: [1, 2, 11, 13, 18, 19, 21, 23, 24],
  dataInputs: [0, 2],
  infer(context: InferContext) {
    const { dtype, shape } = typeAt(context, 0);
    const all = [...shape.keys()];
    const pads = context.version < 11 ? padsAttr(context) : context.valueOf(1);
    const axes = context.version >= 18 && context.inputs[3] !== undefined ? knownValues(context, 3) : all;
    if (pads === undefined || axes === undefined) {
      return { types: [{ dtype, shape: shape.map(() => context.fresh('pad')) }] };
    }
    if (pads.length !== 2 * axes.length) {
      context.mismatch({ input: 1, expected: `${2 * axes.length} pads`, found: String(pads.length) });
    }
    for (const axis of axes) normalAxis(axis, shape.length, context);
    const around = spread(pads, axes, shape.length);
    return { types: [{ dtype, shape: shape.map((n, d) => addDims(addDims(around[d].before, n), around[d].after)) }] };
  },
  run: runPad,
});

export const ops = [split, concat, pad];
