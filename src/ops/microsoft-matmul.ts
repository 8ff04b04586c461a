/** com.microsoft's matrix products: FusedMatMul, FusedGemm, DynamicQuantizeMatMul, MatMulIntegerToFloat. */
import type { Dim } from '../ir/dim.ts';
import type { Attrs } from '../ir/graph.ts';
import type { Tensor, TensorData } from '../tensor/tensor.ts';
import { ops as activationOps } from './activation.ts';
import { attrReader } from './attrs.ts';
import { ops as matmulOps } from './matmul.ts';
import { defineOp, type InferContext, type OpDef, type RunContext } from './op.ts';
import { stored } from './support/elementwise.ts';
import { unsupported } from './support/fault.ts';
import { tensorAt, typeAt } from './support/inputs.ts';
import { matmul, matmulShape } from './support/matmul.ts';
import { shifted } from './support/quant.ts';
import { ops as quantizeOps } from './quantize.ts';
import { transposed } from './view-arrange.ts';

/** Order of the dims of an operand after transX and transBatchX; 1-D operands stay. */
function permOf(context: InferContext | RunContext, side: 'A' | 'B', rank: number): number[] {
  const perm = Array.from({ length: rank }, (_, d) => d);
  if (rank < 2) return perm;
  // transBatch: the first dim moves behind the stack dims.
  if (context.attrs.int(`transBatch${side}`, 0) === 1) perm.splice(rank - 2, 0, ...perm.splice(0, 1));
  if (context.attrs.int(`trans${side}`, 0) === 1) [perm[rank - 2], perm[rank - 1]] = [perm[rank - 1], perm[rank - 2]];
  return perm;
}

const fusedMatMul = defineOp({
  domain: 'com.microsoft',
  name: 'FusedMatMul',
  since: [1],
  trait: 'compute',
  infer(context) {
    const side = (input: number, name: 'A' | 'B'): readonly Dim[] => {
      const { shape } = typeAt(context, input);
      return permOf(context, name, shape.length).map((d) => shape[d]);
    };
    return { types: [{ dtype: typeAt(context, 0).dtype, shape: matmulShape(context, side(0, 'A'), side(1, 'B')) }] };
  },
  run(context) {
    const side = (input: number, name: 'A' | 'B'): Tensor => {
      const given = tensorAt(context, input);
      const perm = permOf(context, name, given.shape.length);
      return perm.every((p, d) => p === d) ? given : transposed(given, perm);
    };
    const alpha = context.attrs.float('alpha', 1);
    const { dtype } = tensorAt(context, 0);
    const out = matmul(side(0, 'A'), side(1, 'B'), { dtype: dtype === 'f64' ? 'f64' : 'f32' });
    for (let i = 0; alpha !== 1 && i < out.data.length; i++) out.data[i] *= alpha;
    return [{ ...out, dtype, data: stored(dtype, out.data) }];
  },
});

const gemm = matmulOps.find(({ name }) => name === 'Gemm') as OpDef;

/** What FusedGemm may end in: the activations that onnxruntime's optimizer folds into a Gemm. */
const GEMM_ACTIVATIONS = 'Elu HardSigmoid LeakyRelu Relu Selu Sigmoid Softplus Softsign Tanh ThresholdedRelu'.split(
  ' ',
);

/** The activation's own attributes: `activation_alpha` is its `alpha`. */
export function activationAttrs(attrs: Attrs): Attrs {
  const prefix = 'activation_';
  return Object.fromEntries(
    Object.entries(attrs).flatMap(([name, value]) =>
      name.startsWith(prefix) ? [[name.slice(prefix.length), value]] : [],
    ),
  );
}

/** Gemm, then an activation. */
const fusedGemm = defineOp({
  domain: 'com.microsoft',
  name: 'FusedGemm',
  since: [1],
  trait: 'compute',
  infer: gemm.infer,
  run(context) {
    const name = context.attrs.string('activation');
    const def = activationOps.find((d) => d.name === name && GEMM_ACTIVATIONS.includes(name));
    if (def === undefined)
      return unsupported('FusedGemm', `activation ${name}; supported: ${GEMM_ACTIVATIONS.join(', ')}`);
    const attrs = attrReader({ kind: name, attrs: activationAttrs(context.attrs.raw), origin: { node: name, by: [] } });
    return def.run({ ...context, attrs, inputs: gemm.run(context) });
  },
});

interface Scaled {
  readonly a: Tensor;
  readonly b: Tensor;
  readonly aScale: Tensor;
  readonly bScale: Tensor;
  readonly aZero: Tensor | undefined;
  readonly bZero: Tensor | undefined;
  readonly bias: Tensor | undefined;
}

/** (A - zA)(B - zB) * sA * sB + bias, in f32. Scales and zero points of B are single or one per column. */
function scaledProduct({ a, b, aScale, bScale, aZero, bZero, bias }: Scaled): Tensor {
  const out = matmul(shifted(a, aZero, a.shape.length - 2), shifted(b, bZero, b.shape.length - 1), { dtype: 'f32' });
  const columns = b.shape[b.shape.length - 1];
  const per = (data: TensorData, i: number) => data[data.length === 1 ? 0 : i % columns];
  for (let i = 0; i < out.data.length; i++) {
    out.data[i] = out.data[i] * Math.fround(aScale.data[0] * per(bScale.data, i)) + (bias ? bias.data[i % columns] : 0);
  }
  return out;
}

const productType = (context: InferContext) => ({
  types: [{ dtype: 'f32' as const, shape: matmulShape(context, typeAt(context, 0).shape, typeAt(context, 1).shape) }],
});

const dynamicQuantize = quantizeOps.find(({ name }) => name === 'DynamicQuantizeLinear') as OpDef;

const dynamicQuantizeMatMul = defineOp({
  domain: 'com.microsoft',
  name: 'DynamicQuantizeMatMul',
  since: [1],
  trait: 'compute',
  infer: productType,
  run(context) {
    const [a, aScale, aZero] = dynamicQuantize.run({ ...context, inputs: [tensorAt(context, 0)], outputCount: 3 });
    const [bZero, bias] = [context.inputs[3], context.inputs[4]];
    return [scaledProduct({ a, aScale, aZero, b: tensorAt(context, 1), bScale: tensorAt(context, 2), bZero, bias })];
  },
});

const matMulIntegerToFloat = defineOp({
  domain: 'com.microsoft',
  name: 'MatMulIntegerToFloat',
  since: [1],
  trait: 'compute',
  infer: productType,
  run(context) {
    const [a, b, aScale, bScale] = [0, 1, 2, 3].map((i) => tensorAt(context, i));
    const [aZero, bZero, bias] = [4, 5, 6].map((i) => context.inputs[i]);
    return [scaledProduct({ a, b, aScale, bScale, aZero, bZero, bias })];
  },
});

/** The com.microsoft forms of ops that ai.onnx has had since with the same meaning. */
const sameAs = (name: string): OpDef => {
  const def = quantizeOps.find((d) => d.name === name) as OpDef;
  const version = 21;
  return {
    ...def,
    domain: 'com.microsoft',
    since: [1],
    infer: (context) => def.infer({ ...context, version }),
    run: (context) => def.run({ ...context, version }),
  };
};

export const ops = [
  fusedMatMul,
  fusedGemm,
  dynamicQuantizeMatMul,
  matMulIntegerToFloat,
  sameAs('QuantizeLinear'),
  sameAs('DequantizeLinear'),
];
