/**
 * ONNX's quantized tensors as quantized constants: views of the codes, scales and zero points where they are in the file.
 * Undefined where tiles cannot hold a form; then its values have to be computed.
 */
import {
  codesOf,
  type Constant,
  elementCount,
  groupCount,
  isContiguous,
  isQuantized,
  type Quantized,
  reshapeConstant,
} from '../ir/constant.ts';
import { DTYPE_BITS, type DType } from '../ir/types.ts';

/** One scale for all (axis -1), one for each index of `axis`, or with `block` one for so many elements along it. */
export interface LinearForm {
  readonly axis: number;
  readonly block: number;
}

/** DequantizeLinear of `codes`; scales and zero points may be single where the others are many. `rounded`: type of the result. */
export function linearView(
  codes: Constant,
  scale: Constant,
  zero: Constant | undefined,
  { axis, block }: LinearForm,
  rounded: DType,
): Quantized | undefined {
  const { shape } = codes;
  if (!isCodes(codes) || shape.filter((n) => n > 1).length < 2) return undefined;
  if (!isScale(scale) || (zero !== undefined && isQuantized(zero))) return undefined;
  const [s, z] = [scale, zero].map((c) => c && overGroups(c, shape.length, axis));
  if (s === undefined || (zero !== undefined && z === undefined)) return undefined;
  const groups = shape.map((_, d) => Math.max(s.shape[d], z?.shape[d] ?? 1));
  const blocks = shape.map((n, d) => (groups[d] === 1 ? n : d === axis && block > 0 ? block : 1));
  if (shape.some((n, d) => groupCount(n, blocks[d]) !== groups[d])) return undefined;
  const scales = spread(s, groups);
  const zeros = z === undefined ? 0 : spread(z, groups);
  const phase = shape.map(() => 0);
  return { ...codes, dtype: rounded, quantization: { scales, zeros, block: blocks, phase, rounded } };
}

/** Integers or floats of 2, 4 or 8 bits that are read as they are stored. */
const isCodes = (c: Constant): boolean =>
  !isQuantized(c) && c.dtype === c.stored && /^(?:[iu][248]|f8e[45]m\d\w*|f4e2m1)$/.test(c.stored);

/** A float of whole bytes; or codes of one with a single scale (NVFP4). */
function isScale(c: Constant): boolean {
  if (!isQuantized(c)) return /^(?:f32|f16|bf16|f8\w+)$/.test(c.stored);
  const { scales, zeros, rounded } = c.quantization;
  return zeros === 0 && rounded === 'f32' && !isQuantized(scales) && elementCount(scales.shape) === 1;
}

/** A scalar, a vector along `axis`, or a table of blocks, with as many dims as the codes have. */
function overGroups(c: Constant, rank: number, axis: number): Constant | undefined {
  if (c.shape.length === rank) return c;
  const ones = new Array<number>(rank).fill(1);
  if (elementCount(c.shape) === 1) return reshapeConstant(c, ones);
  return c.shape.length === 1 && axis >= 0 ? reshapeConstant(c, ones.with(axis, c.shape[0])) : undefined;
}

/** A single row or column for all groups: the same element again, without a copy. */
function spread(c: Constant, groups: readonly number[]): Constant {
  const strides = c.strides.map((step, d) => (c.shape[d] === groups[d] ? step : 0));
  return c.shape.every((n, d) => n === groups[d]) ? c : { ...c, shape: groups, strides };
}

/** A weight of MatMulNBits: rows of whole blocks of packed codes. */
export interface NBitsForm {
  readonly bits: number;
  readonly rows: number;
  readonly columns: number;
  readonly block: number;
}

/**
 * The weight [rows, columns] of MatMulNBits; the last block of a row may be padded. Zero points are packed like codes, a row
 * of whole bytes for each row of the weight, or plain floats; without any they are 2^(bits - 1).
 */
export function nBitsView(
  bytes: Constant,
  scale: Constant,
  zero: Constant | undefined,
  { bits, rows, columns, block }: NBitsForm,
  rounded: DType,
): Quantized | undefined {
  const blocks = Math.ceil(columns / block);
  const codes = packedRows(bytes, bits, [rows, columns], blocks * block);
  const scales = isScale(scale) ? reshapeConstant(scale, [rows, blocks]) : undefined;
  const zeros = zero === undefined ? 2 ** (bits - 1) : zerosOf(zero, bits, [rows, blocks]);
  if (codes === undefined || scales === undefined || zeros === undefined) return undefined;
  return { ...codes, dtype: rounded, quantization: { scales, zeros, block: [1, block], phase: [0, 0], rounded } };
}

/** Zero points of [rows, blocks] groups, packed in bytes or as floats. */
function zerosOf(zero: Constant, bits: number, [rows, blocks]: readonly [number, number]): Constant | undefined {
  if (zero.stored !== 'u8') return reshapeConstant(zero, [rows, blocks]);
  return packedRows(zero, bits, [rows, blocks], Math.ceil((blocks * bits) / 8) * (8 / bits));
}

const PACKED: Readonly<Record<number, DType>> = { 2: 'u2', 4: 'u4', 8: 'u8' };

/** Bytes as codes of `bits`, low bits first, in rows that begin `pitch` codes apart. */
function packedRows(
  bytes: Constant,
  bits: number,
  shape: readonly [number, number],
  pitch: number,
): Constant | undefined {
  const stored = PACKED[bits];
  if (stored === undefined || bytes.stored !== 'u8' || !isContiguous(bytes)) return undefined;
  if (elementCount(bytes.shape) * (8 / bits) !== shape[0] * pitch) return undefined;
  return { ...codesOf(bytes), dtype: stored, stored, shape, offset: bytes.offset * (8 / bits), strides: [pitch, 1] };
}

/** How the table of GatherBlockQuantized is packed: `bits` in bytes, or typed codes. */
export interface TableForm {
  readonly bits: number;
  /** Dim along which `block` elements share a scale. */
  readonly axis: number;
  readonly block: number;
}

/** The table [rows, features] of GatherBlockQuantized. Bytes are codes around 2^(bits - 1), typed codes are what they say. */
export function tableView(
  data: Constant,
  scale: Constant,
  zero: Constant | undefined,
  form: TableForm,
): Quantized | undefined {
  const { bits, axis, block } = form;
  if (data.shape.length !== 2 || scale.shape.length !== 2 || !isScale(scale)) return undefined;
  const isPacked = data.stored === 'u8';
  const columns = isPacked ? data.shape[1] * (8 / bits) : data.shape[1];
  const codes = isPacked ? packedRows(data, bits, [data.shape[0], columns], columns) : codesOf(data);
  if (codes === undefined || ![2, 4, 8].includes(DTYPE_BITS[codes.stored])) return undefined;
  const zeros = zero === undefined ? (isPacked ? 2 ** (bits - 1) : 0) : tableZeros(zero, bits, scale, isPacked);
  const blocks = [1, 1].with(axis, Math.min(block, codes.shape[axis]));
  if (zeros === undefined || codes.shape.some((n, d) => groupCount(n, blocks[d]) !== scale.shape[d])) return undefined;
  const quantization = { scales: scale, zeros, block: blocks, phase: [0, 0], rounded: scale.dtype };
  return { ...codes, dtype: scale.dtype, quantization };
}

function tableZeros(zero: Constant, bits: number, scale: Constant, isPacked: boolean): Constant | undefined {
  const [rows, blocks] = scale.shape;
  return isPacked ? zerosOf(zero, bits, [rows, blocks]) : reshapeConstant(zero, [rows, blocks]);
}
