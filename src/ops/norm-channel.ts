/** Normalizations of (batch, channel, ...) tensors: BatchNormalization, InstanceNormalization, GroupNormalization. */
import type { Dim } from '../ir/dim.ts';
import { allocate, type Tensor, type TensorData, tensor } from '../tensor/tensor.ts';
import { defineOp, type InferContext, type OpDef, type RunContext } from './op.ts';
import { mayEqual, printShape } from './support/axes.ts';
import { operand, required, stored } from './support/elementwise.ts';
import { unsupported } from './support/fault.ts';
import { moments } from './norm.ts';

/** Channel count of input 0, which must have a channel dim. */
function channelsOf(context: InferContext): Dim {
  const { shape } = required(context, 0);
  if (shape.length < 2) context.mismatch({ input: 0, expected: 'rank 2 or more', found: printShape(shape) });
  return shape[1];
}

function expectVectors(context: InferContext, inputs: readonly number[], extent: Dim): void {
  for (const i of inputs) {
    const { shape } = required(context, i);
    if (shape.length !== 1 || !mayEqual(shape[0], extent)) {
      context.mismatch({ input: i, expected: printShape([extent]), found: printShape(shape) });
    }
  }
}

/** Calls `visit` for each (batch, channel) with the offset of its first element; the elements are contiguous. */
function eachChannel(x: Tensor, visit: (base: number, channel: number, size: number) => void): void {
  const [batch, channels] = x.shape;
  const size = x.data.length / Math.max(1, batch * channels);
  for (let b = 0; b < batch; b++) for (let c = 0; c < channels; c++) visit((b * channels + c) * size, c, size);
}

/** y = x * scale + shift for `n` elements. */
function affine(out: TensorData, x: TensorData, base: number, n: number, scale: number, shift: number): void {
  for (let i = base; i < base + n; i++) out[i] = x[i] * scale + shift;
}

const isTraining = ({ version, attrs, outputCount }: InferContext | RunContext): boolean =>
  version >= 14 ? attrs.int('training_mode', 0) === 1 : outputCount > 1;

const batchNorm = defineOp({
  domain: '',
  name: 'BatchNormalization',
  since: [7, 9, 14, 15],
  trait: 'compute',
  infer(context) {
    const x = required(context, 0);
    if (isTraining(context) && context.version < 14) unsupported('BatchNormalization', 'training mode before opset 14');
    if (context.version < 9 && context.attrs.int('spatial', 1) === 0) unsupported('BatchNormalization', 'spatial = 0');
    expectVectors(context, [1, 2, 3, 4], channelsOf(context));
    return { types: [x, required(context, 3), required(context, 4)].slice(0, isTraining(context) ? 3 : 1) };
  },
  run(context) {
    const x = operand(context, 0);
    const [scale, bias, mean, variance] = [1, 2, 3, 4].map((i) => operand(context, i));
    const epsilon = context.attrs.float('epsilon', 1e-5);
    const out = allocate(x.dtype, x.data.length);
    const batch = isTraining(context) ? momentsOf(x) : undefined;
    const used = batch ?? { mean: mean.data, variance: variance.data };
    eachChannel(x, (base, c, n) => {
      const factor = scale.data[c] / Math.sqrt(used.variance[c] + epsilon);
      affine(out, x.data, base, n, factor, bias.data[c] - used.mean[c] * factor);
    });
    const y = tensor(x.dtype, x.shape, stored(x.dtype, out));
    if (batch === undefined) return [y];
    const momentum = context.attrs.float('momentum', 0.9);
    const running = (old: Tensor, now: Float64Array): Tensor =>
      tensor(
        old.dtype,
        old.shape,
        stored(
          old.dtype,
          allocate(old.dtype, now.length).map((_, c) => old.data[c] * momentum + now[c] * (1 - momentum)),
        ),
      );
    return [y, running(mean, batch.mean), running(variance, batch.variance)];
  },
});

/** Mean and population variance of each channel over the batch. */
function momentsOf(x: Tensor): { readonly mean: Float64Array; readonly variance: Float64Array } {
  const channels = x.shape[1];
  const [mean, variance] = [new Float64Array(channels), new Float64Array(channels)];
  const count = x.data.length / Math.max(1, channels);
  eachChannel(x, (base, c, n) => {
    for (let i = base; i < base + n; i++) mean[c] += x.data[i] / count;
  });
  eachChannel(x, (base, c, n) => {
    for (let i = base; i < base + n; i++) variance[c] += (x.data[i] - mean[c]) ** 2 / count;
  });
  return { mean, variance };
}

const instanceNorm = defineOp({
  domain: '',
  name: 'InstanceNormalization',
  since: [6, 22],
  trait: 'compute',
  infer(context) {
    expectVectors(context, [1, 2], channelsOf(context));
    return { types: [required(context, 0)] };
  },
  run(context) {
    const [x, scale, bias] = [0, 1, 2].map((i) => operand(context, i));
    const epsilon = context.attrs.float('epsilon', 1e-5);
    const out = allocate(x.dtype, x.data.length);
    eachChannel(x, (base, c, n) => {
      const { mean, variance } = moments(x, base, 1, n);
      const factor = scale.data[c] / Math.sqrt(variance + epsilon);
      affine(out, x.data, base, n, factor, bias.data[c] - mean * factor);
    });
    return [tensor(x.dtype, x.shape, stored(x.dtype, out))];
  },
});

/** Scale and bias are per group before 21, per channel from then on. */
const groupNorm = defineOp({
  domain: '',
  name: 'GroupNormalization',
  since: [18, 21],
  trait: 'compute',
  infer(context) {
    const channels = channelsOf(context);
    const groups = context.attrs.int('num_groups');
    if (groups < 1 || (typeof channels === 'number' && channels % groups !== 0)) {
      context.mismatch({
        input: 0,
        expected: `channels divisible by num_groups = ${groups}`,
        found: printShape([channels]),
      });
    }
    expectVectors(context, [1, 2], context.version < 21 ? groups : channels);
    return { types: [required(context, 0)] };
  },
  run(context) {
    const [x, scale, bias] = [0, 1, 2].map((i) => operand(context, i));
    const groups = context.attrs.int('num_groups');
    const epsilon = context.attrs.float('epsilon', 1e-5);
    const perGroup = x.shape[1] / groups;
    const out = allocate(x.dtype, x.data.length);
    let factor = 0;
    let center = 0;
    eachChannel(x, (base, c, n) => {
      if (c % perGroup === 0) {
        const { mean, variance } = moments(x, base, 1, n * perGroup);
        factor = 1 / Math.sqrt(variance + epsilon);
        center = mean;
      }
      const at = context.version < 21 ? Math.floor(c / perGroup) : c;
      affine(out, x.data, base, n, factor * scale.data[at], bias.data[at] - center * factor * scale.data[at]);
    });
    return [tensor(x.dtype, x.shape, stored(x.dtype, out))];
  },
});

export const ops: readonly OpDef[] = [batchNorm, instanceNorm, groupNorm];
