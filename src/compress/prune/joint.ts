/**
 * SparseGPT and rounding to integer codes in one sweep: a column that is visited has its mask and its codes, and the columns after it make up
 * for both (compression.md section 1.15). The grid is that of the weights as given, so that it does not depend on the order of columns.
 */
import type { Prepared } from '../compensate.ts';
import type { IntegerFormat } from '../format.ts';
import { codeRange, encode, gridOf } from '../grids.ts';
import { groupsOf, type Matrix, type QuantizedMatrix } from '../matrix.ts';
import { codesFor, quantizedOn } from '../rtn.ts';
import type { Structure } from './select.ts';
import { sparseGpt } from './sparsegpt.ts';

/** Codes of the weights that stay; of those that go, the zero point: an exact zero in every integer format. */
export function sparseCodes(
  matrix: Matrix,
  format: IntegerFormat,
  prepared: Prepared,
  structure: Structure,
): QuantizedMatrix {
  const { rows, columns, values } = matrix;
  const grid = gridOf(matrix, format);
  const { group, shared, scales, zeros } = grid;
  const perRow = groupsOf(columns, group);
  const range = codeRange(format);
  const codes = codesFor(format, values.length);
  sparseGpt(matrix, prepared, {
    structure,
    quantize(column, weights) {
      for (let row = 0; row < rows; row++) {
        const at = (shared ? 0 : row * perRow) + Math.floor(column / group);
        const q = encode(weights[row], scales[at], zeros[at], range);
        codes[row * columns + column] = q;
        weights[row] = Math.fround((q - zeros[at]) * scales[at]);
      }
    },
  });
  return quantizedOn(matrix, format, grid, codes);
}
