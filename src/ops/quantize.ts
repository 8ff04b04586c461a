/** QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear. */
import type { Dim } from '../ir/dim.ts';
import { type DType, isFloat } from '../ir/types.ts';
import { dtypeOfCode } from '../onnx/dtype-codes.ts';
import { roundTo } from '../tensor/pack.ts';
import { allocate, fromNumbers, type Tensor, type TensorData, tensor } from '../tensor/tensor.ts';
import { defineOp, type InferContext, type OpDef, type RunContext } from './op.ts';
import { mayEqual, normalAxis, printShape } from './support/axes.ts';
import { expectDtype, operand, required, stored } from './support/elementwise.ts';
import { eachScaleRun, requantize, type ScaleLayout } from './support/quant.ts';
import { roundEven } from './support/special.ts';

const SINCE = [10, 13, 19, 21, 23, 24, 25];

/** A single scale has no axis; before 13 there is no other form. */
function layoutOf({ attrs }: Pick<RunContext, 'attrs'>, rank: number, scaleRank: number, single: boolean): ScaleLayout {
  const block = attrs.int('block_size', 0);
  if (scaleRank === 0 || (single && block === 0)) return { axis: 0, block: 0 };
  return { axis: normalAxis(attrs.int('axis', 1), rank), block };
}

/** Requires scale (input 1) and zero point (input 2) to lie over x in one of the three layouts. */
function checkScale(context: InferContext): void {
  const x = required(context, 0).shape;
  const scale = required(context, 1).shape;
  const wrong = (input: number, expected: string, found: readonly Dim[]) =>
    context.mismatch({ input, expected, found: printShape(found) });
  const zero = context.inputs[2]?.shape;
  const single = (shape: readonly Dim[]) => shape.every((d) => d === 1); // [] and [1] mean the same
  const matches = (z: readonly Dim[]) => z.length === scale.length && z.every((d, i) => mayEqual(d, scale[i]));
  if (zero && !matches(zero) && !(single(zero) && single(scale))) {
    wrong(2, `the shape of the scale, ${printShape(scale)}`, zero);
  }
  const block = context.attrs.int('block_size', 0);
  if (scale.length === 0 || (block === 0 && scale.length === 1 && scale[0] === 1)) return;
  const axis = normalAxis(context.attrs.int('axis', 1), x.length, context);
  if (block === 0) {
    if (scale.length !== 1) wrong(1, 'a scalar or a vector', scale);
    if (!mayEqual(scale[0], x[axis]))
      wrong(1, `one scale for each of the ${printShape([x[axis]])} of axis ${axis}`, scale);
    return;
  }
  const expected = x.map((d, i) => (i !== axis ? d : typeof d === 'number' ? Math.ceil(d / block) : scale[axis]));
  if (scale.length !== x.length || !scale.every((d, i) => mayEqual(d, expected[i]))) {
    wrong(1, `${printShape(expected)} for blocks of ${block}`, scale);
  }
}

/** The element type that an attribute names; undefined where it names none that codes and values can have. */
function attrDtype(context: Pick<RunContext, 'attrs'>, name: string): DType | undefined {
  const dtype = dtypeOfCode(context.attrs.int(name, 0));
  return dtype === 'bool' || dtype === 'string' ? undefined : dtype;
}

const quantizeLinear = defineOp({
  domain: '',
  name: 'QuantizeLinear',
  since: SINCE,
  trait: 'elementwise',
  infer(context) {
    checkScale(context);
    const dtype = context.inputs[2]?.dtype ?? attrDtype(context, 'output_dtype') ?? 'u8';
    return { types: [{ dtype, shape: required(context, 0).shape }] };
  },
  run(context) {
    const [x, scale] = [operand(context, 0), operand(context, 1)];
    const zero = context.inputs[2];
    const dtype = zero?.dtype ?? attrDtype(context, 'output_dtype') ?? 'u8';
    const quotients = quotient(x, scale, context);
    if (isFloat(dtype)) {
      return [tensor(dtype, x.shape, roundTo(dtype, quotients, context.attrs.int('saturate', 1) === 1))];
    }
    const out = allocate(dtype, x.data.length);
    const layout = layoutOf(context, x.shape.length, scale.shape.length, scale.data.length === 1);
    eachScaleRun(x.shape, scale.shape, layout, (base, n, at, step) => {
      const same = step === 0 ? requantize(dtype, zero ? zero.data[at] : 0) : undefined;
      for (let i = 0; i < n; i++) {
        const round = same ?? requantize(dtype, zero ? zero.data[at + i] : 0);
        out[base + i] = round(quotients[base + i]);
      }
    });
    return [tensor(dtype, x.shape, out)];
  },
});

/** x / scale, divided in f32; from 23 on in the type that `precision` names, which is that of the scale by default. */
function quotient(x: Tensor, scale: Tensor, context: RunContext): Float32Array {
  const out = new Float32Array(x.data.length);
  const layout = layoutOf(context, x.shape.length, scale.shape.length, scale.data.length === 1);
  eachScaleRun(x.shape, scale.shape, layout, (base, n, at, step) => {
    for (let i = 0; i < n; i++) out[base + i] = x.data[base + i] / scale.data[at + i * step];
  });
  if (context.version < 23) return out;
  return roundTo(attrDtype(context, 'precision') ?? scale.dtype, out);
}

const dequantizeLinear = defineOp({
  domain: '',
  name: 'DequantizeLinear',
  since: SINCE,
  trait: 'elementwise',
  infer(context) {
    checkScale(context);
    const x = required(context, 0);
    if (context.inputs[2]) expectDtype(context, 2, [x.dtype]);
    const dtype = attrDtype(context, 'output_dtype') ?? required(context, 1).dtype;
    return { types: [{ dtype, shape: x.shape }] };
  },
  run(context) {
    const [x, scale] = [operand(context, 0), operand(context, 1)];
    const zero = context.inputs[2]?.data;
    const dtype = attrDtype(context, 'output_dtype') ?? scale.dtype;
    const out = allocate(dtype, x.data.length);
    const layout = layoutOf(context, x.shape.length, scale.shape.length, scale.data.length === 1);
    eachScaleRun(x.shape, scale.shape, layout, (base, n, at, step) =>
      dequantizeRun(out, x.data, base, n, scale.data, zero, at, step),
    );
    return [tensor(dtype, x.shape, stored(dtype, out))];
  },
});

function dequantizeRun(
  out: TensorData,
  x: TensorData,
  base: number,
  n: number,
  scale: TensorData,
  zero: TensorData | undefined,
  at: number,
  step: number,
): void {
  if (zero) {
    for (let i = 0, s = at; i < n; i++, s += step) out[base + i] = (x[base + i] - zero[s]) * scale[s];
  } else {
    for (let i = 0, s = at; i < n; i++, s += step) out[base + i] = x[base + i] * scale[s];
  }
}

/** To u8 over the range of x, which is widened to contain 0; every step in f32, as the definition has it. */
const dynamicQuantizeLinear = defineOp({
  domain: '',
  name: 'DynamicQuantizeLinear',
  since: [11],
  trait: 'compute',
  infer(context) {
    expectDtype(context, 0, ['f32']);
    const { shape } = required(context, 0);
    return {
      types: [
        { dtype: 'u8' as const, shape },
        { dtype: 'f32' as const, shape: [] },
        { dtype: 'u8' as const, shape: [] },
      ].slice(0, context.outputCount),
    };
  },
  run(context) {
    const { data, shape } = operand(context, 0);
    let min = 0;
    let max = 0;
    for (let i = 0; i < data.length; i++) {
      if (data[i] < min) min = data[i];
      if (data[i] > max) max = data[i];
    }
    const range = Math.fround(max - min);
    const scale = range === 0 ? 1 : Math.fround(range / 255);
    const zero = roundEven(Math.min(255, Math.max(0, Math.fround(-min / scale))));
    const out = allocate('u8', data.length);
    const round = requantize('u8', zero);
    for (let i = 0; i < out.length; i++) out[i] = round(Math.fround(data[i] / scale));
    return [tensor('u8', shape, out), fromNumbers('f32', [], [scale]), fromNumbers('u8', [], [zero])].slice(
      0,
      context.outputCount,
    );
  },
});

export const ops: readonly OpDef[] = [quantizeLinear, dequantizeLinear, dynamicQuantizeLinear];
