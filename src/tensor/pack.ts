/**
 * Elements in memory (see tensor.ts) to and from packed little-endian bytes, exactly, for every DType. Floats
 * narrower than f32 round to nearest even on the way in; i64 and u64 are doubles in memory, so only integers up
 * to 2^53 are exact, and values beyond the type's range become its nearest bound. Strings have no packed form.
 */
import { bytesFor, DTYPE_BITS, type DType } from '../ir/types.ts';
import { decodeTable, encodeFloats } from './float-codes.ts';
import { packCodes, unpackCodes } from './sub-byte.ts';
import { allocate, type TensorData } from './tensor.ts';

const TWO32 = 2 ** 32;

// Typed arrays are viewed as little-endian bytes here and in read.ts.
if (new Uint8Array(new Uint16Array([1]).buffer)[0] !== 1) throw new Error('wafc needs a little-endian machine');

const bytesOf = (data: ArrayBufferView): Uint8Array => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

/**
 * The array's own memory as packed bytes, where that is the packed form already: no copy. Undefined for i64, u64,
 * the narrow floats and sub-byte types, and for arrays of another kind than `allocate(dtype)` gives.
 */
export function packedView(dtype: DType, data: TensorData): Uint8Array | undefined {
  switch (dtype) {
    case 'f64':
      return data instanceof Float64Array ? bytesOf(data) : undefined;
    case 'f32':
      return data instanceof Float32Array ? bytesOf(data) : undefined;
    case 'i32':
      return data instanceof Int32Array ? bytesOf(data) : undefined;
    case 'u32':
      return data instanceof Uint32Array ? bytesOf(data) : undefined;
    case 'i16':
      return data instanceof Int16Array ? bytesOf(data) : undefined;
    case 'u16':
      return data instanceof Uint16Array ? bytesOf(data) : undefined;
    case 'i8':
      return data instanceof Int8Array ? bytesOf(data) : undefined;
    case 'u8':
      return data instanceof Uint8Array ? bytesOf(data) : undefined;
    default:
      return undefined;
  }
}

/** `count` elements of packed `bytes` as a fresh array. Throws RangeError when there are too few bytes. */
export function unpack(dtype: DType, bytes: Uint8Array, count: number): TensorData {
  const out = allocate(dtype, count);
  unpackInto(dtype, bytes, out);
  return out;
}

/** As {@link unpack}, into an array of the kind `allocate(dtype)` gives; fills all of it. */
export function unpackInto(dtype: DType, bytes: Uint8Array, out: TensorData): void {
  const length = bytesFor(dtype, out.length);
  if (bytes.length < length) throw new RangeError(`${out.length} ${dtype} need ${length} bytes, not ${bytes.length}`);
  const source = bytes.subarray(0, length);
  const own = packedView(dtype, out);
  if (own !== undefined) own.set(source);
  else if (dtype === 'bool') for (let i = 0; i < out.length; i++) out[i] = source[i] === 0 ? 0 : 1;
  else if (dtype === 'i64' || dtype === 'u64') {
    const words = aligned32(source);
    const signed = dtype === 'i64';
    for (let i = 0; i < out.length; i++) {
      const high = words[2 * i + 1];
      out[i] = (signed ? high | 0 : high) * TWO32 + words[2 * i];
    }
  } else if (DTYPE_BITS[dtype] < 8) valuesOfCodes(dtype, unpackCodes(DTYPE_BITS[dtype], source, 0, out.length), out);
  else if (out instanceof Float32Array) decodeInto(dtype, source, out);
  else throw new TypeError(`an array of ${dtype} cannot be a ${out.constructor.name}`);
}

/** Values of the codes of a type narrower than a byte, one a byte. */
export function valuesOfCodes(dtype: DType, codes: Uint8Array, out: TensorData): void {
  if (out instanceof Float32Array) {
    const table = decodeTable(dtype);
    const bits = new Uint32Array(out.buffer, out.byteOffset, out.length);
    for (let i = 0; i < bits.length; i++) bits[i] = table[codes[i]];
    return;
  }
  const flip = dtype.startsWith('i') ? 1 << (DTYPE_BITS[dtype] - 1) : 0;
  if (flip === 0) out.set(codes);
  else for (let i = 0; i < out.length; i++) out[i] = (codes[i] ^ flip) - flip;
}

/** Packed bytes of `data`. Values that `dtype` can hold come back from {@link unpack} as they were; others are rounded. */
export function pack(dtype: DType, data: TensorData): Uint8Array {
  const own = packedView(dtype, data);
  if (own !== undefined) return own.slice();
  const bits = DTYPE_BITS[dtype];
  if (dtype === 'string') throw new TypeError('strings have no packed form');
  if (dtype === 'bool') return Uint8Array.from(data, (v) => (v === 0 ? 0 : 1));
  if (dtype === 'i64' || dtype === 'u64') return packWide(dtype, data);
  if (dtype.startsWith('f') || dtype === 'bf16') {
    if (dtype === 'f64') return bytesOf(Float64Array.from(data));
    const floats = data instanceof Float32Array ? data : Float32Array.from(data);
    if (dtype === 'f32') return bytesOf(floats);
    const codes = bits === 16 ? new Uint16Array(data.length) : new Uint8Array(data.length);
    encodeFloats(dtype, new Uint32Array(floats.buffer, floats.byteOffset, floats.length), codes, 'finite');
    return bits < 8 ? packCodes(bits, codes) : bytesOf(codes);
  }
  if (bits < 8) return packCodes(bits, Uint8Array.from(data));
  const out = allocate(dtype, data.length);
  out.set(data);
  return bytesOf(out);
}

/**
 * Rounds f32 values in place to those that `dtype` can hold (nearest, ties to even) and returns them. Overflow: f16
 * and bf16 become infinite. The 8-bit floats become their largest value, or with `saturate` false NaN (infinity
 * for f8e5m2), as in ONNX Cast; the 6- and 4-bit floats always saturate. f8e8m0 takes the nearest power of two.
 */
export function roundTo(dtype: DType, data: Float32Array, saturate = true): Float32Array {
  if (dtype === 'f32' || dtype === 'f64') return data;
  const bits = new Uint32Array(data.buffer, data.byteOffset, data.length);
  if (dtype === 'bf16') {
    for (let i = 0; i < bits.length; i++) {
      const b = bits[i];
      bits[i] =
        (b & 0x7fffffff) > 0x7f800000 ? (b | 0x400000) & 0xffff0000 : (b + 0x7fff + ((b >>> 16) & 1)) & 0xffff0000;
    }
    return data;
  }
  // Blocks keep the codes in cache.
  const codes =
    dtype === 'f16' ? new Uint16Array(Math.min(bits.length, 4096)) : new Uint8Array(Math.min(bits.length, 4096));
  const table = decodeTable(dtype);
  for (let at = 0; at < bits.length; at += codes.length) {
    const block = bits.subarray(at, at + codes.length);
    encodeFloats(dtype, block, codes, saturate ? 'saturate' : 'special');
    for (let i = 0; i < block.length; i++) block[i] = table[codes[i]];
  }
  return data;
}

function decodeInto(dtype: DType, source: Uint8Array, out: Float32Array): void {
  const table = decodeTable(dtype);
  const bits = new Uint32Array(out.buffer, out.byteOffset, out.length);
  if (DTYPE_BITS[dtype] === 16) {
    const codes = source.byteOffset % 2 === 0 ? source : Uint8Array.from(source);
    const halves = new Uint16Array(codes.buffer, codes.byteOffset, out.length);
    for (let i = 0; i < bits.length; i++) bits[i] = table[halves[i]];
  } else for (let i = 0; i < bits.length; i++) bits[i] = table[source[i]];
}

function aligned32(bytes: Uint8Array): Uint32Array {
  const own = bytes.byteOffset % 4 === 0 ? bytes : Uint8Array.from(bytes);
  return new Uint32Array(own.buffer, own.byteOffset, own.length >>> 2);
}

function packWide(dtype: 'i64' | 'u64', data: TensorData): Uint8Array {
  const words = new Uint32Array(data.length * 2);
  const [low, high] = dtype === 'i64' ? [-(2 ** 63), 2 ** 63] : [0, 2 ** 64];
  for (let i = 0; i < data.length; i++) {
    const v = Math.trunc(data[i]);
    if (v >= high) {
      // The largest integer: INT64_MAX in a file is 2^63 in memory, and must come back as it was.
      words[2 * i] = 0xffffffff;
      words[2 * i + 1] = dtype === 'i64' ? 0x7fffffff : 0xffffffff;
    } else if (v > low) {
      const upper = Math.floor(v / TWO32);
      words[2 * i] = v - upper * TWO32;
      words[2 * i + 1] = upper; // wraps to two's complement
    } else words[2 * i + 1] = v <= low && dtype === 'i64' ? 0x80000000 : 0; // NaN and negative u64 become 0
  }
  return bytesOf(words);
}
