/**
 * Element types and numbers of operands, as ONNX's definitions constrain them. Shape rules look at shapes; this table
 * keeps an op from being run on elements that it has no meaning for. It is no wider than what kernels rely on: an op that
 * is not here takes anything.
 */
import type { Op } from '../ir/graph.ts';
import { type DType, isFloat, type TensorType } from '../ir/types.ts';
import type { InferContext } from '../ops/op.ts';
import { arityOf } from './arity.ts';

type Class = 'float' | 'number' | 'integer' | 'bool';

const ACCEPTS: Readonly<Record<Class, (dtype: DType) => boolean>> = {
  float: isFloat,
  number: (dtype) => dtype !== 'bool' && dtype !== 'string',
  integer: (dtype) => /^[iu]\d/.test(dtype),
  bool: (dtype) => dtype === 'bool',
};
const SAID: Readonly<Record<Class, string>> = {
  float: 'floats',
  number: 'numbers',
  integer: 'integers',
  bool: 'booleans',
};

const words = (text: string): readonly string[] => text.split(/\s+/).filter((word) => word !== '');

/** Ops of one operand, by what it is. */
const UNARY: Readonly<Record<Class, readonly string[]>> = {
  float: words(`Acos Acosh Asin Asinh Atan Atanh Ceil Celu Cos Cosh Elu Exp Floor Gelu GlobalAveragePool GlobalMaxPool
    HardSigmoid HardSwish Hardmax IsNaN LeakyRelu Log LogSoftmax LpNormalization MeanVarianceNormalization Mish Reciprocal
    Round Selu Shrink Sigmoid Sin Sinh Softmax Softplus Softsign Sqrt Swish Tan Tanh ThresholdedRelu`),
  number: words('Abs Erf Neg Relu Sign'),
  integer: words('BitwiseNot'),
  bool: words('Not'),
};
/** Ops of two operands. */
const BINARY: Readonly<Record<Class, readonly string[]>> = {
  float: [],
  number: words('Add Div Greater GreaterOrEqual Less LessOrEqual MatMul Mod Mul Pow Sub'),
  integer: words('BitShift BitwiseAnd BitwiseOr BitwiseXor MatMulInteger'),
  bool: words('And Or Xor'),
};

const REDUCTIONS = words(
  'ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMean ReduceProd ReduceSum ReduceSumSquare',
);

/** By operand; null = anything. More operands than are listed take anything. */
const OTHERS: Readonly<Record<string, readonly (Class | null)[]>> = {
  Attention: ['float', 'float', 'float'],
  BatchNormalization: ['float', 'float', 'float', 'float', 'float'],
  ConstantOfShape: ['integer'],
  Conv: ['float', 'float', 'float'],
  CumSum: ['number', 'integer'],
  'com.microsoft.Attention': ['float', 'float', 'float', 'integer'],
  'com.microsoft.BiasGelu': ['float', 'float'],
  'com.microsoft.DynamicQuantizeMatMul': ['float', 'integer', 'float'],
  'com.microsoft.EmbedLayerNormalization': ['integer', 'integer', 'float', 'float', 'float', 'float', 'float'],
  'com.microsoft.FastGelu': ['float', 'float'],
  'com.microsoft.FusedGemm': ['float', 'float', 'float'],
  'com.microsoft.FusedMatMul': ['float', 'float'],
  'com.microsoft.GatherBlockQuantized': ['integer', 'integer', 'float'],
  'com.microsoft.Gelu': ['float'],
  'com.microsoft.GroupQueryAttention': ['float', 'float', 'float'],
  'com.microsoft.MatMulIntegerToFloat': ['integer', 'integer', 'float', 'float'],
  'com.microsoft.MatMulNBits': ['float', 'integer', 'float'],
  'com.microsoft.MoE': ['float', 'float', 'float'],
  'com.microsoft.MultiHeadAttention': ['float', 'float', 'float'],
  'com.microsoft.QMoE': ['float', 'float'],
  'com.microsoft.QuickGelu': ['float'],
  'com.microsoft.RotaryEmbedding': ['float', 'integer', 'float', 'float'],
  'com.microsoft.SkipLayerNormalization': ['float', 'float', 'float'],
  'com.microsoft.SkipSimplifiedLayerNormalization': ['float', 'float', 'float'],
  DequantizeLinear: ['number', 'float', 'number'],
  Expand: [null, 'integer'],
  Gather: [null, 'integer'],
  GatherElements: [null, 'integer'],
  GatherND: [null, 'integer'],
  Gemm: ['number', 'number', 'number'],
  GroupNormalization: ['float', 'float', 'float'],
  If: ['bool'],
  InstanceNormalization: ['float', 'float', 'float'],
  LayerNormalization: ['float', 'float', 'float'],
  Loop: ['integer', 'bool'],
  Pad: [null, 'integer'],
  QuantizeLinear: ['number', 'number', 'number'],
  RMSNormalization: ['float', 'float'],
  Range: ['number', 'number', 'number'],
  ReduceMax: [null, 'integer'],
  ReduceMin: [null, 'integer'],
  Reshape: [null, 'integer'],
  RotaryEmbedding: ['float', 'float', 'float', 'integer'],
  Scatter: [null, 'integer'],
  ScatterElements: [null, 'integer'],
  ScatterND: [null, 'integer'],
  Slice: [null, 'integer', 'integer', 'integer', 'integer'],
  Split: [null, 'integer'],
  Squeeze: [null, 'integer'],
  Tile: [null, 'integer'],
  TopK: ['number', 'integer'],
  Unsqueeze: [null, 'integer'],
  Where: ['bool'],
};

function table(): ReadonlyMap<string, readonly (Class | null)[]> {
  const out = new Map(Object.entries(OTHERS));
  const add = (lists: Readonly<Record<Class, readonly string[]>>, count: number): void => {
    for (const [of, kinds] of Object.entries(lists) as [Class, readonly string[]][])
      for (const kind of kinds) out.set(kind, new Array<Class>(count).fill(of));
  };
  add(UNARY, 1);
  add(BINARY, 2);
  for (const kind of REDUCTIONS) out.set(kind, ['number', 'integer']);
  // Zero points.
  out.set('MatMulInteger', new Array<Class>(4).fill('integer'));
  return out;
}

const classesOf = table();

/** Reports, by `mismatch`, the first operand that is missing, of an element type or at a place that the op does not have. */
export function checkOperands(op: Op, types: readonly TensorType[], mismatch: InferContext['mismatch']): void {
  const { least, most, also = [] } = arityOf(op.kind, op.version) ?? { least: 0, most: Number.POSITIVE_INFINITY };
  const inputs = (n: number): string => `${n} input${n === 1 ? '' : 's'}`;
  if (op.inputs.length > most)
    mismatch({
      input: most,
      expected: `${least < most ? 'at most ' : ''}${inputs(most)}`,
      found: `${op.inputs.length}`,
    });
  for (const input of [...new Array(least).keys(), ...also])
    if ((op.inputs[input] ?? null) === null) mismatch({ input, expected: 'an input', found: 'none' });
  const classes = classesOf.get(op.kind) ?? [];
  for (const [input, v] of op.inputs.entries()) {
    if (v === null) continue;
    const of = classes[input];
    const { dtype } = types[v];
    if (of != null && !ACCEPTS[of](dtype)) mismatch({ input, expected: SAID[of], found: dtype });
  }
}
