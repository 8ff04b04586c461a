/** Convolutions: Conv, ConvInteger, QLinearConv. */
import { type Dim, isKnown } from '../ir/dim.ts';
import type { DType } from '../ir/types.ts';
import { allocate, type Tensor, type TensorData, tensor } from '../tensor/tensor.ts';
import { defineOp, type InferContext, type OpDef, type RunContext } from './op.ts';
import { knownDims, mayEqual, printShape } from './support/axes.ts';
import { commonDtype, expectDtype, operand, required, stored } from './support/elementwise.ts';
import { convolve } from './support/im2col.ts';
import { requantize, shifted } from './support/quant.ts';
import { outputExtent, windowAttrs, windowFault, windowFits } from './support/window.ts';

/** Output shape for x and w at the given inputs; every disagreement is a mismatch. */
function convShape(context: InferContext, ix: number, iw: number): readonly Dim[] {
  const x = required(context, ix).shape;
  const w = required(context, iw).shape;
  if (x.length < 3) context.mismatch({ input: ix, expected: 'rank 3 or more', found: printShape(x) });
  if (w.length !== x.length) context.mismatch({ input: iw, expected: `rank ${x.length}`, found: printShape(w) });
  const taps = w.slice(2);
  const kernel = context.attrs.has('kernel_shape') ? context.attrs.ints('kernel_shape') : knownDims(taps);
  if (kernel === undefined) {
    return context.mismatch({ input: iw, expected: 'a kernel of known extents', found: printShape(w) });
  }
  const window = windowAttrs(context.attrs, kernel);
  const differs = window.kernel.some((n, d) => !mayEqual(n, taps[d]));
  const fault = windowFault(window, taps.length) ?? (differs ? `kernel_shape [${kernel}]` : undefined);
  if (fault) context.mismatch({ input: iw, expected: `attributes that fit a kernel ${printShape(w)}`, found: fault });
  const groups = context.attrs.int('group', 1);
  const channels = x[1];
  if (isKnown(channels) && isKnown(w[1]) && channels !== w[1] * groups) {
    context.mismatch({ input: iw, expected: `${channels} / ${groups} channels`, found: printShape(w) });
  }
  if (isKnown(w[0]) && w[0] % groups !== 0)
    context.mismatch({ input: iw, expected: `filters divisible by ${groups}`, found: printShape(w) });
  const spatial = x.slice(2).map((extent, d) => {
    if (!windowFits(window, d, extent)) {
      context.mismatch({
        input: ix,
        expected: `padded dim ${d + 2} to hold the kernel ${printShape(w)}`,
        found: printShape(x),
      });
    }
    return outputExtent(window, d, extent, (hint) => context.fresh(hint));
  });
  return [x[0], w[0], ...spatial];
}

function expectBias(context: InferContext, input: number, filters: Dim): void {
  const bias = context.inputs[input];
  if (bias && (bias.shape.length !== 1 || !mayEqual(bias.shape[0], filters))) {
    context.mismatch({ input, expected: printShape([filters]), found: printShape(bias.shape) });
  }
}

/** The convolution in the type `dtype`, with a bias per filter. */
function runConv(context: RunContext, x: Tensor, w: Tensor, dtype: DType, bias?: TensorData): Tensor {
  const window = windowAttrs(context.attrs, w.shape.slice(2));
  const { data, shape } = convolve(x, w, context.attrs.int('group', 1), window, dtype);
  if (bias) {
    const pixels = data.length / Math.max(1, shape[0] * shape[1]);
    for (let row = 0; row < shape[0] * shape[1]; row++) {
      const b = bias[row % shape[1]];
      for (let i = row * pixels; i < (row + 1) * pixels; i++) data[i] += b;
    }
  }
  return tensor(dtype, shape, data);
}

const conv = defineOp({
  domain: '',
  name: 'Conv',
  since: [1, 11, 22],
  trait: 'compute',
  infer(context) {
    const dtype = commonDtype(context);
    const shape = convShape(context, 0, 1);
    expectBias(context, 2, shape[1]);
    return { types: [{ dtype, shape }] };
  },
  run(context) {
    const x = operand(context, 0);
    const wide = x.dtype === 'f64' ? 'f64' : 'f32'; // narrow floats round once, after the bias
    const out = runConv(context, x, operand(context, 1), wide, context.inputs[2]?.data);
    return [{ ...out, dtype: x.dtype, data: stored(x.dtype, out.data) }];
  },
});

const convInteger = defineOp({
  domain: '',
  name: 'ConvInteger',
  since: [10],
  trait: 'compute',
  infer(context) {
    for (const i of [0, 1]) expectDtype(context, i, ['u8', 'i8']);
    return { types: [{ dtype: 'i32', shape: convShape(context, 0, 1) }] };
  },
  run(context) {
    const [x, w] = [operand(context, 0), operand(context, 1)];
    return [runConv(context, shifted(x, context.inputs[2], 1), shifted(w, context.inputs[3], 0), 'i32')];
  },
});

/** Inputs: x, its scale and zero point, w, its scale and zero point, those of y, bias (i32, in units of x times w). */
const qlinearConv = defineOp({
  domain: '',
  name: 'QLinearConv',
  since: [10],
  trait: 'compute',
  infer(context) {
    const { dtype } = required(context, 7);
    const shape = convShape(context, 0, 3);
    expectBias(context, 8, shape[1]);
    return { types: [{ dtype, shape }] };
  },
  run(context) {
    const [x, xs, xz, w, ws, wz, ys, yz] = [0, 1, 2, 3, 4, 5, 6, 7].map((i) => operand(context, i));
    const acc = runConv(context, shifted(x, xz, 1), shifted(w, wz, 0), 'i32', context.inputs[8]?.data);
    const out = allocate(yz.dtype, acc.data.length);
    const channels = acc.shape[1];
    const pixels = acc.data.length / Math.max(1, acc.shape[0] * channels);
    const round = requantize(yz.dtype, yz.data[0]);
    for (let i = 0; i < out.length; i++) {
      const filter = Math.floor(i / pixels) % channels;
      const scale = (xs.data[0] * ws.data[ws.data.length === 1 ? 0 : filter]) / ys.data[0];
      out[i] = round(acc.data[i] * scale);
    }
    return [tensor(yz.dtype, acc.shape, out)];
  },
});

export const ops: readonly OpDef[] = [conv, convInteger, qlinearConv];
