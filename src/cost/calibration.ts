/**
 * The measurements behind constants.ts and the fits that lead from one to the other (`wafc bench calibrate` prints
 * them). Only these rows were used: WaferLLM, OSDI 2025, tables 4 (decode) and 3 (prefill), WSE-2, 4K context, at its
 * 1.1 GHz; shapes from its repository.
 */
import type { Target } from '../ir/target.ts';
import { costPublished, publishedCycles, type PublishedRow, sharesOf } from './published.ts';

const CLOCK = { clockGHz: 1.1 } as const;
const LLAMA = { model: 'LLaMA3-8B', layers: 32, ...CLOCK } as const;
const QWEN = { model: 'QWen2-72B', layers: 80, ...CLOCK } as const;

export const CALIBRATION_ROWS: readonly PublishedRow[] = [
  { ...LLAMA, grid: 420, groups: 20, dim: 4200, ffn: 14700, seq: 4200, tokensPerSecond: 2699.9 },
  { ...LLAMA, grid: 540, groups: 20, dim: 4320, ffn: 14580, seq: 4320, tokensPerSecond: 2501.5 },
  { ...LLAMA, grid: 660, groups: 22, dim: 4620, ffn: 14520, seq: 4620, tokensPerSecond: 2243.3 },
  { ...QWEN, grid: 420, groups: 20, dim: 8400, ffn: 29820, seq: 4200, tokensPerSecond: 839.7 },
  { ...QWEN, grid: 540, groups: 20, dim: 8640, ffn: 29700, seq: 4320, tokensPerSecond: 824.3 },
  { ...QWEN, grid: 660, groups: 22, dim: 8580, ffn: 29700, seq: 4620, tokensPerSecond: 787.1 },
];

/** Whether the rows cover a plan: sides 360 to 660, contexts about 4K. Elsewhere a prediction is an extrapolation. */
export const isCalibrated = ({ grid, seq }: Pick<PublishedRow, 'grid' | 'seq'>): boolean =>
  grid >= 360 && grid <= 660 && seq >= 3072 && seq <= 6144;

/** Predicted cycles of a token: the layer's ops, one after another, times the layers. */
export const predictedToken = (row: PublishedRow, target: Target): number =>
  row.layers * sharesOf(costPublished(row, target)).cycles;

/** Two unknowns and how far each row is from what they give: (predicted - measured) / measured. */
export interface Fit {
  readonly slope: number;
  readonly offset: number;
  readonly residuals: readonly number[];
}

interface Point {
  /** measured = slope x + offset z + known. */
  readonly x: number;
  readonly z: number;
  readonly known: number;
  readonly measured: number;
}

/** Least squares of relative errors. */
function leastSquares(points: readonly Point[]): Fit {
  let [xx, xz, zz, xy, zy] = [0, 0, 0, 0, 0];
  for (const { x, z, known, measured } of points) {
    const weight = 1 / measured ** 2;
    const y = measured - known;
    xx += weight * x * x;
    xz += weight * x * z;
    zz += weight * z * z;
    xy += weight * x * y;
    zy += weight * z * y;
  }
  const determinant = xx * zz - xz * xz;
  const slope = (xy * zz - zy * xz) / determinant;
  const offset = (xx * zy - xz * xy) / determinant;
  const residuals = points.map(({ x, z, known, measured }) => (slope * x + offset * z + known) / measured - 1);
  return { slope, offset, residuals };
}

/** Cycles of a multiply-accumulate (slope) and overhead of a layer (offset); communication by its closed forms. */
export function fitDecode(rows: readonly PublishedRow[], target: Target): Fit {
  return leastSquares(
    rows.map((row) => {
      const { communication, macs } = sharesOf(costPublished(row, target));
      return { x: macs, z: 1, known: communication, measured: publishedCycles(row) / row.layers };
    }),
  );
}

/** A prompt that took all layers on one square region: tokens of the prompt per second. */
export type PrefillRow = Omit<PublishedRow, 'groups'>;

/** Prompts of 4096 tokens, padded like the context. */
export const PREFILL_ROWS: readonly PrefillRow[] = [
  { ...LLAMA, grid: 480, dim: 4320, ffn: 14400, seq: 4320, tokensPerSecond: 20320.6 },
  { ...LLAMA, grid: 600, dim: 4200, ffn: 14400, seq: 4200, tokensPerSecond: 25037.2 },
  { ...LLAMA, grid: 720, dim: 4320, ffn: 14400, seq: 4320, tokensPerSecond: 27686.5 },
];
const PROMPT_TOKENS = 4096;
/** Q, K, V, scores, values, O, gate, up, down. */
const PREFILL_PRODUCTS = 9;

/** Cycles that a prompt takes in one layer as published. */
export const prefillCycles = ({ clockGHz, tokensPerSecond, layers }: PrefillRow): number =>
  (PROMPT_TOKENS * clockGHz * 1e9) / tokensPerSecond / layers;

/**
 * MeshGEMM (OSDI 2025, section 5): every product is `grid` steps of multiply and shift. Slope: cycles of a
 * multiply-accumulate; offset: cycles of a step beside them. Our plans do not run it (a prompt streams through the
 * regions, token by token, on the program of decode), so these two enter no plan: they say what a published prefill costs.
 */
export function fitPrefill(rows: readonly PrefillRow[]): Fit {
  return leastSquares(
    rows.map((row) => {
      const { dim: d, ffn: f, seq: s, grid } = row;
      const macs = (s * (4 * d * d + 3 * d * f) + 2 * s * s * d) / (grid * grid);
      return { x: macs, z: PREFILL_PRODUCTS * grid, known: 0, measured: prefillCycles(row) };
    }),
  );
}
