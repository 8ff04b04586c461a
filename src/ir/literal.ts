/**
 * Elements of constants as text and back, exactly: printed decimals read back to the same bits; what has no
 * short decimal (NaN payloads, 8-bit floats and narrower) is printed as its bits, `#7e01`.
 */
import { bytesFor, DTYPE_BITS, type DType } from './types.ts';

/** Exponent and mantissa bits of the IEEE-like types narrower than f32. */
const NARROW = { f16: [5, 10], bf16: [8, 7] } as const;

/** Bits of element `index` of packed `bytes`; sub-byte elements lie low bits first. */
export function readBits(bytes: Uint8Array, dtype: DType, index: number): bigint {
  const width = DTYPE_BITS[dtype];
  if (width < 8) {
    let bits = 0;
    for (let i = 0; i < width; i++) {
      const at = index * width + i;
      bits |= ((bytes[at >> 3] >> (at & 7)) & 1) << i;
    }
    return BigInt(bits);
  }
  const count = width / 8;
  let bits = 0n;
  for (let i = count - 1; i >= 0; i--) bits = (bits << 8n) | BigInt(bytes[index * count + i]);
  return bits;
}

export function writeBits(bytes: Uint8Array, dtype: DType, index: number, bits: bigint): void {
  const width = DTYPE_BITS[dtype];
  if (width < 8) {
    for (let i = 0; i < width; i++) {
      const at = index * width + i;
      const bit = Number((bits >> BigInt(i)) & 1n);
      bytes[at >> 3] = (bytes[at >> 3] & ~(1 << (at & 7))) | (bit << (at & 7));
    }
    return;
  }
  for (let i = 0; i < width / 8; i++) bytes[(index * width) / 8 + i] = Number((bits >> BigInt(8 * i)) & 0xffn);
}

/** The text of an element. */
export function printElement(dtype: DType, bits: bigint): string {
  if (dtype === 'bool' && bits < 2n) return bits === 1n ? 'true' : 'false';
  const text = decimalOf(dtype, bits);
  if (text !== undefined && parseElement(dtype, text) === bits) return text;
  return `#${bits.toString(16)}`;
}

/** The bits that `text` stands for, rounded to the nearest element, or undefined when it stands for none. */
export function parseElement(dtype: DType, text: string): bigint | undefined {
  const width = BigInt(DTYPE_BITS[dtype]);
  if (text.startsWith('#')) {
    const bits = /^#[0-9a-f]+$/i.test(text) ? BigInt(`0x${text.slice(1)}`) : undefined;
    return bits !== undefined && bits < 1n << width ? bits : undefined;
  }
  if (dtype === 'bool') return text === 'true' || text === '1' ? 1n : text === 'false' || text === '0' ? 0n : undefined;
  if (isInteger(dtype)) {
    if (!/^-?\d+$/.test(text)) return undefined;
    const value = BigInt(text);
    const [low, high] = dtype.startsWith('i') ? [-(1n << (width - 1n)), 1n << (width - 1n)] : [0n, 1n << width];
    return value >= low && value < high ? BigInt.asUintN(Number(width), value) : undefined;
  }
  const value = parseNumber(text);
  return value === undefined ? undefined : bitsOf(dtype, value);
}

/** A decimal, `nan`, `inf` or `-inf` as a number. */
export function parseNumber(text: string): number | undefined {
  if (text === 'nan') return Number.NaN;
  if (text === 'inf' || text === '-inf') return text === 'inf' ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY;
  return /^-?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(text) ? Number(text) : undefined;
}

/** The inverse of `parseNumber`. */
export function printNumber(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf';
  return Object.is(value, -0) ? '-0' : String(value);
}

/** `value` as bits of `dtype`, rounded to nearest even; integers are truncated and wrapped. Undefined below 16 bits. */
export function bitsOf(dtype: DType, value: number): bigint | undefined {
  if (dtype === 'f32' || dtype === 'f64') {
    const view = new DataView(new ArrayBuffer(8));
    if (dtype === 'f64') view.setFloat64(0, value);
    else view.setFloat32(0, value);
    return dtype === 'f64' ? view.getBigUint64(0) : BigInt(view.getUint32(0));
  }
  if (dtype === 'f16' || dtype === 'bf16') {
    const [expBits, manBits] = NARROW[dtype];
    return BigInt(narrowBits(value, expBits, manBits));
  }
  if (dtype === 'bool') return value === 0 ? 0n : 1n;
  return isInteger(dtype) ? BigInt.asUintN(DTYPE_BITS[dtype], BigInt(Math.trunc(value))) : undefined;
}

/** Packed bytes of `count` elements, by value. Throws RangeError for a type that has no decimals. */
export function encodeElements(dtype: DType, count: number, value: (index: number) => number): Uint8Array {
  const bytes = new Uint8Array(bytesFor(dtype, count));
  for (let i = 0; i < count; i++) {
    const bits = bitsOf(dtype, value(i));
    if (bits === undefined) throw new RangeError(`no generator makes elements of ${dtype}`);
    writeBits(bytes, dtype, i, bits);
  }
  return bytes;
}

const isInteger = (dtype: DType): boolean => /^[iu]\d+$/.test(dtype);

function decimalOf(dtype: DType, bits: bigint): string | undefined {
  if (isInteger(dtype)) return String(dtype.startsWith('i') ? BigInt.asIntN(DTYPE_BITS[dtype], bits) : bits);
  const value = valueOf(dtype, bits);
  if (value === undefined) return undefined;
  if (!Number.isFinite(value) || value === 0) return printNumber(value);
  for (let digits = 1; digits <= 9 && dtype !== 'f64'; digits++) {
    const short = Number(value.toPrecision(digits));
    if (bitsOf(dtype, short) === bits) return printNumber(short);
  }
  return printNumber(value);
}

function valueOf(dtype: DType, bits: bigint): number | undefined {
  const view = new DataView(new ArrayBuffer(8));
  if (dtype === 'f64') {
    view.setBigUint64(0, bits);
    return view.getFloat64(0);
  }
  if (dtype === 'f32') {
    view.setUint32(0, Number(bits));
    return view.getFloat32(0);
  }
  if (dtype !== 'f16' && dtype !== 'bf16') return undefined;
  const [expBits, manBits] = NARROW[dtype];
  const code = Number(bits);
  const sign = code >> (expBits + manBits) === 0 ? 1 : -1;
  const exponent = (code >> manBits) & (2 ** expBits - 1);
  const mantissa = code & (2 ** manBits - 1);
  const bias = 2 ** (expBits - 1) - 1;
  if (exponent === 2 ** expBits - 1) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  if (exponent === 0) return sign * mantissa * 2 ** (1 - bias - manBits);
  return sign * (2 ** manBits + mantissa) * 2 ** (exponent - bias - manBits);
}

/** Round to nearest even from f64 in one step: going through f32 would round twice. */
function narrowBits(value: number, expBits: number, manBits: number): number {
  const bias = 2 ** (expBits - 1) - 1;
  const infinity = (2 ** expBits - 1) * 2 ** manBits;
  const sign = value < 0 || Object.is(value, -0) ? 2 ** (expBits + manBits) : 0;
  const size = Math.abs(value);
  if (Number.isNaN(value)) return infinity + 2 ** (manBits - 1);
  if (!Number.isFinite(value)) return sign + infinity;
  const exponent = Math.max(1 - bias, size === 0 ? 1 - bias : exponentOf(size));
  const scaled = size * 2 ** (manBits - exponent); // exact: a power of two
  const floor = Math.floor(scaled);
  const rest = scaled - floor;
  const rounded = floor + (rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? 1 : 0);
  // A normal number has `rounded` in [2^m, 2^(m+1)]; adding the carry into the exponent field is exact arithmetic.
  const code = (exponent - (1 - bias)) * 2 ** manBits + rounded;
  return sign + Math.min(code, infinity);
}

/** floor(log2(size)), exact for normal doubles. */
function exponentOf(size: number): number {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, size);
  return ((view.getUint16(0) >> 4) & 0x7ff) - 1023;
}
