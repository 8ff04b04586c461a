/** Codes and zero points in the bytes of com.microsoft's ops. */
import { bytesSource, codesOf, type Constant, denseConstant, elementCount } from '../ir/constant.ts';
import { bytesFor, DTYPE_BITS } from '../ir/types.ts';
import type { Payload } from '../onnx/writer.ts';
import { readUnits } from '../tensor/codes.ts';
import { pack } from '../tensor/pack.ts';
import { packCodes } from '../tensor/sub-byte.ts';
import { allocate } from '../tensor/tensor.ts';

/** Codes read at once. */
const CHUNK = 2 ** 22;

/**
 * Codes [N, K] as MatMulNBits has them: rows of `pitch` codes, the last ones padding. Signed codes are moved by 2^(bits - 1),
 * which is the zero point of the op. The model's own bytes where they are that already.
 */
export function blockBytes(label: string, rows: Constant, pitch: number): Payload {
  const [N, K] = rows.shape;
  const { stored, source, offset, strides } = rows;
  const bits = DTYPE_BITS[stored];
  const byteLength = (N * pitch * bits) / 8;
  const start = (offset * bits) / 8;
  const isSigned = stored.startsWith('i');
  if (
    !isSigned &&
    strides[0] === pitch &&
    strides[1] === 1 &&
    Number.isInteger(start) &&
    start + byteLength <= source.byteLength
  )
    return { label, byteLength, read: (at, into) => source.read(start + at, into) };
  const flip = isSigned ? 2 ** (bits - 1) : 0;
  const chunks = function* (): Generator<Uint8Array> {
    const step = Math.max(1, Math.floor(CHUNK / pitch));
    for (let n = 0; n < N; n += step) {
      const count = Math.min(step, N - n);
      const codes = readUnits(rows, [n, 0], [count, K]);
      const padded = new Uint8Array(count * pitch);
      for (let r = 0; r < count; r++) for (let k = 0; k < K; k++) padded[r * pitch + k] = codes[r * K + k] ^ flip;
      yield bits === 8 ? padded : packCodes(bits, padded);
    }
  };
  return { label, byteLength, chunks };
}

/** A table of zero points with each row filled up to whole bytes. */
export function packedRows(table: Constant, bits: number): Uint8Array {
  const [rows, columns] = table.shape;
  const pitch = Math.ceil((columns * bits) / 8) * (8 / bits);
  const codes = readUnits(table, [0, 0], table.shape);
  const padded = new Uint8Array(rows * pitch);
  for (let r = 0; r < rows; r++) padded.set(codes.subarray(r * columns, (r + 1) * columns), r * pitch);
  return bits === 8 ? padded : packCodes(bits, padded);
}

/** The one zero point of all groups as a table, for ops that assume another one. */
export function filledZeros({ stored, quantization: q }: Constant, zero: number): Constant {
  const shape = q?.scales.shape ?? [];
  const values = allocate(stored, elementCount(shape)).fill(zero);
  const bytes = pack(stored, values);
  if (bytes.length !== bytesFor(stored, values.length)) throw new Error(`${stored} zero points are packed`);
  return codesOf(denseConstant(stored, shape, bytesSource('zeros', bytes)));
}
