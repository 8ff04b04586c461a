/** Activation functions, the softmax family and Dropout. */
import { tensor, zeros } from '../tensor/tensor.ts';
import { type AttrReader, defineOp, type OpDef } from './op.ts';
import { normalAxis } from './support/axes.ts';
import { operand, required, stored, unaryOp } from './support/elementwise.ts';
import { unsupported } from './support/fault.ts';
import { mersenne } from './support/mersenne.ts';
import { hardmaxInto, type Lanes, softmaxInto } from './support/softmax.ts';
import { gelu, geluTanh, sigmoid, softplus } from './support/special.ts';
import { allocate } from '../tensor/tensor.ts';

const activation = (name: string, since: readonly number[], f: (attrs: AttrReader) => (x: number) => number): OpDef =>
  unaryOp({ name, since, f: ({ attrs }) => f(attrs) });

const relu: OpDef = activation('Relu', [6, 13, 14], () => (x) => (x < 0 ? 0 : x));

const leakyRelu = activation('LeakyRelu', [6, 16], (attrs) => {
  const alpha = attrs.float('alpha', 0.01);
  return (x) => (x < 0 ? alpha * x : x);
});
const elu = activation('Elu', [6, 22], (attrs) => {
  const alpha = attrs.float('alpha', 1);
  return (x) => (x < 0 ? alpha * Math.expm1(x) : x);
});
const selu = activation('Selu', [6, 22], (attrs) => {
  const alpha = attrs.float('alpha', 1.6732632423543772);
  const gamma = attrs.float('gamma', 1.0507009873554805);
  return (x) => gamma * (x > 0 ? x : alpha * Math.expm1(x));
});
const celu = activation('Celu', [12], (attrs) => {
  const alpha = attrs.float('alpha', 1);
  return (x) => Math.max(0, x) + Math.min(0, alpha * Math.expm1(x / alpha));
});
const thresholdedRelu = activation('ThresholdedRelu', [10, 22], (attrs) => {
  const alpha = attrs.float('alpha', 1);
  return (x) => (x > alpha ? x : 0);
});
const hardSigmoid = activation('HardSigmoid', [6, 22], (attrs) => {
  const alpha = attrs.float('alpha', 0.2);
  const beta = attrs.float('beta', 0.5);
  return (x) => Math.max(0, Math.min(1, alpha * x + beta));
});
const geluOp = activation('Gelu', [20], (attrs) => {
  const approximate = attrs.string('approximate', 'none');
  if (approximate === 'none') return gelu;
  return approximate === 'tanh' ? geluTanh : unsupported('Gelu', `approximate = ${approximate}`);
});
const swish = activation('Swish', [24], (attrs) => {
  const alpha = attrs.float('alpha', 1);
  return (x) => x * sigmoid(alpha * x);
});
const shrink = activation('Shrink', [9], (attrs) => {
  const lambd = attrs.float('lambd', 0.5);
  const bias = attrs.float('bias', 0);
  return (x) => (x < -lambd ? x + bias : x > lambd ? x - bias : 0);
});

/** Before 13 the shape is flattened to two dims at `axis` and a lane is a whole row of that. */
const softmaxLike = (
  name: string,
  into: (out: Float32Array | Float64Array, x: ArrayLike<number>, lanes: Lanes) => void,
): OpDef =>
  defineOp({
    domain: '',
    name,
    since: [1, 11, 13],
    trait: 'compute',
    infer(context) {
      const type = required(context, 0);
      normalAxis(context.attrs.int('axis', context.version < 13 ? 1 : -1), Math.max(1, type.shape.length), context);
      return { types: [type] };
    },
    run(context) {
      const { dtype, shape, data } = operand(context, 0);
      const axis = normalAxis(context.attrs.int('axis', context.version < 13 ? 1 : -1), Math.max(1, shape.length));
      const outer = shape.slice(0, axis).reduce((a, b) => a * b, 1);
      const count = data.length;
      const extent = context.version < 13 ? count / outer : (shape[axis] ?? 1);
      const out = allocate(dtype, count);
      if (!(out instanceof Float32Array || out instanceof Float64Array)) throw new TypeError(`${name} of ${dtype}`);
      if (count > 0) into(out, data, { outer, extent, inner: count / outer / extent });
      return [tensor(dtype, shape, stored(dtype, out))];
    },
  });

/** In inference the data as it is, and a mask of ones; in training a mask drawn from the seed (0 where none is given). */
const dropout = defineOp({
  domain: '',
  name: 'Dropout',
  since: [7, 10, 12, 13, 22],
  trait: 'elementwise',
  infer(context) {
    const type = required(context, 0);
    const mask = context.version < 10 ? type : { dtype: 'bool' as const, shape: type.shape };
    return { types: [type, mask].slice(0, context.outputCount), values: [context.valueOf(0)] };
  },
  run({ attrs, inputs, outputCount, version }) {
    const [x, ratio, training] = inputs;
    if (x === undefined) throw new RangeError('input 0 is missing');
    const mask = zeros(version < 10 ? x.dtype : 'bool', x.shape);
    mask.data.fill(1);
    const dropped = version >= 12 && training?.data[0] === 1 ? (ratio?.data[0] ?? 0.5) : 0;
    if (dropped === 0) return [x, mask].slice(0, outputCount);
    const next = mersenne(attrs.int('seed', 0));
    for (let i = 0; i < mask.data.length; i++) mask.data[i] = next() >= dropped ? 1 : 0;
    const out = allocate(x.dtype, x.data.length);
    for (let i = 0; i < out.length; i++) out[i] = (mask.data[i] * x.data[i]) / (1 - dropped);
    return [tensor(x.dtype, x.shape, stored(x.dtype, out)), mask].slice(0, outputCount);
  },
});

export const ops: readonly OpDef[] = [
  relu,
  leakyRelu,
  elu,
  selu,
  celu,
  thresholdedRelu,
  hardSigmoid,
  geluOp,
  swish,
  shrink,
  activation('Sigmoid', [6, 13], () => sigmoid),
  activation('HardSwish', [14, 22], () => (x) => x * Math.max(0, Math.min(1, x / 6 + 0.5))),
  activation('Softplus', [1, 22], () => softplus),
  activation('Softsign', [1, 22], () => (x) => x / (1 + Math.abs(x))),
  activation('Tanh', [6, 13], () => Math.tanh),
  activation('Mish', [18, 22], () => (x) => x * Math.tanh(softplus(x))),
  softmaxLike('Softmax', (out, x, lanes) => softmaxInto(out, x, lanes)),
  softmaxLike('LogSoftmax', (out, x, lanes) => softmaxInto(out, x, lanes, true)),
  softmaxLike('Hardmax', hardmaxInto),
  dropout,
];
