/** wafc.embedding, wafc.linear, the activations ONNX lacks, and the ops that pick features and tokens. */
import { addDims, type Dim, isKnown, printDim } from '../ir/dim.ts';
import { allocate, sizeOf, tensor } from '../tensor/tensor.ts';
import { defineOp, type InferContext, type OpDef } from './op.ts';
import { mayEqual, printShape } from './support/axes.ts';
import { mapTensor, stored } from './support/elementwise.ts';
import { dense, gemm } from './support/gemm.ts';
import { wrapIndex } from './support/index.ts';
import { tensorAt, typeAt } from './support/inputs.ts';
import { defineStrided, defineView, moveTensors } from './support/move.ts';
import { sigmoid } from './support/special.ts';

const DOMAIN = 'wafc';

/** The type of an activation input and its last dim. */
function featuresAt(context: InferContext, input: number) {
  const type = typeAt(context, input);
  const width = type.shape.at(-1);
  if (width === undefined) context.mismatch({ input, expected: 'features as the last dim', found: 'a scalar' });
  return { ...type, width };
}

const embedding = defineView({
  domain: DOMAIN,
  name: 'embedding',
  since: [1],
  infer(context) {
    const { dtype, shape } = typeAt(context, 0);
    return { types: [{ dtype, shape: [...typeAt(context, 1).shape, ...shape.slice(1)] }] };
  },
  run(context) {
    const table = tensorAt(context, 0);
    const index = tensorAt(context, 1);
    const [rows, width] = table.shape;
    const out = moveTensors([table], [...index.shape, width], ([from], to) => {
      for (const [i, row] of index.data.entries()) {
        const at = wrapIndex('wafc.embedding', row, rows) * width;
        to.set(from.subarray(at, at + width), i * width);
      }
    });
    return [out];
  },
});

const linear = defineOp({
  domain: DOMAIN,
  name: 'linear',
  since: [1],
  trait: 'compute',
  infer(context: InferContext) {
    const x = featuresAt(context, 0);
    const weight = typeAt(context, 1).shape;
    if (weight.length !== 2 || !mayEqual(weight[0], x.width)) {
      context.mismatch({ input: 1, expected: `[${printDim(x.width)}, N]`, found: printShape(weight) });
    }
    const bias = context.inputs[2]?.shape;
    if (bias && (bias.length !== 1 || !mayEqual(bias[0], weight[1]))) {
      context.mismatch({ input: 2, expected: printShape([weight[1]]), found: printShape(bias) });
    }
    return { types: [{ dtype: x.dtype, shape: [...x.shape.slice(0, -1), weight[1]] }] };
  },
  run(context) {
    const x = tensorAt(context, 0);
    const weight = tensorAt(context, 1);
    const bias = context.inputs[2];
    const [k, n] = weight.shape;
    const shape = [...x.shape.slice(0, -1), n];
    const out = allocate(x.dtype, sizeOf(shape));
    gemm(out.length / Math.max(1, n), n, k, dense(x.data, k), dense(weight.data, n), dense(out, n));
    if (bias) for (let i = 0; i < out.length; i++) out[i] += bias.data[i % n];
    return [tensor(x.dtype, shape, stored(x.dtype, out))];
  },
});

const activation = (name: string, f: (x: number) => number): OpDef =>
  defineOp({
    domain: DOMAIN,
    name,
    since: [1],
    trait: 'elementwise',
    infer: (context) => ({ types: [typeAt(context, 0)] }),
    run: (context) => [mapTensor(tensorAt(context, 0), f)],
  });

/** Slope of the sigmoid in the fast approximation of gelu. */
const QUICK_GELU = 1.702;
const silu = activation('silu', (x) => x * sigmoid(x));
const quickGelu = activation('quick_gelu', (x) => x * sigmoid(QUICK_GELU * x));

/** Features by index, for both slice and select. */
const pick = (name: string, indicesOf: (context: Pick<InferContext, 'attrs'>) => readonly number[]): OpDef =>
  defineView({
    domain: DOMAIN,
    name,
    since: [1],
    infer(context: InferContext) {
      const { dtype, shape, width } = featuresAt(context, 0);
      const indices = indicesOf(context);
      const outside = indices.find((i) => i < 0 || (isKnown(width) && i >= width));
      if (outside !== undefined) {
        context.mismatch({ input: 0, expected: `feature ${outside}`, found: `${printDim(width)} features` });
      }
      return { types: [{ dtype, shape: [...shape.slice(0, -1), indices.length] }] };
    },
    run(context) {
      const x = tensorAt(context, 0);
      const indices = indicesOf(context);
      const width = x.shape[x.shape.length - 1];
      const shape = [...x.shape.slice(0, -1), indices.length];
      const out = moveTensors([x], shape, ([from], to) => {
        for (let at = 0, row = 0; at < to.length; row += width) for (const i of indices) to[at++] = from[row + i];
      });
      return [out];
    },
  });

const slice = pick('slice', ({ attrs }) => {
  const start = attrs.int('start');
  return Array.from({ length: Math.max(0, attrs.int('end') - start) }, (_, i) => start + i);
});
const select = pick('select', ({ attrs }) => attrs.ints('indices'));

const concat = defineView({
  domain: DOMAIN,
  name: 'concat',
  since: [1],
  dataInputs: 'all',
  infer(context: InferContext) {
    const first = featuresAt(context, 0);
    let width: Dim = 0;
    for (const input of context.inputs.keys()) {
      const part = featuresAt(context, input);
      const fits =
        part.shape.length === first.shape.length &&
        part.shape.every((n, d) => d === first.shape.length - 1 || mayEqual(n, first.shape[d]));
      if (!fits)
        context.mismatch({
          input,
          expected: `${printShape(first.shape.slice(0, -1))} tokens`,
          found: printShape(part.shape),
        });
      width = addDims(width, part.width);
    }
    return { types: [{ dtype: first.dtype, shape: [...first.shape.slice(0, -1), width] }] };
  },
  run(context) {
    const parts = context.inputs.map((_, i) => tensorAt(context, i));
    const widths = parts.map((p) => p.shape[p.shape.length - 1]);
    const shape = [...parts[0].shape.slice(0, -1), widths.reduce((a, b) => a + b, 0)];
    const out = moveTensors(parts, shape, (from, to) => {
      for (let at = 0, row = 0; at < to.length; row++) {
        for (const [i, data] of from.entries()) {
          to.set(data.subarray(row * widths[i], (row + 1) * widths[i]), at);
          at += widths[i];
        }
      }
    });
    return [out];
  },
});

const tokens = defineStrided({
  domain: DOMAIN,
  name: 'tokens',
  since: [1],
  infer(context: InferContext) {
    const { dtype, shape } = typeAt(context, 0);
    if (shape.length !== 3) context.mismatch({ input: 0, expected: '[B, S, F]', found: printShape(shape) });
    return { types: [{ dtype, shape: [shape[0], 1, shape[2]] }] };
  },
  view(context, { shape: [batch, length, width], strides, offset }) {
    const index = wrapIndex('wafc.tokens', context.attrs.int('index'), length);
    return [{ shape: [batch, 1, width], strides, offset: offset + index * strides[1] }];
  },
});

export const ops = [embedding, linear, silu, quickGelu, slice, select, concat, tokens];
