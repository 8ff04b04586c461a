/** What calibration keeps of the inputs of a linear layer: sums over tokens, never the tokens. */
import { dense, gemm, transposed } from '../ops/support/gemm.ts';
import type { Tensor, TensorData } from '../tensor/tensor.ts';

/** Rows of inputs that are kept for searches over scales (512 tokens are enough for AWQ, compression.md section 1.5). */
const SAMPLE_ROWS = 512;

export interface StatisticsWanted {
  /** X^T X: columns^2 doubles. */
  readonly moments: boolean;
  /** At most 512 rows, evenly over all tokens. */
  readonly sample: boolean;
}

/** Streaming statistics of a [tokens, columns] input. */
export class InputStatistics {
  readonly columns: number;
  /** Tokens seen. */
  count = 0;
  readonly sum: Float64Array;
  readonly squares: Float64Array;
  readonly absSum: Float64Array;
  readonly absMax: Float64Array;
  /** X^T X, row-major, where wanted. */
  readonly moments: Float64Array | undefined;
  private readonly rows: Float32Array | undefined;
  private readonly expected: number;
  private kept = 0;

  /** @param expected tokens that will come, for an even sample */
  constructor(columns: number, expected: number, wanted: StatisticsWanted) {
    this.columns = columns;
    this.expected = expected;
    this.sum = new Float64Array(columns);
    this.squares = new Float64Array(columns);
    this.absSum = new Float64Array(columns);
    this.absMax = new Float64Array(columns);
    if (wanted.moments) this.moments = new Float64Array(columns * columns);
    if (wanted.sample) this.rows = new Float32Array(Math.min(expected, SAMPLE_ROWS) * columns);
  }

  add({ data }: Tensor): void {
    const { columns } = this;
    const tokens = data.length / columns;
    for (let t = 0; t < tokens; t++) {
      const at = t * columns;
      for (let i = 0; i < columns; i++) {
        const x = data[at + i];
        const size = x < 0 ? -x : x;
        this.sum[i] += x;
        this.squares[i] += x * x;
        this.absSum[i] += size;
        if (size > this.absMax[i]) this.absMax[i] = size;
      }
      this.keep(data, at);
    }
    this.addMoments(data, tokens);
  }

  /** [rows, columns] of inputs as they were. */
  get sample(): { readonly rows: number; readonly values: Float32Array } {
    return { rows: this.kept, values: this.rows?.subarray(0, this.kept * this.columns) ?? new Float32Array(0) };
  }

  /** Inputs that were 0 for every token. */
  get unused(): number {
    return this.absMax.reduce((n, most) => n + (most === 0 ? 1 : 0), 0);
  }

  private keep(data: TensorData, at: number): void {
    const { rows, columns, expected } = this;
    const room = rows === undefined ? 0 : rows.length / columns;
    // Row t is kept when the share of tokens seen passes the share of rows kept.
    if (rows !== undefined && this.kept < room && this.kept * expected <= this.count * room) {
      rows.set(data.subarray(at, at + columns), this.kept * columns);
      this.kept++;
    }
    this.count++;
  }

  private addMoments(data: TensorData, tokens: number): void {
    const { moments, columns } = this;
    if (moments === undefined) return;
    const step = Math.min(columns, MOMENT_ROWS);
    const product = new Float64Array(step * columns);
    const x = dense(data, columns);
    for (let first = 0; first < columns; first += step) {
      const rows = Math.min(step, columns - first);
      gemm(rows, columns, tokens, transposed(dense(data, columns, first)), x, dense(product, columns));
      const to = first * columns;
      for (let i = 0; i < rows * columns; i++) moments[to + i] += product[i];
    }
  }
}
const MOMENT_ROWS = 256;
