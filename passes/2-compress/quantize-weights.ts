/**
 * quantize-weights: weights of linear layers as codes with scales.
 *
 * Before  wafc.linear with dense weights.
 * After   the same ops; weights are quantized constants (or f16), whose values are those of the format. With `correctBias`, biases that
 *         cancel the mean error of the outputs.
 * Skips   weights that are quantized already; formats `keep`. With `shapesOnly`, values: what is stored how is all that a plan without
 *         weights needs.
 *
 * Algorithms that look at inputs (awq, gptq) walk the calibration windows through the model once; each layer sees what the layers before it
 * make of them as they are compressed by then.
 */
import { formatsFor, readFormat } from '../../src/compress/assign.ts';
import { denseWeight, matrixOf, weightFrom } from '../../src/compress/constant.ts';
import { type Format, KEEP } from '../../src/compress/format.ts';
import { dequantizeMatrix, type Matrix } from '../../src/compress/matrix.ts';
import { Spill } from '../../src/compress/spill.ts';
import { unknownWeight } from '../../src/compress/unknown.ts';
import { ALGORITHMS, compressMatrix, isAlgorithm, Moments, needsInputs } from '../../src/compress/weights.ts';
import { fail } from '../../src/diag/diagnostic.ts';
import { type Linear, linearsOf } from '../../src/eval/linears.ts';
import type { InputStatistics } from '../../src/eval/statistics.ts';
import { walkModel } from '../../src/eval/walk.ts';
import { bytesSource, type Constant, denseConstant, isQuantized } from '../../src/ir/constant.ts';
import type { ValueId } from '../../src/ir/ids.ts';
import { definePass } from '../../src/pass/pass.ts';
import { pack } from '../../src/tensor/pack.ts';
import { readConstant } from '../../src/tensor/read.ts';

const OPTIONS: {
  readonly format: string;
  readonly algorithm: string;
  readonly head: string;
  readonly overrides: readonly string[];
  readonly exclude: readonly string[];
  readonly actOrder: boolean;
  readonly damp: number;
  readonly block: number;
  readonly correctBias: boolean;
  readonly shapesOnly: boolean;
} = {
  format: 'int8',
  algorithm: 'rtn',
  head: 'int8',
  overrides: [],
  exclude: [],
  actOrder: true,
  damp: 0.01,
  block: 128,
  correctBias: false,
  shapesOnly: false,
};

export default definePass({
  name: 'quantize-weights',
  summary: 'store weights of linear layers as codes with scales',
  requires: [],
  provides: [],
  preserves: [],
  numerics: 'lossy',
  options: OPTIONS,
  run(program, { options, edit: begin, count, report }) {
    const { graph, calibration } = program;
    const { algorithm, actOrder, damp, block, correctBias, shapesOnly } = options;
    if (!isAlgorithm(algorithm))
      fail({ code: 'compress/algorithm', message: `'${algorithm}' is none of ${ALGORITHMS.join(', ')}` });
    const linears = linearsOf(graph);
    const formats = formatsFor(linears, {
      ...options,
      format: readFormat(options.format),
      head: readFormat(options.head),
    });
    const formatOf = ({ op }: Linear): Format => formats.get(op) ?? KEEP;
    const edit = begin(graph);
    const done = new Map<Constant, Constant>();
    const spill = new Spill();

    const compress = (
      linear: Linear,
      format: Format,
      moments: Moments | undefined,
      mean: Float64Array | undefined,
    ): void => {
      const { constant, weight } = linear;
      if (format.kind === 'keep' || isQuantized(constant) || done.has(constant)) return;
      const matrix = matrixOf(constant);
      const found = compressMatrix(matrix, format, algorithm, moments, !linear.feedsScores);
      const name = graph.names[weight];
      const made = spill.put(
        'dense' in found
          ? { ...denseWeight(name, { ...matrix, values: found.dense }, 'f16'), dtype: constant.dtype }
          : weightFrom(name, found.quantized, constant.dtype),
      );
      if ('overflowed' in found && found.overflowed > 0)
        report({
          code: 'compress/overflow',
          severity: 'warning',
          node: linear.node,
          message: `${found.overflowed} weights are beyond the range of f16 and became its largest value`,
        });
      edit.setConstant(weight, made);
      done.set(constant, made);
      count('weights', constant.shape[0] * constant.shape[1]);
      count('matrices');
      if (mean === undefined) return;
      const values = 'dense' in found ? found.dense : dequantizeMatrix(found.quantized);
      correct(linear, errorOfMean(matrix, values, mean));
    };
    /** Takes the mean error of the outputs out of the bias, which is made where there is none. */
    const correct = (linear: Linear, error: Float64Array): void => {
      const old = linear.bias === null ? undefined : edit.constantOf(linear.bias);
      if (linear.bias !== null && old === undefined) return;
      const before = old === undefined ? new Float32Array(error.length) : readConstant(old).data;
      const values = Float32Array.from(error, (e, i) => before[i] - e);
      const { dtype } = linear.constant;
      const name = `${graph.names[linear.weight]}.bias`;
      const bias = denseConstant(dtype, [values.length], bytesSource(name, pack(dtype, values)));
      if (linear.bias === null) {
        const inputs: ValueId[] = [linear.x, linear.weight, edit.addConstant(name, bias)];
        edit.rewriteOp(linear.op, { inputs });
      } else edit.setConstant(linear.bias, bias);
      count('biases corrected');
    };

    if (shapesOnly) {
      for (const { constant, weight, op } of linears) {
        const format = formats.get(op) ?? KEEP;
        if (format.kind === 'keep' || isQuantized(constant) || done.has(constant)) continue;
        const made = unknownWeight(graph.names[weight], constant, format, algorithm);
        edit.setConstant(weight, made);
        done.set(constant, made);
        count('matrices');
      }
      return { ...program, graph: edit.finish() };
    }
    if (!needsInputs(algorithm) && !correctBias) {
      for (const linear of linears) compress(linear, formatOf(linear), undefined, undefined);
      return { ...program, graph: edit.finish() };
    }
    if (calibration === undefined)
      return fail({
        code: 'compress/no-calibration',
        message: `${correctBias ? 'correcting biases' : algorithm} needs inputs to look at`,
        notes: ['give a text with --calib, or take --algo hqq'],
      });
    const sparse: string[] = [];
    walkModel(program, calibration, {
      wanted: ({ linears: layers }) => {
        const kinds = layers.map((layer) => formatOf(layer).kind);
        if (kinds.every((kind) => kind === 'keep')) return undefined;
        return { moments: needsInputs(algorithm) && kinds.includes('integer'), sample: false };
      },
      visit: ({ linears: layers }, statistics: InputStatistics) => {
        const { moments: values, columns } = statistics;
        if (2 * statistics.unused > columns) sparse.push(`${layers[0].node}: ${statistics.unused} of ${columns}`);
        const moments = values && new Moments(values, columns, { actOrder, damp, block });
        const mean = correctBias ? statistics.sum.map((s) => s / statistics.count) : undefined;
        for (const layer of layers) compress(layer, formatOf(layer), moments, mean);
        return done;
      },
    });
    if (sparse.length > 0)
      report({
        code: 'compress/unused-columns',
        severity: 'warning',
        message: `more than half of the inputs of ${sparse.length} layers are 0 throughout the calibration text`,
        notes: sparse.slice(0, SHOWN),
      });
    return { ...program, graph: edit.finish() };
  },
});

/** Layers that a warning names. */
const SHOWN = 6;

/** What an error of the weights does to the outputs of the mean input. */
function errorOfMean({ rows, columns, values }: Matrix, compressed: Float32Array, mean: Float64Array): Float64Array {
  const error = new Float64Array(rows);
  for (let row = 0; row < rows; row++)
    for (let i = 0; i < columns; i++)
      error[row] += (compressed[row * columns + i] - values[row * columns + i]) * mean[i];
  return error;
}
