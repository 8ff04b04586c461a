/**
 * What a core does by itself, in cycles: the slower of its SIMD unit and its SRAM port. Two figures each: the
 * calibrated estimate, and a bound with ideal SIMD where every byte is read once.
 */
import type { Target } from '../ir/target.ts';
import { DTYPE_BITS, type DType, isFloat } from '../ir/types.ts';
import type { SparseKind } from '../ir/sparsity.ts';
import { BITMAP_WORD, INDEX_CYCLES, slowdownOf, SPARSE_MAC_CYCLES } from './constants.ts';

export interface Product {
  /** Multiply-accumulates of the core. */
  readonly macs: number;
  /** Resident operand (weights, or keys and values): read once. */
  readonly elements: number;
  readonly bytes: number;
  readonly dtype: DType;
  /** The other operand, and the type sums are kept in. */
  readonly x: DType;
  readonly sum: DType;
}

export interface ProductCost {
  readonly multiply: number;
  readonly unpack: number;
  /** Reading the index of a sparse operand. */
  readonly index: number;
  readonly bound: number;
  readonly boundBy: 'compute' | 'sram';
}

/** The type products are computed in: the operands' own if the core multiplies it, else a float, f16 if nothing else. */
function productType({ dtype, x }: Product, rates: Target['macsPerCycle']): DType {
  if (dtype === x && rates[dtype] !== undefined) return dtype;
  const wide = [dtype, x].find((t) => isFloat(t) && DTYPE_BITS[t] >= 32);
  if (wide !== undefined) return rates[wide] === undefined ? 'f16' : wide;
  const float = [x, dtype].find((t) => isFloat(t) && rates[t] !== undefined);
  return float ?? 'f16';
}

/**
 * Cycles of a matrix-vector product. f32 sums of 16-bit products run at half rate (`@fmachs` against `@fmach`, SDK
 * appendix, both machines). The read port is charged with the resident operand only: the accumulator is taken to be
 * outside SRAM (hardware question Q1), which keeps the bound a bound.
 */
export function productCost(product: Product, target: Target): ProductCost {
  const type = productType(product, target.macsPerCycle);
  const rate = target.macsPerCycle[type] ?? target.macsPerCycle.f16 ?? 1;
  const halved = DTYPE_BITS[type] === 16 && product.sum === 'f32' ? 2 : 1;
  const simd = (product.macs * halved) / rate;
  const sram = product.bytes / target.sramReadBytesPerCycle;
  const unpack = type === product.dtype ? 0 : product.elements / target.unpackPerCycle;
  return {
    multiply: Math.max(simd * slowdownOf(type), sram),
    unpack,
    index: 0,
    bound: Math.max(simd + unpack, sram),
    boundBy: simd + unpack >= sram ? 'compute' : 'sram',
  };
}

/**
 * Cycles of a product whose resident operand is stored without its zeros, in the cheaper of two ways. Spread out: values go to their
 * places, and all are multiplied at full width. One by one: each value meets its input, and zeros cost nothing. Neither is measured on a
 * wafer for one token (hardware.md section 4.10): the costs of an index are assumed, and a gain in time is unproven. The bound counts
 * the values alone.
 */
export function sparseCost(
  product: Product,
  { kind, values }: { readonly kind: SparseKind; readonly values: number },
  target: Target,
): ProductCost {
  const { macs, elements, bytes } = product;
  const tokens = elements === 0 ? 0 : macs / elements;
  const dense = productCost(product, target);
  const index = values * INDEX_CYCLES[kind] + (kind === 'bitmap' ? elements / BITMAP_WORD : 0);
  const placed = values / target.unpackPerCycle;
  const spread = { multiply: dense.multiply, unpack: Math.max(dense.unpack, placed), index };
  const single = { multiply: values * tokens * SPARSE_MAC_CYCLES, unpack: 0, index };
  const least = productCost({ ...product, macs: values * tokens, elements: values, bytes }, target);
  return {
    ...(single.multiply < spread.multiply + spread.unpack ? single : spread),
    bound: least.bound,
    boundBy: least.boundBy,
  };
}

/** Elements per cycle of an elementwise operation; a type that is not listed runs as the listed one of its width. */
export function simdRate(dtype: DType, { simdPerCycle }: Target): number {
  const half = simdPerCycle.f16 ?? 1;
  return simdPerCycle[dtype] ?? (DTYPE_BITS[dtype] >= 32 ? (simdPerCycle.f32 ?? half / 2) : half);
}

export interface VectorCost {
  readonly cycles: number;
  readonly bound: number;
  readonly boundBy: 'compute' | 'sram';
}

/** `passes` SIMD passes over `elements`, of which `reads` operands come from SRAM; the bound counts one pass. */
export function vectorCost(
  { elements, passes, reads, dtype }: { elements: number; passes: number; reads: number; dtype: DType },
  target: Target,
): VectorCost {
  const once = elements / simdRate(dtype, target);
  const sram = (elements * reads * DTYPE_BITS[dtype]) / 8 / target.sramReadBytesPerCycle;
  return {
    cycles: Math.max(once * passes, sram),
    bound: Math.max(once, sram),
    boundBy: once >= sram ? 'compute' : 'sram',
  };
}
