/**
 * Bit codes of the floats narrower than f32: exact decoding tables, and encoding with round to nearest, ties to
 * even. Works on the bits of f32 values throughout, so that NaN payloads of f16 and bf16 survive a round trip.
 */
import type { DType } from '../ir/types.ts';

/** f16 and bf16 are IEEE-like; the others follow OCP (fn, mx) or Graphcore/AMD (fnuz) conventions. */
interface MiniFormat {
  readonly mantissa: number;
  readonly bias: number;
  readonly signBit: number;
  /** Code of the largest finite value. */
  readonly maxCode: number;
  /** Codes of positive NaN and of positive overflow when it does not saturate; `maxCode` where there are none. */
  readonly nan: number;
  readonly overflow: number;
  /** One zero only; the code of -0 is the NaN, which has no sign. */
  readonly unsignedZero: boolean;
}

const FORMATS: Partial<Record<DType, MiniFormat>> = {
  f8e4m3fn: format(3, 7, 0x80, 0x7e, 0x7f, 0x7f, false),
  f8e4m3fnuz: format(3, 8, 0x80, 0x7f, 0x80, 0x80, true),
  f8e5m2: format(2, 15, 0x80, 0x7b, 0x7f, 0x7c, false),
  f8e5m2fnuz: format(2, 16, 0x80, 0x7f, 0x80, 0x80, true),
  f6e2m3: format(3, 1, 0x20, 0x1f, 0x1f, 0x1f, false),
  f6e3m2: format(2, 3, 0x20, 0x1f, 0x1f, 0x1f, false),
  f4e2m1: format(1, 1, 0x8, 0x7, 0x7, 0x7, false),
};

function format(
  mantissa: number,
  bias: number,
  signBit: number,
  maxCode: number,
  nan: number,
  overflow: number,
  unsignedZero: boolean,
): MiniFormat {
  return { mantissa, bias, signBit, maxCode, nan, overflow, unsignedZero };
}

/** Adding and subtracting it rounds a small double to an integer, ties to even. */
const ROUND_MAGIC = 1.5 * 2 ** 52;
const F32_INFINITY = 0x7f800000;
const F32_QUIET_NAN = 0x7fc00000;

const scratchFloat = new Float32Array(1);
const scratchBits = new Uint32Array(scratchFloat.buffer);

function bitsOf(value: number): number {
  scratchFloat[0] = value;
  return scratchBits[0];
}

const tables = new Map<DType, Uint32Array>();

/** The f32 bits of every code of a float of at most 16 bits, indexed by code. */
export function decodeTable(dtype: DType): Uint32Array {
  let table = tables.get(dtype);
  if (table === undefined) tables.set(dtype, (table = buildTable(dtype)));
  return table;
}

function buildTable(dtype: DType): Uint32Array {
  if (dtype === 'bf16') return Uint32Array.from({ length: 65536 }, (_, code) => (code << 16) >>> 0);
  if (dtype === 'f16') return Uint32Array.from({ length: 65536 }, (_, code) => decodeHalf(code));
  if (dtype === 'f8e8m0')
    return Uint32Array.from({ length: 256 }, (_, code) => (code === 255 ? F32_QUIET_NAN : bitsOf(2 ** (code - 127))));
  const mini = FORMATS[dtype];
  if (mini === undefined) throw new TypeError(`${dtype} has no decoding table`);
  return Uint32Array.from({ length: mini.signBit * 2 }, (_, code) => decodeMini(mini, code));
}

function decodeHalf(code: number): number {
  const sign = (code & 0x8000) << 16;
  const exponent = (code >>> 10) & 31;
  const mantissa = code & 1023;
  if (exponent === 31) return (sign | F32_INFINITY | (mantissa << 13)) >>> 0;
  if (exponent > 0) return (sign | ((exponent + 112) << 23) | (mantissa << 13)) >>> 0;
  return (sign | bitsOf(mantissa * 2 ** -24)) >>> 0;
}

function decodeMini(mini: MiniFormat, code: number): number {
  const magnitude = code & (mini.signBit - 1);
  const sign = code & mini.signBit ? 0x80000000 : 0;
  if (mini.unsignedZero && code === mini.nan) return F32_QUIET_NAN;
  if (!mini.unsignedZero && magnitude > mini.maxCode)
    return (sign | (magnitude === mini.overflow && mini.overflow !== mini.nan ? F32_INFINITY : F32_QUIET_NAN)) >>> 0;
  const exponent = magnitude >>> mini.mantissa;
  const fraction = magnitude & ((1 << mini.mantissa) - 1);
  const value =
    exponent === 0
      ? fraction * 2 ** (1 - mini.bias - mini.mantissa)
      : (fraction + (1 << mini.mantissa)) * 2 ** (exponent - mini.bias - mini.mantissa);
  return (sign | bitsOf(value)) >>> 0;
}

/**
 * What the 8-bit floats make of values beyond their range. `saturate`: their largest value, for infinities too;
 * `finite`: the same, but an infinity stays one where the type has it; `special`: NaN, or infinity (f8e5m2).
 */
export type Overflow = 'saturate' | 'finite' | 'special';

/**
 * The code of each f32. f16 and bf16 overflow to infinity, the 6- and 4-bit floats always to their largest value,
 * which NaN becomes, too. f8e8m0 drops the sign and rounds to the nearest power of two, ties up.
 */
export function encodeFloats(
  dtype: DType,
  bits: Uint32Array,
  into: Uint8Array | Uint16Array,
  overflow: Overflow,
): void {
  if (dtype === 'f16') for (let i = 0; i < bits.length; i++) into[i] = encodeHalf(bits[i]);
  else if (dtype === 'bf16') for (let i = 0; i < bits.length; i++) into[i] = encodeBrain(bits[i]);
  else if (dtype === 'f8e8m0') for (let i = 0; i < bits.length; i++) into[i] = encodeScale(bits[i], overflow);
  else {
    const mini = FORMATS[dtype];
    if (mini === undefined) throw new TypeError(`${dtype} has no encoding`);
    for (let i = 0; i < bits.length; i++) into[i] = encodeMini(mini, bits[i], overflow);
  }
}

function encodeHalf(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > F32_INFINITY) return sign | 0x7c00 | ((magnitude >>> 13) & 1023 || 0x200);
  if (magnitude >= 0x477ff000) return sign | 0x7c00; // 65520 and up round to infinity
  if (magnitude >= 0x38800000) return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
  return sign | roundSmall(magnitude, 24);
}

function encodeBrain(bits: number): number {
  if ((bits & 0x7fffffff) > F32_INFINITY) return (bits >>> 16) & 127 ? bits >>> 16 : (bits >>> 16) | 0x40;
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

function encodeScale(bits: number, overflow: Overflow): number {
  const magnitude = bits & 0x7fffffff;
  if (magnitude > F32_INFINITY) return 255;
  if (magnitude < 0x800000) return magnitude < 0x600000 ? 0 : 1;
  const code = (magnitude + 0x400000) >>> 23;
  return code < 255 ? code : overflow === 'special' ? 255 : 254;
}

function encodeMini(mini: MiniFormat, bits: number, overflow: Overflow): number {
  const magnitude = bits & 0x7fffffff;
  const sign = bits >>> 31 ? mini.signBit : 0;
  if (magnitude > F32_INFINITY)
    return mini.unsignedZero ? mini.nan : mini.nan === mini.maxCode ? mini.nan : sign | mini.nan;
  const shift = 23 - mini.mantissa;
  const exponent = (magnitude >>> 23) - 127;
  let code: number;
  if (magnitude === F32_INFINITY) code = mini.maxCode + 1;
  else if (exponent >= 1 - mini.bias)
    code =
      ((magnitude + (1 << (shift - 1)) - 1 + ((magnitude >>> shift) & 1)) >>> shift) -
      ((127 - mini.bias) << mini.mantissa);
  else code = roundSmall(magnitude, mini.bias - 1 + mini.mantissa);
  if (code > mini.maxCode) code = overflow === 'special' ? mini.overflow : mini.maxCode;
  if (magnitude === F32_INFINITY && overflow === 'finite' && mini.overflow !== mini.nan) code = mini.overflow;
  if (mini.unsignedZero) return code === 0 || code === mini.nan ? code : sign | code;
  return sign | code;
}

/** The f32 of these bits times 2^scale, rounded to an integer. */
function roundSmall(magnitude: number, scale: number): number {
  scratchBits[0] = magnitude;
  return scratchFloat[0] * 2 ** scale + ROUND_MAGIC - ROUND_MAGIC;
}
