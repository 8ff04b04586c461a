/**
 * What compression did to every matrix (compression.md section 6.3): the noise of its weights, and of its outputs on calibration inputs. Weights are
 * compared with those that were rounded, after scales were folded: other bases cannot be compared. One matrix is held at a time.
 */
import { codeError } from '../compress/clipped.ts';
import { matrixOf } from '../compress/constant.ts';
import { type Linear, linearsOf } from '../eval/linears.ts';
import { type Model, runValues } from '../eval/sequence.ts';
import { type Constant, elementCount, isQuantized } from '../ir/constant.ts';
import type { ValueId } from '../ir/ids.ts';
import { bitsPerWeight, formatName } from '../ir/storage.ts';
import type { TensorData } from '../tensor/tensor.ts';

export interface MatrixQuality {
  /** ONNX node, and the constant that holds the weight. */
  readonly node: string;
  readonly weight: string;
  readonly format: string;
  readonly bitsPerWeight: number;
  /** 10 log10(sum w^2 / sum (w - v)^2); null where nothing changed. */
  readonly sqnrDb: number | null;
  /** Of the outputs for calibration inputs; null without a text. */
  readonly outputCosine: number | null;
  readonly outputRelativeMse: number | null;
  /** Share of weights beyond the last code of their grid; null where values are no integer codes. */
  readonly clipped: number | null;
  /** Share of weights that are not zero. */
  readonly density: number;
}

/** All matrices, and the noise of their weights together. */
export interface Quality {
  readonly matrices: readonly MatrixQuality[];
  readonly sqnrDb: number | null;
}

/** Calibration tokens that outputs are compared on. */
const TOKENS = 128;

/** Quality of every linear layer whose weight is stored otherwise in `after`; layers go by the name of their weight. */
export function matrixQuality(before: Model, after: Model, windows: readonly Int32Array[] | undefined): Quality {
  const was = new Map(linearsOf(before.graph).map((linear) => [before.graph.names[linear.weight], linear]));
  const changed = linearsOf(after.graph).flatMap((linear) => {
    const weight = after.graph.names[linear.weight];
    const old = was.get(weight);
    const isSame = old === undefined || old.constant === linear.constant;
    return isSame || old.constant.shape.join() !== linear.constant.shape.join() ? [] : [{ weight, old, linear }];
  });
  const inputs = inputsOf(
    before,
    changed.map(({ old }) => old),
    windows,
  );
  const total = { signal: 0, noise: 0 };
  const matrices = changed.map(({ weight, old, linear }) => ({
    node: linear.node,
    weight,
    format: formatName(linear.constant),
    bitsPerWeight: bitsPerWeight(linear.constant),
    ...compared(old.constant, linear.constant, inputs.get(old.x), total),
  }));
  return { matrices, sqnrDb: decibels(total) };
}

interface Energy {
  signal: number;
  noise: number;
}
const decibels = ({ signal, noise }: Energy): number | null =>
  noise === 0 || signal === 0 ? null : 10 * Math.log10(signal / noise);

/** Inputs [tokens, columns] of layers, from the first window. */
function inputsOf(
  model: Model,
  linears: readonly Linear[],
  windows: readonly Int32Array[] | undefined,
): ReadonlyMap<ValueId, TensorData> {
  const found = new Map<ValueId, TensorData>();
  if (windows === undefined || windows.length === 0 || linears.length === 0) return found;
  const values = linears.map(({ x }) => x);
  runValues(model, [windows[0].subarray(0, TOKENS)], values, (x, { data }) => found.set(x, data));
  return found;
}

type Compared = Pick<MatrixQuality, 'sqnrDb' | 'outputCosine' | 'outputRelativeMse' | 'clipped' | 'density'>;

function compared(dense: Constant, stored: Constant, inputs: TensorData | undefined, total: Energy): Compared {
  const { rows, columns, values } = matrixOf(dense);
  const { values: made } = matrixOf(stored);
  const beyond = isQuantized(stored) ? codeError(stored) : undefined;
  let [signal, noise, zeros, clipped] = [0, 0, 0, 0];
  for (let row = 0; row < rows; row++) {
    for (let i = row * columns; i < (row + 1) * columns; i++) {
      const error = values[i] - made[i];
      signal += values[i] * values[i];
      noise += error * error;
      if (made[i] === 0) zeros++;
      if (beyond?.(row, i - row * columns, error) === true) clipped++;
    }
  }
  total.signal += signal;
  total.noise += noise;
  const count = elementCount(dense.shape);
  return {
    sqnrDb: decibels({ signal, noise }),
    ...outputs(values, made, rows, columns, inputs),
    clipped: beyond === undefined ? null : clipped / count,
    density: 1 - zeros / count,
  };
}

function outputs(
  dense: Float32Array,
  made: Float32Array,
  rows: number,
  columns: number,
  inputs: TensorData | undefined,
): Pick<MatrixQuality, 'outputCosine' | 'outputRelativeMse'> {
  if (inputs === undefined) return { outputCosine: null, outputRelativeMse: null };
  let [ab, aa, bb, noise] = [0, 0, 0, 0];
  for (let at = 0; at + columns <= inputs.length; at += columns) {
    for (let row = 0; row < rows; row++) {
      let [a, b] = [0, 0];
      for (let i = 0, w = row * columns; i < columns; i++, w++) {
        const x = inputs[at + i];
        a += x * dense[w];
        b += x * made[w];
      }
      ab += a * b;
      aa += a * a;
      bb += b * b;
      noise += (a - b) ** 2;
    }
  }
  if (aa === 0 || bb === 0) return { outputCosine: null, outputRelativeMse: null };
  return { outputCosine: Math.min(1, ab / Math.sqrt(aa * bb)), outputRelativeMse: noise / aa };
}
