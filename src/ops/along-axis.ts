/** Ops that search or accumulate along one axis: ArgMax, ArgMin, TopK, CumSum, CumProd. */
import { type Dim, isKnown } from '../ir/dim.ts';
import { allocate, sizeOf, tensor, zeros } from '../tensor/tensor.ts';
import { defineOp, type OpDef } from './op.ts';
import { normalAxis, splitAt } from './support/axes.ts';
import { operand, required, stored } from './support/elementwise.ts';
import { badValue } from './support/fault.ts';

const withDim = <D>(shape: readonly D[], axis: number, dim: D): D[] => shape.map((n, d) => (d === axis ? dim : n));

const argExtreme = (name: string, sign: 1 | -1): OpDef =>
  defineOp({
    domain: '',
    name,
    since: [1, 11, 12, 13],
    trait: 'compute',
    infer(context) {
      const { shape } = required(context, 0);
      const axis = normalAxis(context.attrs.int('axis', 0), shape.length, context);
      const keep = context.attrs.int('keepdims', 1) === 1;
      const out: Dim[] = keep ? withDim<Dim>(shape, axis, 1) : shape.filter((_, d) => d !== axis);
      return { types: [{ dtype: 'i64', shape: out }] };
    },
    run(context) {
      const { shape, data } = operand(context, 0);
      const { attrs } = context;
      const axis = normalAxis(attrs.int('axis', 0), shape.length);
      const last = attrs.int('select_last_index', 0) === 1;
      const { outer, extent, inner } = splitAt(shape, axis);
      if (extent === 0 && outer * inner > 0) badValue(name, `axis ${axis} is empty`);
      const kept = attrs.int('keepdims', 1) === 1 ? withDim(shape, axis, 1) : shape.filter((_, d) => d !== axis);
      const out = zeros('i64', kept);
      for (let o = 0; o < outer; o++) {
        for (let i = 0; i < inner; i++) {
          const base = o * extent * inner + i;
          let best = 0;
          let top = sign * data[base];
          for (let k = 1; k < extent; k++) {
            const v = sign * data[base + k * inner];
            if (v > top || (last && v === top)) {
              best = k;
              top = v;
            }
          }
          out.data[o * inner + i] = best;
        }
      }
      return [out];
    },
  });

/** Ties go to the lower index. The result is sorted even where that is not asked for. */
const topK = defineOp({
  domain: '',
  name: 'TopK',
  since: [1, 10, 11, 24],
  trait: 'compute',
  infer(context) {
    const { dtype, shape } = required(context, 0);
    const axis = normalAxis(context.attrs.int('axis', -1), shape.length, context);
    const k = context.version < 10 ? context.attrs.int('k') : (context.valueOf(1)?.[0] ?? context.fresh('topk'));
    const extent = shape[axis];
    if (isKnown(k) && isKnown(extent) && k > extent) {
      context.mismatch({ expected: `k <= ${extent}, the extent of axis ${axis}`, found: `k = ${k}` });
    }
    const out = withDim(shape, axis, k);
    return {
      types: [
        { dtype, shape: out },
        { dtype: 'i64' as const, shape: out },
      ].slice(0, context.outputCount),
    };
  },
  run(context) {
    const { dtype, shape, data } = operand(context, 0);
    const { attrs, version } = context;
    const axis = normalAxis(attrs.int('axis', -1), shape.length);
    const k = version < 10 ? attrs.int('k') : operand(context, 1).data[0];
    const { outer, extent, inner } = splitAt(shape, axis);
    if (k < 0 || k > extent) badValue('TopK', `k = ${k} of ${extent} elements`);
    const sign = attrs.int('largest', 1) === 1 ? -1 : 1;
    const values = zeros(dtype, withDim(shape, axis, k));
    const indices = zeros('i64', values.shape);
    const order = new Int32Array(extent);
    for (let o = 0; o < outer; o++) {
      for (let i = 0; i < inner; i++) {
        const base = o * extent * inner + i;
        for (let e = 0; e < extent; e++) order[e] = e;
        // Compared, not subtracted: inf - inf would be no tie.
        order.sort((a, b) => {
          const x = data[base + a * inner];
          const y = data[base + b * inner];
          return x < y ? -sign : x > y ? sign : a - b;
        });
        for (let j = 0; j < k; j++) {
          const at = (o * k + j) * inner + i;
          values.data[at] = data[base + order[j] * inner];
          indices.data[at] = order[j];
        }
      }
    }
    return [values, indices].slice(0, context.outputCount);
  },
});

const cumulative = (
  name: string,
  since: readonly number[],
  start: number,
  f: (acc: number, x: number) => number,
): OpDef =>
  defineOp({
    domain: '',
    name,
    since,
    trait: 'compute',
    infer(context) {
      const type = required(context, 0);
      const axis = context.valueOf(1)?.[0];
      if (axis !== undefined && isKnown(axis)) normalAxis(axis, type.shape.length, context);
      return { types: [type] };
    },
    run(context) {
      const { dtype, shape, data } = operand(context, 0);
      const axis = normalAxis(operand(context, 1).data[0], shape.length);
      const exclusive = context.attrs.int('exclusive', 0) === 1;
      const reverse = context.attrs.int('reverse', 0) === 1;
      const { outer, extent, inner } = splitAt(shape, axis);
      const out = allocate(dtype, sizeOf(shape));
      for (let o = 0; o < outer; o++) {
        for (let i = 0; i < inner; i++) {
          let acc = start;
          for (let e = 0; e < extent; e++) {
            const at = (o * extent + (reverse ? extent - 1 - e : e)) * inner + i;
            if (exclusive) out[at] = acc;
            acc = f(acc, data[at]);
            if (!exclusive) out[at] = acc;
          }
        }
      }
      return [tensor(dtype, shape, stored(dtype, out))];
    },
  });

export const ops: readonly OpDef[] = [
  argExtreme('ArgMax', 1),
  argExtreme('ArgMin', -1),
  topK,
  cumulative('CumSum', [11, 14], 0, (acc, x) => acc + x),
  cumulative('CumProd', [26], 1, (acc, x) => acc * x),
];
