/** Pooling over windows and over all spatial dims. */
import type { Dim } from '../ir/dim.ts';
import { allocate, sizeOf, type Tensor, tensor, zeros } from '../tensor/tensor.ts';
import { defineOp, type InferContext, type OpDef } from './op.ts';
import { printShape } from './support/axes.ts';
import { operand, required, stored } from './support/elementwise.ts';
import {
  eachIndex,
  outputExtent,
  outputExtents,
  resolvedPads,
  type WindowAttrs,
  windowAttrs,
  windowFault,
  windowFits,
} from './support/window.ts';

function poolShape(context: InferContext): readonly Dim[] {
  const { shape } = required(context, 0);
  const window = windowAttrs(context.attrs, context.attrs.ints('kernel_shape'));
  const fault = shape.length < 3 ? 'rank below 3' : windowFault(window, shape.length - 2);
  if (fault) context.mismatch({ input: 0, expected: `window attributes that fit ${printShape(shape)}`, found: fault });
  const spatial = shape.slice(2).map((extent, d) => {
    if (!windowFits(window, d, extent)) {
      context.mismatch({
        input: 0,
        expected: `padded dim ${d + 2} to hold the window [${window.kernel}]`,
        found: printShape(shape),
      });
    }
    return outputExtent(window, d, extent, (hint) => context.fresh(hint));
  });
  return [shape[0], shape[1], ...spatial];
}

/** Calls `visit` for every window: plane (batch and channel), output element, elements inside, and taps inside the padding too. */
function eachWindow(
  x: Tensor,
  window: WindowAttrs,
  visit: (plane: number, out: number, inside: readonly number[], padded: number) => void,
): readonly number[] {
  const extents = x.shape.slice(2);
  const out = outputExtents(window, extents);
  const { begin, end } = resolvedPads(window, extents, out);
  const planes = x.shape[0] * x.shape[1];
  eachIndex(out, (corner, at) => {
    const inside: number[] = [];
    let padded = 0;
    eachIndex(window.kernel, (tap) => {
      let source = 0;
      let isInside = true;
      let isPadded = true;
      for (let d = 0; d < extents.length; d++) {
        const i = corner[d] * window.strides[d] + tap[d] * window.dilations[d] - begin[d];
        isInside &&= i >= 0 && i < extents[d];
        isPadded &&= i < extents[d] + end[d]; // beyond it lies only what ceil_mode added
        source = source * extents[d] + i;
      }
      if (isInside) inside.push(source);
      if (isPadded) padded++;
    });
    for (let plane = 0; plane < planes; plane++) visit(plane, at, inside, padded);
  });
  return [x.shape[0], x.shape[1], ...out];
}

const averagePool = defineOp({
  domain: '',
  name: 'AveragePool',
  since: [7, 10, 11, 19, 22],
  trait: 'compute',
  infer: (context) => ({ types: [{ dtype: required(context, 0).dtype, shape: poolShape(context) }] }),
  run(context) {
    const x = operand(context, 0);
    const { attrs } = context;
    const window = windowAttrs(attrs, attrs.ints('kernel_shape'));
    const withPads = attrs.int('count_include_pad', 0) === 1;
    const area = sizeOf(x.shape.slice(2));
    const pixels = sizeOf(outputExtents(window, x.shape.slice(2)));
    const out = allocate(x.dtype, x.shape[0] * x.shape[1] * pixels);
    const shape = eachWindow(x, window, (plane, at, inside, padded) => {
      let sum = 0;
      for (let i = 0; i < inside.length; i++) sum += x.data[plane * area + inside[i]];
      out[plane * pixels + at] = sum / (withPads ? padded : inside.length);
    });
    return [tensor(x.dtype, shape, stored(x.dtype, out))];
  },
});

/** Output 1: where each maximum is in all of x; with storage_order 1 counted column-major inside a plane. */
const maxPool = defineOp({
  domain: '',
  name: 'MaxPool',
  since: [1, 8, 10, 11, 12, 22],
  trait: 'compute',
  infer(context) {
    const shape = poolShape(context);
    const { dtype } = required(context, 0);
    return {
      types: [
        { dtype, shape },
        { dtype: 'i64' as const, shape },
      ].slice(0, context.outputCount),
    };
  },
  run(context) {
    const x = operand(context, 0);
    const { attrs } = context;
    const window = windowAttrs(attrs, attrs.ints('kernel_shape'));
    const extents = x.shape.slice(2);
    const area = sizeOf(extents);
    const pixels = sizeOf(outputExtents(window, extents));
    const columnMajor = attrs.int('storage_order', 0) === 1;
    const values = allocate(x.dtype, x.shape[0] * x.shape[1] * pixels);
    const places = allocate('i64', values.length);
    const shape = eachWindow(x, window, (plane, at, inside) => {
      const base = plane * area;
      let best = inside[0] ?? 0;
      for (let i = 1; i < inside.length; i++) if (x.data[base + inside[i]] > x.data[base + best]) best = inside[i];
      values[plane * pixels + at] = x.data[base + best];
      places[plane * pixels + at] = base + (columnMajor ? columnMajorIndex(best, extents) : best);
    });
    return [tensor(x.dtype, shape, values), tensor('i64', shape, places)].slice(0, context.outputCount);
  },
});

function columnMajorIndex(index: number, extents: readonly number[]): number {
  let out = 0;
  let step = sizeOf(extents);
  let rest = index;
  for (let d = extents.length - 1; d >= 0; d--) {
    step /= extents[d];
    out += (rest % extents[d]) * step;
    rest = Math.floor(rest / extents[d]);
  }
  return out;
}

const globalPool = (name: string, start: number, join: (acc: number, x: number) => number, mean: boolean): OpDef =>
  defineOp({
    domain: '',
    name,
    since: [1, 22],
    trait: 'compute',
    infer(context) {
      const { dtype, shape } = required(context, 0);
      if (shape.length < 3) context.mismatch({ input: 0, expected: 'rank 3 or more', found: printShape(shape) });
      return { types: [{ dtype, shape: shape.map((n, d) => (d < 2 ? n : 1)) }] };
    },
    run(context) {
      const x = operand(context, 0);
      const area = sizeOf(x.shape.slice(2));
      const out = zeros(
        x.dtype,
        x.shape.map((n, d) => (d < 2 ? n : 1)),
      );
      for (let plane = 0; plane < out.data.length; plane++) {
        let acc = start;
        for (let i = 0; i < area; i++) acc = join(acc, x.data[plane * area + i]);
        out.data[plane] = mean ? acc / area : acc;
      }
      return [{ ...out, data: stored(x.dtype, out.data) }];
    },
  });

export const ops: readonly OpDef[] = [
  averagePool,
  maxPool,
  globalPool('GlobalAveragePool', 0, (acc, v) => acc + v, true),
  globalPool('GlobalMaxPool', Number.NEGATIVE_INFINITY, Math.max, false),
];
