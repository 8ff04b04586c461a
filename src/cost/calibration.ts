/**
 * The measurements behind constants.ts and the fit that leads from one to the other. Only these six rows were used;
 * WaferLLM, OSDI 2025, table 4 (WSE-2, 4K context, cycles at its 1.1 GHz); shapes from its repository.
 */
import { CALIBRATION_LAYER, FITTED_CYCLES_PER_MAC, FITTED_LAYER_OVERHEAD } from './constants.ts';
import { middleAllReduce, totalOf } from './line.ts';

/** One decoder layer of the published plan, padded, without grouped queries, on a `side` x `side` region. */
export interface PublishedRow {
  readonly model: string;
  readonly side: number;
  /** Groups of the reduction tree. */
  readonly groups: number;
  readonly dim: number;
  readonly ffn: number;
  readonly context: number;
  /** Measured: 1.1e9 / (tokens per second) / layers. */
  readonly cycles: number;
}

export const CALIBRATION_ROWS: readonly PublishedRow[] = [
  { model: 'LLaMA3-8B', side: 420, groups: 20, dim: 4200, ffn: 14700, context: 4200, cycles: 12732 },
  { model: 'LLaMA3-8B', side: 540, groups: 20, dim: 4320, ffn: 14580, context: 4320, cycles: 13742 },
  { model: 'LLaMA3-8B', side: 660, groups: 22, dim: 4620, ffn: 14520, context: 4620, cycles: 15323 },
  { model: 'QWen2-72B', side: 420, groups: 20, dim: 8400, ffn: 29820, context: 4200, cycles: 16375 },
  { model: 'QWen2-72B', side: 540, groups: 20, dim: 8640, ffn: 29700, context: 4320, cycles: 16681 },
  { model: 'QWen2-72B', side: 660, groups: 22, dim: 8580, ffn: 29700, context: 4620, cycles: 17469 },
];

/** Ten all-reduces one after another, by length in f16 words (`decode_struct`). */
export function publishedLengths({ dim: d, ffn: f, context: s, side: p }: PublishedRow): number[] {
  const lengths = [1, (3 * d) / p, s / p, 1, 1, d / p, d / p, 1, (2 * f) / p, d / p];
  if (lengths.length !== CALIBRATION_LAYER.collectives) throw new Error('the published layer has 10 all-reduces');
  return lengths;
}

/** Cycles of the layer's all-reduces by the closed form, two f16 words a wavelet. */
export function publishedCommunication(row: PublishedRow): number {
  const line = { cores: row.side, stride: 1, hopCycles: 1, rampCycles: 2 };
  const group = Math.ceil(row.side / row.groups);
  return publishedLengths(row).reduce(
    (n, words) => n + totalOf(middleAllReduce(line, Math.ceil(words / 2), group, 1)),
    0,
  );
}

/** 4 d^2 + 3 d f of weights and 2 s d of attention, on the cores of the region. */
export const publishedMacsPerCore = ({ dim: d, ffn: f, context: s, side: p }: PublishedRow): number =>
  (4 * d * d + 3 * d * f + 2 * s * d) / (p * p);

/** Predicted cycles of the layer: what the constants make of it. */
export const predictedLayer = (row: PublishedRow): number =>
  publishedCommunication(row) + FITTED_CYCLES_PER_MAC * publishedMacsPerCore(row) + FITTED_LAYER_OVERHEAD;

export interface Fit {
  readonly cyclesPerMac: number;
  readonly layerOverhead: number;
  /** (predicted - measured) / measured, by row. */
  readonly residuals: readonly number[];
}

/** Least squares of relative errors over `rows`, two unknowns. */
export function fitConstants(rows: readonly PublishedRow[]): Fit {
  let [xx, x1, one, xy, y1] = [0, 0, 0, 0, 0];
  const points = rows.map((row) => ({
    x: publishedMacsPerCore(row),
    y: row.cycles - publishedCommunication(row),
    weight: 1 / row.cycles ** 2,
  }));
  for (const { x, y, weight } of points) {
    xx += weight * x * x;
    x1 += weight * x;
    one += weight;
    xy += weight * x * y;
    y1 += weight * y;
  }
  const determinant = xx * one - x1 * x1;
  const cyclesPerMac = (xy * one - y1 * x1) / determinant;
  const layerOverhead = (xx * y1 - x1 * xy) / determinant;
  const residuals = points.map(({ x, y }, i) => (cyclesPerMac * x + layerOverhead - y) / rows[i].cycles);
  return { cyclesPerMac, layerOverhead, residuals };
}
