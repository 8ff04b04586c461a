/** Which ONNX ops take a quantized constant, and how its groups are told to them. */
import { type Constant, isQuantized, type Quantized } from '../ir/constant.ts';
import { DTYPE_BITS, type DType } from '../ir/types.ts';

/** Dim along which elements share scales: -1 where one scale serves all; block 0 where each index of it has its own. */
export interface Spread {
  readonly axis: number;
  readonly block: number;
}

/** Groups as DequantizeLinear has them: along one dim. Throws Error for groups of two dims, which no ONNX op makes. */
export function spreadOf({ shape, source, quantization: { block, scales } }: Quantized): Spread {
  const many = shape.flatMap((_, d) => (scales.shape[d] > 1 ? [d] : []));
  if (many.length === 0) return { axis: -1, block: 0 };
  if (many.length === 1 && block[many[0]] === 1) return { axis: many[0], block: 0 };
  const axis = shape.findIndex((_, a) => shape.every((n, d) => d === a || scales.shape[d] === n));
  if (axis < 0) throw new Error(`${source.label}: groups of ${block.join(' x ')} have no form in ONNX`);
  return { axis, block: Math.min(block[axis], shape[axis]) };
}

/**
 * The opset whose DequantizeLinear takes the constant; 0 where that is above `opset` and com.microsoft's does, which is in
 * every onnxruntime but knows no blocks.
 */
export function opsetFor(c: Quantized, opset: number): number {
  const { scales } = c.quantization;
  const bits = DTYPE_BITS[c.stored];
  const isFloat = c.stored.startsWith('f');
  const forCodes = isFloat ? (bits === 4 ? 23 : 19) : bits === 2 ? 25 : bits === 4 ? 21 : 10;
  const forScales = scales.stored === 'f8e8m0' ? 24 : scales.dtype === 'f32' ? 10 : 19;
  const { axis, block } = spreadOf(c);
  const needed = Math.max(forCodes, forScales, isQuantized(scales) ? 19 : 10, block > 0 ? 21 : axis >= 0 ? 13 : 10);
  const isMicrosoft = /^[iu][48]$/.test(c.stored) && block === 0 && !isQuantized(scales) && forScales <= 19;
  return needed > opset && isMicrosoft ? 0 : needed;
}

/** Blocks that onnxruntime has kernels for; with 512 some of its versions give zeros (onnxruntime#28551). */
const isFast = (block: number): boolean => block >= 16 && block <= 256 && Number.isInteger(Math.log2(block));

/** Codes [K, N] in blocks along K that MatMulNBits multiplies with an x of type `dtype`. */
export function isProduct(c: Quantized, dtype: DType | null): boolean {
  const { block, phase, scales, zeros, rounded } = c.quantization;
  const narrower = (table: Constant): boolean =>
    !isQuantized(table) && (table.stored === dtype || (dtype === 'f32' && table.stored === 'f16'));
  if (c.shape.length !== 2 || block[1] !== 1 || !isFast(block[0]) || phase.some((n) => n !== 0)) return false;
  if (dtype !== rounded || dtype !== c.dtype || !narrower(scales)) return false;
  // Signed codes of one block a column are DequantizeLinear's own form.
  if (c.stored.startsWith('i')) return zeros === 0 && scales.shape[0] > 1;
  if (!/^u[248]$/.test(c.stored)) return false;
  return typeof zeros === 'number' ? Number.isInteger(zeros) : zeros.stored === c.stored || narrower(zeros);
}

/** A table [rows, features] in blocks of features that GatherBlockQuantized takes rows of. */
export function isTable(c: Quantized): boolean {
  const { block, phase, scales, zeros, rounded } = c.quantization;
  if (c.shape.length !== 2 || block[0] !== 1 || !isFast(block[1]) || phase.some((n) => n !== 0)) return false;
  if (isQuantized(scales) || scales.stored !== rounded || rounded !== c.dtype) return false;
  return (
    /^(?:[iu]4|u8)$/.test(c.stored) && (typeof zeros === 'number' ? Number.isInteger(zeros) : zeros.stored === c.stored)
  );
}

/** The zero point that MatMulNBits (signed codes become unsigned there), and tables of GatherBlockQuantized have without any. */
export function middleOf(stored: DType, inTable: boolean): number {
  if (stored.startsWith('i')) return 0;
  return inTable && stored !== 'u8' ? 0 : 2 ** (DTYPE_BITS[stored] - 1);
}
