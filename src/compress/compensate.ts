/**
 * Optimal brain surgeon, column by column (the loop that GPTQ and SparseGPT share): each column of weights is replaced by what a caller makes
 * of it, and the columns that are still to come take up the error, weighed by the inputs' second moments (compression.md sections 1.4, 1.15).
 */
import { dense, gemm, transposed } from '../ops/support/gemm.ts';
import { inverseFactor } from './linear-algebra.ts';

/** What is made of the weights; columns and rows are those of the matrix W [rows, columns]. */
export interface ColumnRule {
  /**
   * Called before a block of consecutive columns is visited, with their weights as they are by now, one column after another
   * (`weights[i * rows + row]`), and the diagonal of the factor: w^2 / diagonal^2 is the loss of leaving w out.
   */
  begin?(columns: readonly number[], weights: Float64Array, diagonal: Float64Array): void;
  /** The new weights of a column, into `out`; `weights` are its own with the errors so far taken up. */
  column(column: number, weights: Float64Array, out: Float64Array): void;
}

export interface CompensateOptions {
  /** Columns by falling second moment, instead of from left to right. */
  readonly actOrder: boolean;
  /** Share of the mean second moment that is added to all of them; ten times as much when the factor fails, up to three times. */
  readonly damp: number;
  /** Columns whose errors are applied to the rest of the matrix together. */
  readonly block: number;
}
export const COMPENSATE: CompensateOptions = { actOrder: true, damp: 0.01, block: 128 };

export interface Compensated {
  /** W by columns: [columns, rows]. */
  readonly values: Float32Array;
  /** Half the sum of (error / diagonal)^2: what the loss of the layer rises by, to second order. */
  readonly loss: number;
  /** The damping that worked. */
  readonly damp: number;
  /** Columns that no input ever reached; their weights became 0. */
  readonly dead: number;
}

const RETRIES = 3;

/** Second moments made ready: layers that share their inputs share them, too. */
export interface Prepared {
  readonly columns: number;
  /** In which columns are visited. */
  readonly order: readonly number[];
  /** U with (damped, reordered moments)^-1 = U^T U. */
  readonly factor: Float64Array;
  readonly isDead: Uint8Array;
  readonly damp: number;
  readonly options: CompensateOptions;
}

/**
 * @param byColumn W by columns, [columns, rows]; not changed
 */
export function compensate(
  byColumn: Float32Array,
  rows: number,
  { columns, order, factor, isDead, damp, options }: Prepared,
  rule: ColumnRule,
  blockColumns = options.block,
): Compensated {
  const work = new Float32Array(rows * columns);
  for (const [i, column] of order.entries()) {
    if (isDead[column] === 1) continue; // stays 0
    work.set(byColumn.subarray(column * rows, (column + 1) * rows), i * rows);
  }
  const values = new Float32Array(rows * columns);
  const [weights, out] = [new Float64Array(rows), new Float64Array(rows)];
  let loss = 0;
  for (let start = 0; start < columns; start += blockColumns) {
    const width = Math.min(blockColumns, columns - start);
    const block = Float64Array.from(work.subarray(start * rows, (start + width) * rows));
    const errors = new Float32Array(width * rows);
    const diagonal = Float64Array.from({ length: width }, (_, i) => factor[(start + i) * columns + start + i]);
    rule.begin?.(order.slice(start, start + width), block, diagonal);
    for (let i = 0; i < width; i++) {
      weights.set(block.subarray(i * rows, (i + 1) * rows));
      rule.column(order[start + i], weights, out);
      values.set(out, order[start + i] * rows);
      for (let row = 0; row < rows; row++) {
        const error = (weights[row] - out[row]) / diagonal[i];
        weights[row] = error;
        loss += error * error;
      }
      errors.set(weights, i * rows);
      for (let later = i + 1; later < width; later++) {
        const share = factor[(start + i) * columns + start + later];
        if (share === 0) continue;
        const at = later * rows;
        for (let row = 0; row < rows; row++) block[at + row] -= share * weights[row];
      }
    }
    spread(work, errors, factor, { rows, columns, start, width });
  }
  return { values, loss: loss / 2, damp, dead: isDead.reduce((n, dead) => n + dead, 0) };
}

/** Errors of a block applied to all columns after it, some at a time. */
function spread(
  work: Float32Array,
  errors: Float32Array,
  factor: Float64Array,
  { rows, columns, start, width }: { rows: number; columns: number; start: number; width: number },
): void {
  const from = start + width;
  const step = Math.max(1, Math.min(columns - from, SPREAD_COLUMNS));
  const product = new Float32Array(step * rows);
  for (let first = from; first < columns; first += step) {
    const count = Math.min(step, columns - first);
    const shares = transposed(dense(factor, columns, start * columns + first));
    gemm(count, rows, width, shares, dense(errors, rows), dense(product, rows));
    const at = first * rows;
    for (let i = 0; i < count * rows; i++) work[at + i] -= product[i];
  }
}
const SPREAD_COLUMNS = 512;

function columnOrder(moments: Float64Array, columns: number, byMoment: boolean): number[] {
  const order = Array.from({ length: columns }, (_, i) => i);
  const at = (i: number): number => moments[i * columns + i];
  return byMoment ? order.sort((a, b) => at(b) - at(a) || a - b) : order;
}

/**
 * @param moments second moments of the inputs (any positive multiple of X^T X), [columns, columns]; not changed
 * @throws RangeError when the moments have no factor even with the largest damping (they are not finite)
 */
export function prepareMoments(moments: Float64Array, columns: number, options = COMPENSATE): Prepared {
  const order = columnOrder(moments, columns, options.actOrder);
  const isDead = new Uint8Array(columns);
  let sum = 0;
  for (let i = 0; i < columns; i++) {
    const moment = moments[i * columns + i];
    sum += moment === 0 ? 1 : moment;
    isDead[i] = moment === 0 ? 1 : 0;
  }
  for (let retry = 0, damp = options.damp; retry <= RETRIES; retry++, damp *= 10) {
    const h = new Float64Array(columns * columns);
    for (let i = 0; i < columns; i++) {
      const row = order[i] * columns;
      for (let j = 0; j < columns; j++) h[i * columns + j] = moments[row + order[j]];
      h[i * columns + i] += (damp * sum) / columns + isDead[order[i]];
    }
    const factor = inverseFactor(h, columns);
    if (factor !== undefined) return { columns, order, factor, isDead, damp, options };
  }
  throw new RangeError('the second moments of the inputs have no Cholesky factor: they are not finite');
}
