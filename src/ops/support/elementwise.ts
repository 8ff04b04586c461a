/** Factories for elementwise ops: types, values and the loops around a scalar function. */
import type { Dim } from '../../ir/dim.ts';
import type { DType, TensorType } from '../../ir/types.ts';
import { roundTo } from '../../tensor/pack.ts';
import { allocate, sizeOf, type Tensor, type TensorData, tensor } from '../../tensor/tensor.ts';
import { defineOp, type InferContext, type OpDef, type RunContext } from '../op.ts';
import { type BinaryRow, binaryInto, broadcastInputs, broadcastNumbers } from './broadcast.ts';
import { foldBinary, foldUnary } from './values.ts';

const TWO64 = 2 ** 64;

/**
 * Brings freshly computed elements to what `dtype` can hold: narrow floats round, 64-bit integers wrap. 2^63 and
 * 2^64 themselves stay: they are how the largest integer is held. In place.
 */
export function stored(dtype: DType, data: TensorData): TensorData {
  if (data instanceof Float32Array) return dtype === 'f32' ? data : roundTo(dtype, data);
  if (dtype === 'i64') {
    for (let i = 0; i < data.length; i++) {
      const v = data[i];
      if (v > 2 ** 63 || v < -(2 ** 63)) data[i] = v - Math.floor((v + 2 ** 63) / TWO64) * TWO64;
    }
  } else if (dtype === 'u64') {
    for (let i = 0; i < data.length; i++) {
      const v = data[i];
      if (v > TWO64 || v < 0) data[i] = v - Math.floor(v / TWO64) * TWO64;
    }
  }
  return data;
}

/** Input `i`, which the op requires. */
export function required(context: InferContext, i: number): TensorType {
  return context.inputs[i] ?? context.mismatch({ input: i, expected: 'an input', found: 'none' });
}

/** The tensor of a required input at run time. */
export function operand(context: RunContext, i: number): Tensor {
  const t = context.inputs[i];
  if (t === undefined) throw new RangeError(`input ${i} is missing`);
  return t;
}

/** The one dtype of all present inputs listed (default: all). */
export function commonDtype(context: InferContext, which = [...context.inputs.keys()]): DType {
  const { dtype } = required(context, which[0]);
  for (const input of which) {
    const found = context.inputs[input]?.dtype;
    if (found !== undefined && found !== dtype) context.mismatch({ input, expected: dtype, found });
  }
  return dtype;
}

/** Requires `dtype` to be one of `allowed`. */
export function expectDtype(context: InferContext, input: number, allowed: readonly DType[]): void {
  const found = context.inputs[input]?.dtype;
  if (found !== undefined && !allowed.includes(found)) {
    context.mismatch({ input, expected: allowed.join(' or '), found });
  }
}

interface BinarySpec {
  readonly name: string;
  readonly since: readonly number[];
  /** Output dtype; default: that of the inputs. */
  readonly result?: 'bool';
  /** Allowed input dtypes, where they are few. */
  readonly dtypes?: readonly DType[];
  readonly fold?: (a: Dim, b: Dim) => Dim | undefined;
  row(dtype: DType, context: RunContext): BinaryRow;
}

/** A two-operand op with numpy broadcasting. */
export const binaryOp = (spec: BinarySpec): OpDef =>
  defineOp({
    domain: '',
    name: spec.name,
    since: spec.since,
    trait: 'elementwise',
    infer(context) {
      const dtype = commonDtype(context);
      if (spec.dtypes) expectDtype(context, 0, spec.dtypes);
      const shape = broadcastInputs(context);
      const types = [{ dtype: spec.result ?? dtype, shape }];
      return spec.fold ? { types, values: [foldBinary(context, shape, spec.fold)] } : { types };
    },
    run(context) {
      const [a, b] = [operand(context, 0), operand(context, 1)];
      const shape = broadcastNumbers(a.shape, b.shape);
      const dtype = spec.result ?? a.dtype;
      const out = allocate(dtype, sizeOf(shape));
      binaryInto(out, shape, a, b, spec.row(a.dtype, context));
      return [tensor(dtype, shape, stored(dtype, out))];
    },
  });

interface UnarySpec {
  readonly name: string;
  readonly since: readonly number[];
  readonly result?: 'bool';
  readonly dtypes?: readonly DType[];
  readonly fold?: (a: Dim) => Dim | undefined;
  /** The scalar function, given the attributes. */
  f(context: RunContext): (x: number) => number;
}

/** An op on each element of input 0. */
export const unaryOp = (spec: UnarySpec): OpDef =>
  defineOp({
    domain: '',
    name: spec.name,
    since: spec.since,
    trait: 'elementwise',
    infer(context) {
      const { dtype, shape } = required(context, 0);
      if (spec.dtypes) expectDtype(context, 0, spec.dtypes);
      const types = [{ dtype: spec.result ?? dtype, shape }];
      return spec.fold ? { types, values: [foldUnary(context, spec.fold)] } : { types };
    },
    run: (context) => [mapTensor(operand(context, 0), spec.f(context), spec.result)],
  });

/** `f` of every element, stored as `dtype`. */
export function mapTensor(x: Tensor, f: (x: number) => number, dtype: DType = x.dtype): Tensor {
  const { data } = x;
  const out = allocate(dtype, data.length);
  for (let i = 0; i < out.length; i++) out[i] = f(data[i]);
  return tensor(dtype, x.shape, stored(dtype, out));
}
