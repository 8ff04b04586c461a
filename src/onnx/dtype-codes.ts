/** TensorProto.DataType codes of ONNX IR 14. */
import type { DType } from '../ir/types.ts';

/** By DType: the code written to files. */
export const CODE_OF: Readonly<Record<DType, number>> = {
  f32: 1,
  u8: 2,
  i8: 3,
  u16: 4,
  i16: 5,
  i32: 6,
  i64: 7,
  string: 8,
  bool: 9,
  f16: 10,
  f64: 11,
  u32: 12,
  u64: 13,
  bf16: 16,
  f8e4m3fn: 17,
  f8e4m3fnuz: 18,
  f8e5m2: 19,
  f8e5m2fnuz: 20,
  u4: 21,
  i4: 22,
  f4e2m1: 23,
  f8e8m0: 24,
  u2: 25,
  i2: 26,
  f6e2m3: 27,
  f6e3m2: 28,
};

const BY_CODE = new Map<number, DType>();
for (const dtype of Object.keys(CODE_OF) as DType[]) BY_CODE.set(CODE_OF[dtype], dtype);

/** The element type of a code; undefined for UNDEFINED, complex64, complex128 and codes of the future. */
export const dtypeOfCode = (code: number): DType | undefined => BY_CODE.get(code);

/** For messages: `complex64`, `element type 99`. */
export function describeCode(code: number): string {
  if (code === 14) return 'complex64';
  if (code === 15) return 'complex128';
  return BY_CODE.get(code) ?? (code === 0 ? 'no element type' : `element type ${code}`);
}
