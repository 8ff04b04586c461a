/** Reductions and softmax along the last axis, the loops of src/ops on the session's own arrays. */
import { normalAxis } from '../../ops/support/axes.ts';
import { softmaxInto } from '../../ops/support/softmax.ts';
import { sizeOf } from '../../tensor/tensor.ts';
import { isFloatSlot, rounding } from './narrow.ts';
import { isDense } from './slot.ts';
import type { Planner } from './step.ts';

/** Softmax over a last axis that is dense; before opset 13 the axis and all after it are one lane, which is the same then. */
export const planSoftmax: Planner = (step, shop) => {
  const [x] = step.inputs;
  const [out] = step.outputs;
  if (!isFloatSlot(x) || out === null || !isDense(x)) return undefined;
  const { shape, offset } = x.view;
  const axis = normalAxis(step.attrs.int('axis', step.op.version < 13 ? 1 : -1), Math.max(1, shape.length));
  if (axis !== shape.length - 1) return undefined;
  const count = sizeOf(shape);
  const to = shop.output(out, shape).subarray(0, count);
  if (count === 0) return null;
  if (shop.memory !== undefined && x.base >= 0 && out.base >= 0) {
    const [softmax, target, source] = [shop.memory.rows.softmax, out.base, x.base + 4 * offset];
    const [rows, length] = [count / shape[axis], shape[axis]];
    return rounding(out, count, shop, () => softmax(target, source, rows, length));
  }
  const from = x.data.subarray(offset, offset + count);
  if (!(to instanceof Float32Array)) return undefined;
  const lanes = { outer: count / shape[axis], extent: shape[axis], inner: 1 };
  return rounding(out, count, shop, () => softmaxInto(to, from, lanes));
};

/** ReduceMean and ReduceSum over the last axis of a dense operand. */
export const planReduce: Planner = (step, shop) => {
  const [x, axes] = step.inputs;
  const [out] = step.outputs;
  if (!isFloatSlot(x) || out === null || !isDense(x)) return undefined;
  const { op } = step;
  const attrs = step.attrs;
  const { shape, offset } = x.view;
  if (axes != null && !axes.known) return undefined;
  if (axes != null) shop.load(axes);
  const given = axes == null ? attrs.ints('axes', []) : Array.from(axes.data);
  if (given.length !== 1 || normalAxis(given[0], shape.length) !== shape.length - 1) return undefined;
  const extent = shape[shape.length - 1];
  const kept = shape.slice(0, -1);
  const to = shop.output(out, attrs.int('keepdims', 1) === 1 ? [...kept, 1] : kept);
  const rows = sizeOf(kept);
  const { data } = x;
  const mean = op.kind === 'ReduceMean';
  if (shop.memory !== undefined && x.base >= 0 && out.base >= 0 && extent > 0) {
    const [sums, target, source] = [shop.memory.rows.sums, out.base, x.base + 4 * offset];
    return rounding(out, rows, shop, () => sums(target, source, rows, extent, mean ? extent : 1));
  }
  if (!(data instanceof Float32Array)) return undefined;
  return rounding(out, rows, shop, () => {
    for (let r = 0, at = offset; r < rows; r++) {
      let sum = 0;
      for (const end = at + extent; at < end; at++) sum += data[at];
      to[r] = mean ? sum / extent : sum;
    }
  });
};
