/** How many operands an op takes, as its definition says, whatever the opset: shape rules know what differs between versions. */

const words = (text: string): readonly string[] => text.split(/\s+/).filter((word) => word !== '');

/** `least-most`: kinds. Operands before `least` must be given. `*` = any number. */
const COUNTS: Readonly<Record<string, readonly string[]>> = {
  '0-0': words('Constant'),
  // Trip count and condition may both be left out.
  '0-*': words('Loop'),
  '1-1':
    words(`Abs Acos Acosh ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BitwiseNot Cast Ceil Celu ConstantOfShape Cos Cosh
    DepthToSpace DynamicQuantizeLinear Elu Erf Exp EyeLike Flatten Floor Gelu GlobalAveragePool GlobalMaxPool HardSigmoid HardSwish
    Hardmax Identity If IsInf IsNaN LeakyRelu Log LogSoftmax LpNormalization MaxPool MeanVarianceNormalization Mish Neg NonZero Not
    Reciprocal Relu Round Selu Shape Shrink Sigmoid Sign Sin Sinh Size Softmax Softplus Softsign SpaceToDepth Sqrt Swish Tan Tanh
    ThresholdedRelu Transpose com.microsoft.Gelu com.microsoft.QuickGelu`),
  '1-2':
    words(`ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare
    Split Squeeze TopK Trilu Unsqueeze com.microsoft.FastGelu`),
  '1-3': words('Clip Dropout'),
  '1-4': words('Pad'),
  '1-5': words('Slice'),
  '1-*': words('Concat Einsum Max Mean Min Sum'),
  '2-2':
    words(`Add And BitShift BitwiseAnd BitwiseOr BitwiseXor CastLike Compress CumProd CumSum Div Equal Expand Gather
    GatherElements GatherND Greater GreaterOrEqual Less LessOrEqual MatMul Mod Mul Or PRelu Pow RMSNormalization Reshape
    ReverseSequence SimplifiedLayerNormalization Sub Tile Xor com.microsoft.BiasGelu com.microsoft.FusedMatMul`),
  '2-3': words(`Conv DequantizeLinear Gemm LayerNormalization QuantizeLinear com.microsoft.DequantizeLinear
    com.microsoft.FusedGemm com.microsoft.QuantizeLinear`),
  '2-4': words('ConvInteger MatMulInteger'),
  '3-3': words('GroupNormalization InstanceNormalization OneHot Range Scatter ScatterElements ScatterND Where'),
  '3-4': words(
    'RotaryEmbedding TensorScatter com.microsoft.GatherBlockQuantized com.microsoft.SkipSimplifiedLayerNormalization',
  ),
  '3-5': words('com.microsoft.DynamicQuantizeMatMul com.microsoft.SkipLayerNormalization'),
  '3-6': words('com.microsoft.MatMulNBits'),
  '3-7': words('Attention'),
  '4-4': words('com.microsoft.RotaryEmbedding'),
  '4-7': words('com.microsoft.MatMulIntegerToFloat'),
  '5-5': words('BatchNormalization'),
  '8-8': words('QLinearMatMul'),
  '8-9': words('QLinearConv'),
};

export interface Arity {
  readonly least: number;
  readonly most: number;
  /** Operands after optional ones that must be given all the same. */
  readonly also?: readonly number[];
}

/** Ops with such operands. */
const SCATTERED: Readonly<Record<string, Arity>> = {
  'com.microsoft.Attention': { least: 2, most: 7 },
  'com.microsoft.EmbedLayerNormalization': { least: 1, most: 9, also: [2, 3, 5, 6] },
  'com.microsoft.GroupQueryAttention': { least: 1, most: 16, also: [5, 6] },
  'com.microsoft.MoE': { least: 3, most: 8, also: [4] },
  'com.microsoft.MultiHeadAttention': { least: 1, most: 10 },
  'com.microsoft.QMoE': { least: 4, most: 15, also: [5, 6] },
};

const ARITIES: ReadonlyMap<string, Arity> = new Map([
  ...Object.entries(SCATTERED),
  ...Object.entries(COUNTS).flatMap(([range, kinds]) => {
    const [least, most] = range.split('-');
    const arity = { least: Number(least), most: most === '*' ? Number.POSITIVE_INFINITY : Number(most) };
    return kinds.map((kind): [string, Arity] => [kind, arity]);
  }),
]);

/** Operands that were attributes once: since which opset how many must be given. */
const BECAME_INPUTS: Readonly<Record<string, { readonly since: number; readonly least: number }>> = {
  Pad: { since: 11, least: 2 },
  Slice: { since: 10, least: 3 },
  TopK: { since: 10, least: 2 },
  Unsqueeze: { since: 13, least: 2 },
};

/** Undefined for ops whose own shape rule says which of many optional operands they need. */
export function arityOf(kind: string, version: number): Arity | undefined {
  const arity = ARITIES.get(kind);
  const became = BECAME_INPUTS[kind];
  return arity && became && version >= became.since ? { ...arity, least: became.least } : arity;
}
