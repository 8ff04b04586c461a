/** Constants as initializers: their own bytes where they are a whole source in order, else copied. */
import { bytesSource, type Constant, elementCount, isContiguous } from '../ir/constant.ts';
import { bytesFor, DTYPE_BITS, type DType } from '../ir/types.ts';
import type { WritableTensor } from '../onnx/writer.ts';
import { readPacked } from '../tensor/read.ts';

/** The stored elements of a constant: of a quantized one, its codes. */
export function constantTensor(name: string, constant: Constant): WritableTensor {
  const { shape, stored: dtype, source } = constant;
  const bytes = bytesFor(dtype, elementCount(shape));
  const firstBit = constant.offset * DTYPE_BITS[dtype];
  if (isContiguous(constant) && firstBit % 8 === 0) {
    const start = firstBit / 8;
    if (start === 0 && source.byteLength === bytes) return { name, dtype, shape, source };
    const read = (at: number, into: Uint8Array): void => source.read(start + at, into);
    return { name, dtype, shape, source: { label: name, byteLength: bytes, read } };
  }
  const chunks = function* (): Generator<Uint8Array> {
    const into = new Uint8Array(bytes);
    readPacked(
      constant,
      shape.map(() => 0),
      [...shape],
      into,
    );
    yield into;
  };
  return { name, dtype, shape, source: { label: name, byteLength: bytes, chunks } };
}

export const memoryTensor = (
  name: string,
  dtype: DType,
  shape: readonly number[],
  bytes: Uint8Array,
): WritableTensor => ({ name, dtype, shape, source: bytesSource(name, bytes) });
