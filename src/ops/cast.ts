/** Cast and CastLike between all element types. */
import { type DType, isFloat } from '../ir/types.ts';
import { dtypeOfCode } from '../onnx/dtype-codes.ts';
import { roundTo } from '../tensor/pack.ts';
import { allocate, type Tensor, type TensorData, tensor } from '../tensor/tensor.ts';
import { type AttrReader, defineOp, type InferContext, type OpDef } from './op.ts';
import { operand, required, stored } from './support/elementwise.ts';
import { badValue } from './support/fault.ts';
import { scaleRounder } from './support/mini-float.ts';
import { foldUnary, type Values } from './support/values.ts';

interface CastOptions {
  /** Overflow of the 8-bit floats: to the largest value, or to NaN or infinity. */
  readonly saturate: boolean;
  /** For f8e8m0. */
  readonly roundMode: string;
  /**
   * Before 24 the reference clamped floats that are out of range of a 4-bit type, NaN to the largest f4e2m1;
   * from then on 4-bit integers wrap and NaN is 0.
   */
  readonly clampNibbles: boolean;
}

const castOptions = ({ attrs, version }: { attrs: AttrReader; version: number }): CastOptions => ({
  saturate: attrs.int('saturate', 1) === 1,
  roundMode: attrs.string('round_mode', 'up'),
  clampNibbles: version < 24,
});

const DEFAULTS: CastOptions = { saturate: true, roundMode: 'up', clampNibbles: false };

/** `x` as `dtype`: floats round to nearest even, float to integer truncates, integer to integer wraps, bool is x != 0. */
export function castTensor(x: Tensor, dtype: DType, options = DEFAULTS): Tensor {
  if (x.dtype === dtype) return x;
  if (dtype === 'string')
    return { dtype, shape: x.shape, data: new Uint8Array(0), strings: Array.from(x.data, printer(x.dtype)) };
  const source = x.strings === undefined ? x.data : Float64Array.from(x.strings, parseNumber);
  return tensor(dtype, x.shape, castData(source, isFloat(x.dtype) || x.strings !== undefined, dtype, options));
}

function castData(source: TensorData, fromFloat: boolean, dtype: DType, options: CastOptions): TensorData {
  const out = allocate(dtype, source.length);
  if (dtype === 'bool') {
    for (let i = 0; i < out.length; i++) out[i] = source[i] !== 0 ? 1 : 0;
  } else if (dtype === 'i64' || dtype === 'u64') {
    if (!fromFloat) out.set(source);
    else for (let i = 0; i < out.length; i++) out[i] = truncate64(source[i], dtype);
    return stored(dtype, out);
  } else if (dtype === 'f8e8m0') {
    const round = scaleRounder(options.roundMode, options.saturate);
    for (let i = 0; i < out.length; i++) out[i] = round(source[i]);
  } else {
    out.set(source); // typed arrays truncate floats and wrap integers as Cast does
    if (dtype === 'f4e2m1' && !options.clampNibbles)
      for (let i = 0; i < out.length; i++) if (out[i] !== out[i]) out[i] = 0;
    if (out instanceof Float32Array) return roundTo(dtype, out, options.saturate);
    if (fromFloat && options.clampNibbles && (dtype === 'i4' || dtype === 'u4')) {
      const [low, high] = dtype === 'i4' ? [-8, 7] : [0, 15];
      for (let i = 0; i < out.length; i++) out[i] = Math.min(high, Math.max(low, source[i]));
    }
    wrapSubByte(dtype, out);
  }
  return out;
}

/** Out of range is undefined in ONNX; the nearest integer that fits is the least surprise. */
function truncate64(v: number, dtype: 'i64' | 'u64'): number {
  if (v !== v) return 0;
  const [low, high] = dtype === 'i64' ? [-(2 ** 63), 2 ** 63] : [0, 2 ** 64];
  return Math.min(high, Math.max(low, Math.trunc(v))) + 0;
}

/** Keeps the low 2 or 4 bits, sign-extended for i2 and i4. In place. */
export function wrapSubByte(dtype: DType, data: TensorData): void {
  const bits = dtype === 'i4' || dtype === 'u4' ? 4 : dtype === 'i2' || dtype === 'u2' ? 2 : 0;
  if (bits === 0) return;
  const shift = 32 - bits;
  if (dtype.startsWith('i')) for (let i = 0; i < data.length; i++) data[i] = (data[i] << shift) >> shift;
  else for (let i = 0; i < data.length; i++) data[i] = (data[i] << shift) >>> shift;
}

/** The shortest decimal that reads back as the same value of the type. */
function printer(dtype: DType): (v: number) => string {
  return (v) => {
    if (v !== v) return 'NaN';
    if (Math.abs(v) === Number.POSITIVE_INFINITY) return v > 0 ? 'INF' : '-INF';
    if (!isFloat(dtype) || dtype === 'f64') return String(v);
    const digits = dtype === 'f32' ? 9 : 5;
    for (let p = 1; p < digits; p++) {
      const text = v.toPrecision(p);
      const back = new Float32Array([Number(text)]);
      if ((dtype === 'f32' ? back : roundTo(dtype, back))[0] === v) return String(Number(text));
    }
    return String(Number(v.toPrecision(digits)));
  };
}

function parseNumber(text: string): number {
  const clean = text.trim().toLowerCase();
  const named = /^([+-]?)(?:inf|infinity)$/.exec(clean);
  if (named) return named[1] === '-' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  if (clean === 'nan') return Number.NaN;
  const value = clean === '' ? Number.NaN : Number(clean);
  return value === value ? value : badValue('Cast', `${JSON.stringify(text)} is not a number`);
}

/** Integer values survive casts among integers; a bool result is known where the value is a number. */
function castValues(context: InferContext, from: DType, to: DType): Values {
  if (isFloat(from) || isFloat(to) || from === 'string' || to === 'string') return undefined;
  return foldUnary(context, (d) => (to !== 'bool' ? d : typeof d === 'number' ? Number(d !== 0) : undefined));
}

function targetType(context: Pick<InferContext, 'attrs' | 'mismatch'>): DType {
  const code = context.attrs.int('to');
  return (
    dtypeOfCode(code) ??
    context.mismatch({ expected: 'a supported element type in attribute to', found: `code ${code}` })
  );
}

const cast = defineOp({
  domain: '',
  name: 'Cast',
  since: [6, 9, 13, 19, 21, 23, 24, 25],
  trait: 'elementwise',
  infer(context) {
    const { dtype: from, shape } = required(context, 0);
    const dtype = targetType(context);
    return { types: [{ dtype, shape }], values: [castValues(context, from, dtype)] };
  },
  run(context) {
    const dtype = dtypeOfCode(context.attrs.int('to'));
    if (dtype === undefined) throw new RangeError('attribute to is not an element type');
    return [castTensor(operand(context, 0), dtype, castOptions(context))];
  },
});

const castLike = defineOp({
  domain: '',
  name: 'CastLike',
  since: [15, 19, 21, 23, 24, 25],
  trait: 'elementwise',
  infer(context) {
    const { dtype: from, shape } = required(context, 0);
    const { dtype } = required(context, 1);
    return { types: [{ dtype, shape }], values: [castValues(context, from, dtype)] };
  },
  run: (context) => [castTensor(operand(context, 0), operand(context, 1).dtype, castOptions(context))],
});

export const ops: readonly OpDef[] = [cast, castLike];
