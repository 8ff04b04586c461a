/**
 * Nodes of an older opset in a model of a newer one, as a DequantizeLinear of blocks makes it. Most ops have only got more types
 * since; reductions and splits are spelled anew. What is left has to be called through a function of its own opset.
 */
import type { Op } from '../ir/graph.ts';
import type { WritableNode, WritableTensor } from '../onnx/writer.ts';
import { pack } from '../tensor/pack.ts';
import { memoryTensor } from './export-constant.ts';

/** By kind of ai.onnx, the version since which a call has meant the same: later ones add types and optional parameters (ONNX Changelog.md). */
const SAME_SINCE = new Map<string, number>([
  ...since(1, 'Identity MatMul Shape Transpose'),
  ...since(4, 'Concat'),
  ...since(5, 'Reshape'),
  ...since(6, 'Abs Ceil Erf Exp Floor HardSigmoid LeakyRelu Log Neg Reciprocal Relu Sigmoid Sqrt Tanh Tile'),
  ...since(7, 'Add And Cos Div Gemm Mul Not Or Pow Sin Sub'),
  ...since(8, 'Expand Max Mean Min Sum'),
  ...since(9, 'Cast ConstantOfShape Greater IsNaN Less NonZero Sign Softplus Where'),
  ...since(11, 'Conv CumSum Equal Flatten Gather GatherElements GatherND Range ScatterElements ScatterND Slice TopK'),
  ...since(12, 'ArgMax Clip Einsum GreaterOrEqual LessOrEqual'),
  ...since(
    13,
    'Constant DequantizeLinear Dropout LogSoftmax Mod Pad QuantizeLinear ReduceSum Softmax Squeeze Unsqueeze',
  ),
  ...since(14, 'Trilu'),
  ...since(17, 'LayerNormalization'),
  ...since(
    18,
    'ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSumSquare Split',
  ),
]);

function since(version: number, kinds: string): [string, number][] {
  return kinds.split(' ').map((kind) => [kind, version]);
}

/** The axes of these became an operand in 18. */
const isReduction = (kind: string): boolean => kind.startsWith('Reduce') && SAME_SINCE.get(kind) === 18;

/**
 * `node`, or what says the same in a model of opset `to`, with a new initializer where one is needed. Undefined where the op is
 * another one there. Bodies are written elsewhere.
 */
export function inNewerOpset(
  op: Op,
  node: WritableNode,
  to: number,
): { readonly node: WritableNode; readonly initializer?: WritableTensor } | undefined {
  if (op.version >= (SAME_SINCE.get(op.kind) ?? Number.POSITIVE_INFINITY)) return { node };
  if (to < 18 || op.version < 13) return undefined;
  const attributes = new Map(node.attributes);
  if (op.kind === 'Split') {
    // Up to 17 the number of outputs says it.
    if (node.inputs.length < 2) attributes.set('num_outputs', { kind: 'int', value: node.outputs.length });
    return { node: { ...node, attributes } };
  }
  if (!isReduction(op.kind)) return undefined;
  const { axes } = op.attrs;
  attributes.delete('axes');
  if (!Array.isArray(axes)) return { node: { ...node, attributes } };
  const name = `${node.outputs[0]}.axes`;
  const bytes = pack('i64', Float64Array.from(axes, Number));
  return {
    node: { ...node, attributes, inputs: [node.inputs[0], name] },
    initializer: memoryTensor(name, 'i64', [axes.length], bytes),
  };
}
