/** One matrix, one format, one algorithm: the choice among the algorithms of this folder, and what it cost. */
import { roundTo } from '../tensor/pack.ts';
import { clippedByInputs } from './awq.ts';
import { clippedGrid } from './clip.ts';
import { COMPENSATE, type CompensateOptions, type Prepared, prepareMoments } from './compensate.ts';
import { type Format, type IntegerFormat, printFormat } from './format.ts';
import { quantizeFloat8, quantizeMicro, quantizeNvfp4 } from './floats.ts';
import { gptq } from './gptq.ts';
import { gridOf, type GridParameters } from './grids.ts';
import { hqq } from './hqq.ts';
import type { Matrix, QuantizedMatrix } from './matrix.ts';
import { roundToNearest } from './rtn.ts';

/**
 * How codes are found. `rtn`: nearest; `mse`: range clipped by weight error; `hqq`: zero points fitted, without data; `awq`: range clipped by
 * the error of the outputs (scales are folded by the pass scale-inputs); `gptq`: errors taken up by later columns; `awq+gptq`: both.
 */
export const ALGORITHMS = ['rtn', 'mse', 'hqq', 'awq', 'gptq', 'awq+gptq'] as const;
export type Algorithm = (typeof ALGORITHMS)[number];

export const isAlgorithm = (word: string): word is Algorithm => ALGORITHMS.some((known) => known === word);

/** Whether an algorithm looks at inputs. */
export const needsInputs = (algorithm: Algorithm): boolean => algorithm.includes('awq') || algorithm.includes('gptq');

/** Second moments of the inputs, with the factor that GPTQ needs made once for all layers that share them. */
export class Moments {
  readonly values: Float64Array;
  readonly columns: number;
  private readonly options: CompensateOptions;
  private ready: Prepared | undefined;

  constructor(values: Float64Array, columns: number, options: CompensateOptions = COMPENSATE) {
    this.values = values;
    this.columns = columns;
    this.options = options;
  }

  /** @throws RangeError when the moments are not finite. */
  prepared(): Prepared {
    this.ready ??= prepareMoments(this.values, this.columns, this.options);
    return this.ready;
  }
}

export type Compressed =
  | { readonly quantized: QuantizedMatrix }
  | { readonly dense: Float32Array; readonly overflowed: number };

/**
 * Compresses a matrix. Algorithms that search integer grids are round-to-nearest for other formats.
 * @param isClippable false for queries and keys: clipping those does harm (AWQ's rule)
 * @throws RangeError when the algorithm needs inputs and there are none
 */
export function compressMatrix(
  matrix: Matrix,
  format: Exclude<Format, { kind: 'keep' }>,
  algorithm: Algorithm,
  moments?: Moments,
  isClippable = true,
): Compressed {
  switch (format.kind) {
    case 'half':
      return toHalf(matrix);
    case 'float':
      return { quantized: quantizeFloat8(matrix, format) };
    case 'micro':
      return { quantized: quantizeMicro(matrix, format) };
    case 'nvfp4':
      return { quantized: quantizeNvfp4(matrix) };
    case 'integer':
      return { quantized: quantizeInteger(matrix, format, algorithm, moments, isClippable) };
  }
}

function quantizeInteger(
  matrix: Matrix,
  format: IntegerFormat,
  algorithm: Algorithm,
  moments: Moments | undefined,
  isClippable: boolean,
): QuantizedMatrix {
  if (algorithm === 'hqq' && format.grid === 'asymmetric' && format.group !== 'tensor') {
    // Its zero points lie between codes: zeros of a pruned matrix would come to life.
    return isSparse(matrix) ? roundToNearest(matrix, format, clippedGrid(matrix, format)) : hqq(matrix, format);
  }
  if (algorithm === 'rtn' || algorithm === 'hqq') return roundToNearest(matrix, format);
  if (algorithm === 'mse') return roundToNearest(matrix, format, clippedGrid(matrix, format));
  if (moments === undefined)
    throw new RangeError(`${algorithm} of ${printFormat(format)} needs the moments of the inputs`);
  const clipped = algorithm !== 'gptq' && isClippable ? clippedByInputs(matrix, format, moments.values) : undefined;
  if (algorithm === 'awq') return roundToNearest(matrix, format, clipped ?? gridOf(matrix, format));
  return gptq(matrix, format, moments.prepared(), clipped satisfies GridParameters | undefined).quantized;
}

/** Whether so many weights are zero that they were meant to be. */
function isSparse({ values }: Matrix): boolean {
  let zeros = 0;
  for (let i = 0; i < values.length; i++) if (values[i] === 0) zeros++;
  return zeros * FEW_ZEROS >= values.length;
}
const FEW_ZEROS = 20;

/** The largest f16. */
const MOST_HALF = 65504;

/** Weights in f16; those beyond its range become its largest value, and are counted. */
function toHalf({ values }: Matrix): Compressed {
  const dense = roundTo('f16', values.slice());
  let overflowed = 0;
  for (let i = 0; i < dense.length; i++) {
    if (Number.isFinite(dense[i]) || !Number.isFinite(values[i])) continue;
    dense[i] = Math.sign(values[i]) * MOST_HALF;
    overflowed++;
  }
  return { dense, overflowed };
}
