/**
 * Concrete tensors, as the executors see them. Every float narrower than f32 is held as f32 values that its
 * own format can represent (kernels compute in f32 and round on store); i64 and u64 are held as doubles,
 * exact to 2^53; bool is 0 or 1; strings are a JS array.
 */
import { fail } from '../diag/diagnostic.ts';
import type { DType } from '../ir/types.ts';

export type TensorData =
  | Float32Array
  | Float64Array
  | Int32Array
  | Int16Array
  | Int8Array
  | Uint32Array
  | Uint16Array
  | Uint8Array;

/** Row-major and dense. `strings` is set, and `data` empty, for dtype string only. */
export interface Tensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: TensorData;
  readonly strings?: readonly string[];
}

/** The typed array that holds elements of `dtype` in memory. Throws Diagnosed `run/too-large` when there are more than that can hold. */
export function allocate(dtype: DType, count: number): TensorData {
  try {
    return arrayOf(dtype, count);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return fail({ code: 'run/too-large', message: `${count} elements of ${dtype} do not fit memory` });
  }
}

function arrayOf(dtype: DType, count: number): TensorData {
  switch (dtype) {
    case 'f64':
    case 'i64':
    case 'u64':
      return new Float64Array(count);
    case 'i32':
      return new Int32Array(count);
    case 'u32':
      return new Uint32Array(count);
    case 'i16':
      return new Int16Array(count);
    case 'u16':
      return new Uint16Array(count);
    case 'i8':
    case 'i4':
    case 'i2':
      return new Int8Array(count);
    case 'u8':
    case 'u4':
    case 'u2':
    case 'bool':
      return new Uint8Array(count);
    case 'string':
      return new Uint8Array(0);
    case 'f32':
    case 'f16':
    case 'bf16':
    case 'f8e4m3fn':
    case 'f8e4m3fnuz':
    case 'f8e5m2':
    case 'f8e5m2fnuz':
    case 'f8e8m0':
    case 'f6e2m3':
    case 'f6e3m2':
    case 'f4e2m1':
      return new Float32Array(count);
  }
}

export const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

export const tensor = (dtype: DType, shape: readonly number[], data: TensorData): Tensor => ({ dtype, shape, data });

export const zeros = (dtype: DType, shape: readonly number[]): Tensor =>
  tensor(dtype, shape, allocate(dtype, sizeOf(shape)));

/** A tensor from plain numbers; `scalar`-like when `shape` is []. */
export function fromNumbers(dtype: DType, shape: readonly number[], values: ArrayLike<number>): Tensor {
  const out = allocate(dtype, sizeOf(shape));
  for (let i = 0; i < out.length; i++) out[i] = values[i];
  return tensor(dtype, shape, out);
}
