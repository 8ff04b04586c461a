/** Round to nearest on integer grids, with the grid of the extremes or one that was searched for. */
import type { IntegerFormat } from './format.ts';
import { storedType } from './format.ts';
import { codeRange, encodeAll, type GridParameters, gridOf } from './grids.ts';
import type { Matrix, QuantizedMatrix } from './matrix.ts';

/** The matrix rounded to a grid; by default that of its extremes. */
export function roundToNearest(matrix: Matrix, format: IntegerFormat, grid = gridOf(matrix, format)): QuantizedMatrix {
  const codes = codesFor(format, matrix.values.length);
  encodeAll(matrix, grid, codeRange(format), codes);
  return quantizedOn(matrix, format, grid, codes);
}

/** Room for the codes of a format. */
export const codesFor = ({ grid }: IntegerFormat, count: number): Int8Array | Uint8Array =>
  grid === 'asymmetric' ? new Uint8Array(count) : new Int8Array(count);

/** Codes on a grid as a quantized matrix. */
export function quantizedOn(
  { rows, columns }: Pick<Matrix, 'rows' | 'columns'>,
  format: IntegerFormat,
  { group, shared, scales, zeros }: GridParameters,
  codes: Int8Array | Uint8Array,
): QuantizedMatrix {
  return {
    rows,
    columns,
    stored: storedType(format),
    codes,
    group,
    shared,
    scales,
    scaleType: 'f16',
    zeros: format.grid === 'asymmetric' ? zeros : 0,
  };
}
