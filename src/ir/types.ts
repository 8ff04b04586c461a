/** Element types and tensor types. */
import { type Dim, equalShapes, printDim } from './dim.ts';

/** Bits per element in storage. Sub-byte types are packed, low bits first, as ONNX packs them. */
export const DTYPE_BITS = {
  f64: 64,
  f32: 32,
  f16: 16,
  bf16: 16,
  f8e4m3fn: 8,
  f8e4m3fnuz: 8,
  f8e5m2: 8,
  f8e5m2fnuz: 8,
  f8e8m0: 8,
  f6e2m3: 6,
  f6e3m2: 6,
  f4e2m1: 4,
  i64: 64,
  i32: 32,
  i16: 16,
  i8: 8,
  i4: 4,
  i2: 2,
  u64: 64,
  u32: 32,
  u16: 16,
  u8: 8,
  u4: 4,
  u2: 2,
  bool: 8,
  string: 0,
} as const;
export type DType = keyof typeof DTYPE_BITS;

export const isFloat = (dtype: DType): boolean => dtype.startsWith('f') || dtype === 'bf16';

/** Bytes that `count` elements take when packed. */
export const bytesFor = (dtype: DType, count: number): number => Math.ceil((count * DTYPE_BITS[dtype]) / 8);

/** A tensor's element type and shape; the rank is always known. */
export interface TensorType {
  readonly dtype: DType;
  readonly shape: readonly Dim[];
}

export const printType = ({ dtype, shape }: TensorType): string => `${dtype}[${shape.map(printDim).join(',')}]`;

export const equalTypes = (a: TensorType, b: TensorType): boolean =>
  a.dtype === b.dtype && equalShapes(a.shape, b.shape);
