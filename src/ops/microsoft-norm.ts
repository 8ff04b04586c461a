/** com.microsoft's fused norms: Skip(Simplified)LayerNormalization, SimplifiedLayerNormalization, EmbedLayerNormalization. */
import type { Dim } from '../ir/dim.ts';
import type { TensorType } from '../ir/types.ts';
import { allocate, sizeOf, type Tensor, type TensorData, tensor } from '../tensor/tensor.ts';
import { defineOp, type InferContext, type OpDef, type RunContext } from './op.ts';
import { mayEqual, normalAxis, printShape } from './support/axes.ts';
import { broadcastTo } from './support/broadcast.ts';
import { stored } from './support/elementwise.ts';
import { wrapIndex } from './support/index.ts';
import { tensorAt, typeAt } from './support/inputs.ts';

interface Norm {
  /** Elements that are normalised together. */
  readonly size: number;
  readonly epsilon: number;
  readonly centred: boolean;
  readonly gamma: TensorData | undefined;
  readonly beta: TensorData | undefined;
}

/** The normalised rows of `x`, with their means and inverse deviations. */
function normalise(x: ArrayLike<number>, { size, epsilon, centred, gamma, beta }: Norm) {
  const out = new Float64Array(x.length);
  const rows = x.length / Math.max(1, size);
  const means = new Float32Array(rows);
  const inverses = new Float32Array(rows);
  for (let row = 0; row < rows; row++) {
    const base = row * size;
    let mean = 0;
    if (centred) {
      for (let i = 0; i < size; i++) mean += x[base + i];
      mean /= size;
    }
    let squares = 0;
    for (let i = 0; i < size; i++) squares += (x[base + i] - mean) ** 2;
    const inverse = 1 / Math.sqrt(squares / size + epsilon);
    for (let i = 0; i < size; i++)
      out[base + i] = (x[base + i] - mean) * inverse * (gamma?.[i] ?? 1) + (beta?.[i] ?? 0);
    means[row] = mean;
    inverses[row] = inverse;
  }
  return { out, means, inverses };
}

function held(dtype: Tensor['dtype'], shape: readonly number[], values: ArrayLike<number>): Tensor {
  const data = allocate(dtype, values.length);
  data.set(values);
  return tensor(dtype, shape, stored(dtype, data));
}

/** input + skip (+ bias), normalised; inputs are (input, skip, gamma, [beta], [bias]) or without beta. */
function skipNorm(name: string, centred: boolean): OpDef {
  const biasInput = centred ? 4 : 3;
  return defineOp({
    domain: 'com.microsoft',
    name,
    since: [1],
    trait: 'compute',
    infer(context) {
      const { dtype, shape } = typeAt(context, 0);
      expectWidth(context, 2, shape);
      const kept = { dtype: 'f32' as const, shape: [...shape.slice(0, -1), 1] };
      return { types: [{ dtype, shape }, kept, kept, { dtype, shape }].slice(0, context.outputCount) };
    },
    run(context) {
      const x = tensorAt(context, 0);
      const size = x.shape[x.shape.length - 1];
      const skip = broadcastTo(tensorAt(context, 1), x.shape).data;
      const bias = context.inputs[biasInput]?.data;
      const sum = Float64Array.from(x.data, (v, i) => v + skip[i] + (bias?.[i % size] ?? 0));
      const { out, means, inverses } = normalise(sum, {
        size,
        epsilon: context.attrs.float('epsilon', 1e-12),
        centred,
        gamma: tensorAt(context, 2).data,
        beta: centred ? context.inputs[3]?.data : undefined,
      });
      const kept = [...x.shape.slice(0, -1), 1];
      const all = [held(x.dtype, x.shape, out), tensor('f32', kept, means), tensor('f32', kept, inverses)];
      return [...all, held(x.dtype, x.shape, sum)].slice(0, context.outputCount);
    },
  });
}

function expectWidth(context: InferContext, input: number, shape: readonly Dim[]): void {
  const width = shape.at(-1) ?? 1;
  const found = typeAt(context, input).shape;
  if (found.length !== 1 || !mayEqual(found[0], width)) {
    context.mismatch({ input, expected: printShape([width]), found: printShape(found) });
  }
}

/** RMS norm from `axis` on. onnxruntime's optimizer writes it into the ai.onnx domain, whatever the opset. */
const simplified = defineOp({
  domain: '',
  name: 'SimplifiedLayerNormalization',
  since: [1],
  trait: 'compute',
  infer(context) {
    const { dtype, shape } = typeAt(context, 0);
    const axis = normalAxis(context.attrs.int('axis', -1), shape.length, context);
    const kept = shape.map((n, d) => (d < axis ? n : 1));
    const types: TensorType[] = [
      { dtype: typeAt(context, 1).dtype, shape },
      { dtype: dtype === 'f64' ? 'f64' : 'f32', shape: kept },
    ];
    return { types: types.slice(0, context.outputCount) };
  },
  run(context) {
    const x = tensorAt(context, 0);
    const gamma = tensorAt(context, 1);
    const axis = normalAxis(context.attrs.int('axis', -1), x.shape.length);
    const size = sizeOf(x.shape.slice(axis));
    const epsilon = context.attrs.float('epsilon', 1e-5);
    const { out, inverses } = normalise(x.data, { size, epsilon, centred: false, gamma: gamma.data, beta: undefined });
    const kept = x.shape.map((n, d) => (d < axis ? n : 1));
    const inverse = held(x.dtype === 'f64' ? 'f64' : 'f32', kept, inverses);
    return [held(gamma.dtype, x.shape, out), inverse].slice(0, context.outputCount);
  },
});

/** Sum of word, position and segment embeddings, per token. */
function embed(context: RunContext): Float64Array {
  const ids = tensorAt(context, 0);
  const segments = context.inputs[1];
  const [words, positions, segmentTable] = [tensorAt(context, 2), tensorAt(context, 3), context.inputs[4]];
  const given = context.inputs[8];
  const length = ids.shape[1];
  const width = words.shape[1];
  const sum = new Float64Array(ids.data.length * width);
  const add = (table: Tensor, row: number, at: number) => {
    const from = wrapIndex('com.microsoft.EmbedLayerNormalization', row, table.shape[0]) * width;
    for (let i = 0; i < width; i++) sum[at + i] += table.data[from + i];
  };
  for (const [i, word] of ids.data.entries()) {
    const position = given === undefined ? i % length : given.data[given.data.length === length ? i % length : i];
    add(words, word, i * width);
    add(positions, position, i * width);
    if (segmentTable) add(segmentTable, segments?.data[i] ?? 0, i * width);
  }
  return sum;
}

const embedNorm = defineOp({
  domain: 'com.microsoft',
  name: 'EmbedLayerNormalization',
  since: [1],
  trait: 'compute',
  infer(context) {
    const ids = typeAt(context, 0).shape;
    const { dtype, shape } = typeAt(context, 2);
    const out = { dtype, shape: [...ids, shape[1]] };
    return { types: [out, { dtype: 'i32' as const, shape: [ids[0]] }, out].slice(0, context.outputCount) };
  },
  run(context) {
    const { shape } = tensorAt(context, 0);
    const words = tensorAt(context, 2);
    const size = words.shape[1];
    const sum = embed(context);
    const gamma = tensorAt(context, 5).data;
    const beta = tensorAt(context, 6).data;
    const { out } = normalise(sum, {
      size,
      epsilon: context.attrs.float('epsilon', 1e-12),
      centred: true,
      gamma,
      beta,
    });
    const mask = context.inputs[7];
    const [batch, length] = shape;
    // By batch row: how many tokens the mask keeps; zeros without a mask.
    const kept = new Int32Array(batch);
    for (const [i, m] of mask?.data.entries() ?? []) if (m === 1) kept[Math.floor(i / length)]++;
    const y = held(words.dtype, [...shape, size], out);
    return [y, tensor('i32', [batch], kept), held(words.dtype, [...shape, size], sum)].slice(0, context.outputCount);
  },
});

export const ops = [
  skipNorm('SkipLayerNormalization', true),
  skipNorm('SkipSimplifiedLayerNormalization', false),
  simplified,
  embedNorm,
];
