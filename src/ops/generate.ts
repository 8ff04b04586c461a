/** Ops that make tensors from shapes and numbers: Shape, Size, Constant, ConstantOfShape, Range, EyeLike. */
import { bytesSource, type Constant, denseConstant, elementCount } from '../ir/constant.ts';
import { addDims, type Dim, isKnown, mulDims, productOf, subDims } from '../ir/dim.ts';
import type { DType, TensorType } from '../ir/types.ts';
import { dtypeOfCode } from '../onnx/dtype-codes.ts';
import { readConstant } from '../tensor/read.ts';
import { allocate, fromNumbers, sizeOf, type Tensor, tensor, zeros } from '../tensor/tensor.ts';
import { type AttrReader, defineOp, type InferContext, type Inferred, type RunContext } from './op.ts';
import { knownDims, printShape } from './support/axes.ts';
import { stored } from './support/elementwise.ts';
import { badValue, unsupported } from './support/fault.ts';
import { lengthOf, numbersAt, tensorAt, typeAt } from './support/inputs.ts';

const isInteger = (dtype: DType): boolean => /^[iu]\d/.test(dtype) || dtype === 'bool';
/** More elements than this are data, not shape code. */
const MOST_VALUES = 1024;

const shape = defineOp({
  domain: '',
  name: 'Shape',
  since: [1, 13, 15, 19, 21, 23, 24],
  trait: 'source',
  infer(context) {
    const dims = shapeRange(context, typeAt(context, 0).shape);
    return { types: [{ dtype: 'i64', shape: [dims.length] }], values: [dims] };
  },
  run(context) {
    const dims = shapeRange(context, tensorAt(context, 0).shape);
    return [fromNumbers('i64', [dims.length], dims)];
  },
});

/** Dims from `start` to `end` (version 15), both clamped, negative ones from the back: what Array.slice does. */
const shapeRange = <D extends Dim>(context: { readonly attrs: AttrReader }, dims: readonly D[]): readonly D[] =>
  dims.slice(context.attrs.int('start', 0), context.attrs.int('end', dims.length));

const size = defineOp({
  domain: '',
  name: 'Size',
  since: [1, 13, 19, 21, 23, 24],
  trait: 'source',
  infer: (context) => ({ types: [{ dtype: 'i64', shape: [] }], values: [[productOf(typeAt(context, 0).shape)]] }),
  run: (context) => [fromNumbers('i64', [], [sizeOf(tensorAt(context, 0).shape)])],
});

/** The tensor of a Constant node, whichever of its attributes holds it. */
function constantValue(attrs: AttrReader): Constant | Tensor {
  if (attrs.has('value')) return attrs.tensor('value');
  if (attrs.has('value_float')) return fromNumbers('f32', [], [attrs.float('value_float')]);
  if (attrs.has('value_int')) return fromNumbers('i64', [], [attrs.int('value_int')]);
  if (attrs.has('value_floats')) return listOf('f32', attrs.floats('value_floats'));
  if (attrs.has('value_ints')) return listOf('i64', attrs.ints('value_ints'));
  if (attrs.has('value_string')) return stringTensor([], [attrs.string('value_string')]);
  if (attrs.has('value_strings')) {
    const strings = attrs.strings('value_strings');
    return stringTensor([strings.length], strings);
  }
  return unsupported('Constant', `expected one of the value attributes, found ${Object.keys(attrs.raw).join(', ')}`);
}

const listOf = (dtype: DType, values: readonly number[]): Tensor => fromNumbers(dtype, [values.length], values);
const stringTensor = (dims: readonly number[], strings: readonly string[]): Tensor => ({
  dtype: 'string',
  shape: dims,
  data: allocate('string', 0),
  strings,
});

const constant = defineOp({
  domain: '',
  name: 'Constant',
  since: [1, 9, 11, 12, 13, 19, 21, 23, 24],
  trait: 'source',
  infer(context) {
    const value = constantValue(context.attrs);
    const types = [{ dtype: value.dtype, shape: value.shape }];
    if (!isInteger(value.dtype) || elementCount(value.shape) > MOST_VALUES) return { types };
    return { types, values: [Array.from(('data' in value ? value : readConstant(value)).data)] };
  },
  run(context) {
    const value = constantValue(context.attrs);
    return ['data' in value ? value : readConstant(value)];
  },
});

const ZERO = denseConstant('f32', [1], bytesSource('ConstantOfShape.value', new Uint8Array(4)));
const fillOf = (attrs: AttrReader): Tensor => readConstant(attrs.has('value') ? attrs.tensor('value') : ZERO);

const constantOfShape = defineOp({
  domain: '',
  name: 'ConstantOfShape',
  since: [9, 20, 21, 23, 24],
  trait: 'source',
  infer(context: InferContext) {
    const fill = fillOf(context.attrs);
    const rank = lengthOf(context, 0);
    if (rank === undefined)
      context.mismatch({ input: 0, expected: 'a shape of known length', found: 'a symbolic one' });
    const dims = context.valueOf(0) ?? Array.from({ length: rank }, () => context.fresh('filled'));
    if (dims.some((d) => isKnown(d) && d < 0))
      context.mismatch({ input: 0, expected: 'dims of at least 0', found: printShape(dims) });
    const types: TensorType[] = [{ dtype: fill.dtype, shape: dims }];
    const known = knownDims(dims);
    if (known === undefined || !isInteger(fill.dtype) || sizeOf(known) > MOST_VALUES) return { types };
    return { types, values: [new Array<Dim>(sizeOf(known)).fill(fill.data[0])] };
  },
  run(context) {
    const fill = fillOf(context.attrs);
    const dims = numbersAt(context, 0) ?? [];
    const out = zeros(fill.dtype, dims);
    if (fill.strings) return [stringTensor(dims, new Array<string>(sizeOf(dims)).fill(fill.strings[0]))];
    out.data.fill(fill.data[0]);
    return [out];
  },
});

const rangeCount = (start: number, limit: number, delta: number): number =>
  Math.max(0, Math.ceil((limit - start) / delta));

function inferRange(context: InferContext): Inferred {
  const { dtype } = typeAt(context, 0);
  const [start, limit, delta] = [0, 1, 2].map((i) => context.valueOf(i)?.[0]);
  const unknown = { types: [{ dtype, shape: [context.fresh('range')] }] };
  if (delta === 0) context.mismatch({ input: 2, expected: 'a step other than 0', found: '0' });
  if (start === undefined || limit === undefined || delta === undefined || !isKnown(delta)) return unknown;
  if (isKnown(start) && isKnown(limit)) {
    const count = rangeCount(start, limit, delta);
    const types = [{ dtype, shape: [count] }];
    if (count > MOST_VALUES) return { types };
    return { types, values: [Array.from({ length: count }, (_, i) => start + i * delta)] };
  }
  if (delta !== 1) return unknown;
  const count = subDims(limit, start);
  if (!isKnown(count)) return { types: [{ dtype, shape: [count] }] };
  const known = Math.max(0, count);
  const values =
    known > MOST_VALUES ? undefined : Array.from({ length: known }, (_, i) => addDims(start, mulDims(i, delta)));
  return { types: [{ dtype, shape: [known] }], values: [values] };
}

const range = defineOp({
  domain: '',
  name: 'Range',
  since: [11],
  trait: 'source',
  infer: inferRange,
  run(context) {
    const { dtype } = tensorAt(context, 0);
    const [start, limit, delta] = [0, 1, 2].map((i) => tensorAt(context, i).data[0]);
    const count = rangeCount(start, limit, delta);
    if (!Number.isFinite(count)) badValue('Range', `${start} to ${limit} by ${delta} has no end`);
    const out = allocate(dtype, count);
    for (let i = 0; i < count; i++) out[i] = start + i * delta;
    return [tensor(dtype, [count], stored(dtype, out))];
  },
});

const eyeDtype = (context: InferContext | RunContext, fallback: DType): DType => {
  if (!context.attrs.has('dtype')) return fallback;
  const code = context.attrs.int('dtype');
  return dtypeOfCode(code) ?? unsupported('EyeLike', `element type ${code}`);
};

const eyeLike = defineOp({
  domain: '',
  name: 'EyeLike',
  since: [9, 22],
  trait: 'source',
  infer(context: InferContext) {
    const { dtype, shape: dims } = typeAt(context, 0);
    if (dims.length !== 2) context.mismatch({ input: 0, expected: 'rank 2', found: `rank ${dims.length}` });
    return { types: [{ dtype: eyeDtype(context, dtype), shape: dims }] };
  },
  run(context) {
    const source = tensorAt(context, 0);
    const [rows, cols] = source.shape;
    const k = context.attrs.int('k', 0);
    const out = zeros(eyeDtype(context, source.dtype), [rows, cols]);
    for (let r = Math.max(0, -k); r < rows && r + k < cols; r++) out.data[r * cols + r + k] = 1;
    return [out];
  },
});

export const ops = [shape, size, constant, constantOfShape, range, eyeLike];
