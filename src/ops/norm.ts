/** Normalizations over trailing dims: LayerNormalization, RMSNormalization; and over any axes. */
import type { Dim } from '../ir/dim.ts';
import { allocate, sizeOf, type Tensor, tensor } from '../tensor/tensor.ts';
import { defineOp, type InferContext, type OpDef } from './op.ts';
import { mayEqual, normalAxes, normalAxis, printShape, splitAt } from './support/axes.ts';
import { broadcastShapes, broadcastTo, eachRow, planRows } from './support/broadcast.ts';
import { operand, required, stored } from './support/elementwise.ts';

/** Requires input `i`, where present, to broadcast to `shape` without changing it. */
function expectBroadcastTo(context: InferContext, i: number, shape: readonly Dim[]): void {
  const type = context.inputs[i];
  if (type === undefined) return;
  const joined = broadcastShapes(shape, type.shape);
  if (joined === undefined || joined.length !== shape.length || !joined.every((d, k) => mayEqual(d, shape[k]))) {
    context.mismatch({
      input: i,
      expected: `a shape that broadcasts to ${printShape(shape)}`,
      found: printShape(type.shape),
    });
  }
}

/**
 * Outputs 1 and 2 are mean and 1 / standard deviation, in f32 whatever the input is. onnxruntime's own tools wrote
 * this op, with the same meaning, long before 17 defined it.
 */
const layerNorm = defineOp({
  domain: '',
  name: 'LayerNormalization',
  since: [1, 17],
  trait: 'compute',
  infer(context) {
    const x = required(context, 0);
    const axis = normalAxis(context.attrs.int('axis', -1), x.shape.length, context);
    for (const i of [1, 2]) expectBroadcastTo(context, i, x.shape.slice(axis));
    const stash = {
      dtype: x.dtype === 'f64' ? ('f64' as const) : ('f32' as const),
      shape: x.shape.map((n, d) => (d < axis ? n : 1)),
    };
    return { types: [x, stash, stash].slice(0, context.outputCount) };
  },
  run(context) {
    const x = operand(context, 0);
    const axis = normalAxis(context.attrs.int('axis', -1), x.shape.length);
    const epsilon = context.attrs.float('epsilon', 1e-5);
    const inner = x.shape.slice(axis);
    const n = sizeOf(inner);
    const scale = context.inputs[1] && broadcastTo(context.inputs[1], inner).data;
    const bias = context.inputs[2] && broadcastTo(context.inputs[2], inner).data;
    const rows = n === 0 ? 0 : x.data.length / n;
    const out = allocate(x.dtype, x.data.length);
    const stash = x.dtype === 'f64' ? 'f64' : 'f32';
    const means = allocate(stash, rows);
    const inverses = allocate(stash, rows);
    for (let r = 0; r < rows; r++) {
      const { mean, variance } = moments(x, r * n, 1, n);
      const inverse = 1 / Math.sqrt(variance + epsilon);
      means[r] = mean;
      inverses[r] = inverse;
      for (let i = 0; i < n; i++) {
        const y = (x.data[r * n + i] - mean) * inverse;
        out[r * n + i] = y * (scale ? scale[i] : 1) + (bias ? bias[i] : 0);
      }
    }
    const kept = x.shape.map((m, d) => (d < axis ? m : 1));
    return [
      tensor(x.dtype, x.shape, stored(x.dtype, out)),
      tensor(stash, kept, means),
      tensor(stash, kept, inverses),
    ].slice(0, context.outputCount);
  },
});

/** Mean and population variance of `n` elements, in two sweeps. */
export function moments({ data }: Tensor, base: number, step: number, n: number): { mean: number; variance: number } {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += data[base + i * step];
  const mean = sum / n;
  let squares = 0;
  for (let i = 0; i < n; i++) {
    const d = data[base + i * step] - mean;
    squares += d * d;
  }
  return { mean, variance: squares / n };
}

const rmsNorm = defineOp({
  domain: '',
  name: 'RMSNormalization',
  since: [23],
  trait: 'compute',
  infer(context) {
    const x = required(context, 0);
    const scale = required(context, 1);
    const axis = normalAxis(context.attrs.int('axis', -1), x.shape.length, context);
    expectBroadcastTo(context, 1, x.shape.slice(axis));
    return { types: [{ dtype: scale.dtype, shape: x.shape }] };
  },
  run(context) {
    const [x, scaleIn] = [operand(context, 0), operand(context, 1)];
    const axis = normalAxis(context.attrs.int('axis', -1), x.shape.length);
    const epsilon = context.attrs.float('epsilon', 1e-5);
    const inner = x.shape.slice(axis);
    const n = sizeOf(inner);
    const scale = broadcastTo(scaleIn, inner).data;
    const out = allocate(scaleIn.dtype, x.data.length);
    for (let base = 0; base < out.length; base += n) {
      let squares = 0;
      for (let i = 0; i < n; i++) squares += x.data[base + i] * x.data[base + i];
      const inverse = 1 / Math.sqrt(squares / n + epsilon);
      for (let i = 0; i < n; i++) out[base + i] = x.data[base + i] * inverse * scale[i];
    }
    return [tensor(scaleIn.dtype, x.shape, stored(scaleIn.dtype, out))];
  },
});

/** x / (sum |x|^p)^(1/p) along one axis; a zero vector stays zero. */
const lpNorm = defineOp({
  domain: '',
  name: 'LpNormalization',
  since: [1, 22],
  trait: 'compute',
  infer(context) {
    const x = required(context, 0);
    normalAxis(context.attrs.int('axis', -1), x.shape.length, context);
    return { types: [x] };
  },
  run(context) {
    const x = operand(context, 0);
    const p = context.attrs.int('p', 2);
    const { outer, extent, inner } = splitAt(x.shape, normalAxis(context.attrs.int('axis', -1), x.shape.length));
    const out = allocate(x.dtype, x.data.length);
    for (let o = 0; o < outer; o++) {
      for (let i = 0; i < inner; i++) {
        const base = o * extent * inner + i;
        let sum = 0;
        for (let k = 0; k < extent; k++) sum += Math.abs(x.data[base + k * inner]) ** p;
        const norm = p === 2 ? Math.sqrt(sum) : sum ** (1 / p);
        for (let k = 0; k < extent; k++) out[base + k * inner] = norm === 0 ? 0 : x.data[base + k * inner] / norm;
      }
    }
    return [tensor(x.dtype, x.shape, stored(x.dtype, out))];
  },
});

const meanVariance = defineOp({
  domain: '',
  name: 'MeanVarianceNormalization',
  since: [9, 13],
  trait: 'compute',
  infer(context) {
    const x = required(context, 0);
    normalAxes(context.attrs.ints('axes', [0, 2, 3]), x.shape.length, context);
    return { types: [x] };
  },
  run(context) {
    const x = operand(context, 0);
    const axes = normalAxes(context.attrs.ints('axes', [0, 2, 3]), x.shape.length);
    const kept = x.shape.map((n, d) => (axes.includes(d) ? 1 : n));
    const count = x.data.length / Math.max(1, sizeOf(kept));
    const plan = planRows(x.shape, [kept]);
    const [step] = plan.steps;
    const mean = new Float64Array(sizeOf(kept));
    const variance = new Float64Array(sizeOf(kept));
    eachRow(plan, (o, [at]) => {
      for (let i = 0; i < plan.length; i++) mean[at + i * step] += x.data[o + i] / count;
    });
    eachRow(plan, (o, [at]) => {
      for (let i = 0; i < plan.length; i++)
        variance[at + i * step] += (x.data[o + i] - mean[at + i * step]) ** 2 / count;
    });
    const out = allocate(x.dtype, x.data.length);
    eachRow(plan, (o, [at]) => {
      for (let i = 0; i < plan.length; i++) {
        const k = at + i * step;
        out[o + i] = (x.data[o + i] - mean[k]) / (Math.sqrt(variance[k]) + 1e-9);
      }
    });
    return [tensor(x.dtype, x.shape, stored(x.dtype, out))];
  },
});

export const ops: readonly OpDef[] = [layerNorm, rmsNorm, lpNorm, meanVariance];
