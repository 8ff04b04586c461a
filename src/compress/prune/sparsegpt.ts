/**
 * SparseGPT (Frantar and Alistarh, 2023): weights are dropped column by column, and the columns that are left make up for the error, as the
 * second moments of the inputs say. The loop is that of GPTQ (compensate.ts); here stands what is dropped.
 */
import { type Compensated, compensate, type Prepared } from '../compensate.ts';
import type { Matrix } from '../matrix.ts';
import { type Extents, selectMask, type Structure } from './select.ts';

export interface SparseGptOptions {
  /** `layer` and `row` hold within each block of columns; `tile` is chosen on the weights as given. */
  readonly structure: Structure;
  /** Rounds what stays of a column, in place: [rows]. Zeros must stay zeros; each column once. */
  quantize?(column: number, weights: Float64Array): void;
}

/**
 * Weights with the lowest loss dropped, [rows, columns].
 *
 * @param prepared moments of the inputs; columns must be visited from left to right (`actOrder: false`) for `n:m`
 * @throws RangeError for `n:m` on reordered columns
 */
export function sparseGpt(matrix: Matrix, prepared: Prepared, { structure, quantize }: SparseGptOptions): Float32Array {
  const { rows, columns } = matrix;
  const extents: Extents = { rows, cols: columns };
  const { options } = prepared;
  if (structure.kind === 'n:m' && options.actOrder) throw new RangeError('runs of columns need columns in their order');
  const mask = structure.kind === 'tile' ? selectMask(losses(matrix, prepared), extents, structure) : undefined;
  let block: { readonly kept: Uint8Array; readonly at: ReadonlyMap<number, number> } | undefined;
  const stays = (row: number, column: number): boolean => {
    if (mask !== undefined) return mask[row * columns + column] === 1;
    const at = block?.at.get(column) ?? 0;
    return block?.kept[row * block.at.size + at] === 1;
  };
  const { values: byColumn }: Compensated = compensate(
    columnsOf(matrix),
    rows,
    prepared,
    {
      begin(visited, weights, diagonal) {
        if (structure.kind === 'tile') return;
        const scores = new Float32Array(rows * visited.length);
        for (const [i, d] of diagonal.entries())
          for (let row = 0; row < rows; row++) scores[row * visited.length + i] = (weights[i * rows + row] / d) ** 2;
        const kept = selectMask(scores, { rows, cols: visited.length }, structure);
        block = { kept, at: new Map(visited.map((column, i) => [column, i])) };
      },
      column(column, weights, out) {
        for (let row = 0; row < rows; row++) out[row] = stays(row, column) ? weights[row] : 0;
        quantize?.(column, out);
      },
    },
    // A run is chosen when its turn comes, with the errors so far taken up.
    structure.kind === 'n:m' ? structure.of : options.block,
  );
  const out = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++)
    for (let c = 0; c < columns; c++) out[row * columns + c] = byColumn[c * rows + row];
  return out;
}

/** w^2 / diagonal^2: what leaving a weight out costs when the columns visited after it make up for it. */
function losses({ rows, columns, values }: Matrix, { order, factor }: Prepared): Float32Array {
  const scores = new Float32Array(rows * columns);
  for (const [i, column] of order.entries())
    for (let row = 0; row < rows; row++)
      scores[row * columns + column] = (values[row * columns + column] / factor[i * columns + i]) ** 2;
  return scores;
}

function columnsOf({ rows, columns, values }: Matrix): Float32Array {
  const out = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++)
    for (let c = 0; c < columns; c++) out[c * rows + row] = values[row * columns + c];
  return out;
}
