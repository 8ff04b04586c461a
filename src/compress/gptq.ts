/** GPTQ (Frantar et al. 2022): rounding column by column, with errors taken up by the columns that follow. */
import { compensate, type Prepared } from './compensate.ts';
import type { IntegerFormat } from './format.ts';
import { codeRange, encode, extremesOf, type GridParameters, gridOf, parametersFrom } from './grids.ts';
import { groupsOf, type Matrix, type QuantizedMatrix } from './matrix.ts';
import { codesFor, quantizedOn } from './rtn.ts';

export interface GptqResult {
  readonly quantized: QuantizedMatrix;
  /** See Compensated. */
  readonly loss: number;
  readonly damp: number;
  readonly dead: number;
}

/**
 * @param given a grid to round to. Without one: the extremes of the given weights when columns go by their moments, so that no order is
 * needed at run time; else the extremes of each group as its turn comes, with the errors so far taken up.
 */
export function gptq(matrix: Matrix, format: IntegerFormat, prepared: Prepared, given?: GridParameters): GptqResult {
  const { rows, columns, values } = matrix;
  const grid = given ?? gridOf(matrix, format);
  const { group, scales, zeros } = grid;
  const perRow = groupsOf(columns, group);
  const range = codeRange(format);
  const codes = codesFor(format, values.length);
  const isLate = given === undefined && !prepared.options.actOrder && !grid.shared && typeof format.group === 'number';
  const place = (row: number, column: number): number => (grid.shared ? 0 : row * perRow) + Math.floor(column / group);
  // Groups that begin inside a block see their weights as they are when the block begins only if they are renewed there.
  const renew = (columnsLeft: Float64Array, first: number, count: number): void => {
    const part = new Float32Array(rows * count);
    for (let c = 0; c < count; c++)
      for (let row = 0; row < rows; row++) part[row * count + c] = columnsLeft[c * rows + row];
    const fresh = parametersFrom(extremesOf({ rows, columns: count, values: part }, count, false), format);
    for (let row = 0; row < rows; row++) {
      scales[place(row, first)] = fresh.scales[row];
      zeros[place(row, first)] = fresh.zeros[row];
    }
  };
  const width = prepared.options.block;
  let block: { first: number; weights: Float64Array } | undefined;
  const { loss, damp, dead } = compensate(
    transposeValues(values, rows, columns),
    rows,
    prepared,
    {
      begin: (visited, weights) => {
        block = { first: visited[0], weights };
      },
      column: (column, weights, out) => {
        if (isLate && block !== undefined && column % group === 0) {
          const count = Math.min(group, columns - column);
          renew(block.weights.subarray((column - block.first) * rows), column, count);
        }
        for (let row = 0; row < rows; row++) {
          const at = place(row, column);
          // A weight that is exactly 0 was pruned: it takes up no errors.
          const weight = values[row * columns + column] === 0 ? 0 : weights[row];
          const q = encode(weight, scales[at], zeros[at], range);
          codes[row * columns + column] = q;
          out[row] = Math.fround((q - zeros[at]) * scales[at]);
        }
      },
    },
    // A group must lie whole in a block to be renewed.
    isLate ? Math.max(group, width - (width % group)) : width,
  );
  return { quantized: quantizedOn(matrix, format, grid, codes), loss, damp, dead };
}

/** [rows, columns] -> [columns, rows], in squares that stay in the cache. */
export function transposeValues(values: Float32Array, rows: number, columns: number): Float32Array {
  const out = new Float32Array(values.length);
  for (let r0 = 0; r0 < rows; r0 += SQUARE)
    for (let c0 = 0; c0 < columns; c0 += SQUARE)
      for (let r = r0; r < Math.min(rows, r0 + SQUARE); r++)
        for (let c = c0; c < Math.min(columns, c0 + SQUARE); c++) out[c * rows + r] = values[r * columns + c];
  return out;
}
const SQUARE = 32;
