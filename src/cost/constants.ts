/**
 * Constants of the calibrated estimate. Nothing here enters a physical bound. The two fitted numbers come from the
 * six decode rows of calibration.ts (WaferLLM, OSDI 2025, table 4) by least squares of relative errors, residuals at
 * most 5 %; a test repeats the fit. WSE-2, dense layers, sides 420-660, context about 4K: elsewhere they extrapolate.
 */
import { DTYPE_BITS, type DType } from '../ir/types.ts';

/** Fitted: cycles per f16 multiply-accumulate of a core that does 4 a cycle (WSE-2). */
export const FITTED_CYCLES_PER_MAC = 0.73;
export const FITTED_MACS_PER_CYCLE = 4;

/**
 * Fitted: cycles of a layer that neither wavelets nor multiplications explain. (With the shorter closed form
 * P + 5(g/2 + P/2g) + 3B, which leaves out the broadcast's ramps, the same fit gives 6,500.)
 */
export const FITTED_LAYER_OVERHEAD = 6200;

/** Operations of the layer behind those rows: WaferLLM repository, `decode_struct`. */
export const CALIBRATION_LAYER = { collectives: 10, gemvs: 7, vectors: 8 } as const;

/** Cycles of software that an op costs beside its wavelets and multiplications. */
export interface Overhead {
  readonly collective: number;
  /** Of a matrix product, and of a vector operation. */
  readonly compute: number;
}

/**
 * The kinds of ops that the overhead is shared among. Vector operations that follow each other are one: what stands between
 * the published layer's products and collectives makes 8 of them.
 */
const COLLECTIVES = CALIBRATION_LAYER.collectives;
const COMPUTES = CALIBRATION_LAYER.gemvs + CALIBRATION_LAYER.vectors;

/**
 * The fit gives one number for a whole layer; how it is shared out is an assumption. `even`, the default, gives each
 * of the layer's operations the same, so that removing one pays. The other two are the extremes: `wafc bench waferllm`
 * prints what they would change, and no plan is made with them.
 */
export const OVERHEAD_SPLITS = {
  even: {
    collective: FITTED_LAYER_OVERHEAD / (COLLECTIVES + COMPUTES),
    compute: FITTED_LAYER_OVERHEAD / (COLLECTIVES + COMPUTES),
  },
  collectives: { collective: FITTED_LAYER_OVERHEAD / COLLECTIVES, compute: 0 },
  compute: { collective: 0, compute: FITTED_LAYER_OVERHEAD / COMPUTES },
} as const satisfies Record<string, Overhead>;

/**
 * How much slower than its SIMD rate a core multiplies: 2.92 for 16-bit and smaller types (the fit). Assumed to hold
 * for other rates too: an 8-wide core halves the cycles. 1.32 for f32: TLR-MVM (SC 2023) read 3.04 of 4 B a cycle.
 */
export const slowdownOf = (dtype: DType): number =>
  DTYPE_BITS[dtype] >= 32 ? 4 / 3.04 : FITTED_CYCLES_PER_MAC * FITTED_MACS_PER_CYCLE;

/**
 * Assumed, where a target does not say: cycles in which a core writes one route and binds its queue while a program
 * runs (two registers, a check that the queue is empty). No measurement is published.
 */
export const ROUTE_RESET_CYCLES = 20;

/** Cycles of one scalar division or square root: "about 50", comment in the SDK's blas.csl (WSE-2). */
export const SCALAR_DIVISION_CYCLES = 50;

/** Assumed: SIMD passes over a vector that an exponential (range reduction and polynomial) takes. */
export const EXP_PASSES = 8;
/** Assumed: SIMD passes that a division takes (Newton steps). */
export const DIVIDE_PASSES = 8;

/** Assumed: cycles of work per received wavelet. Sums and maxima keep up with the link (2 f16 or 1 f32 a wavelet). */
export const COMBINE_CYCLES = { sum: 1, max: 1, softmax: 3, moments: 4 } as const;

/** Measured: cycles of a multiply-accumulate for a non-zero in CSC order (SpMM on WSE-2, 64 columns and more: hardware.md section 4.10). */
export const SPARSE_MAC_CYCLES = 2.1;
/** Assumed: cycles that finding the place of a stored value takes. A bitmap is also scanned, a word at a time. */
export const INDEX_CYCLES = { bitmap: 1, gap4: 2, csc8: 1, 'n:m': 1 } as const;
export const BITMAP_WORD = 16;
