/** Attributes of ONNX nodes as attributes of ops; bodies become graphs. */
import type { Diagnostic } from '../diag/diagnostic.ts';
import { denseConstant } from '../ir/constant.ts';
import type { Attrs, AttrValue, Graph } from '../ir/graph.ts';
import type { OnnxAttribute, OnnxGraph, OnnxNode, OnnxTensor } from '../onnx/model.ts';
import { labelOf } from './node-order.ts';
import { denseTensor } from './sparse.ts';

/** The attributes of `node` in alphabetical order; what has no form in a graph is a fault. */
export function importAttributes(node: OnnxNode, importBody: (body: OnnxGraph) => Graph, faults: Diagnostic[]): Attrs {
  const attrs: Record<string, AttrValue> = {};
  const sorted = [...node.attributes].sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [name, attribute] of sorted) {
    const found = importAttribute(name, attribute, importBody);
    if (found !== undefined) attrs[found[0]] = found[1];
    else
      faults.push({
        code: 'onnx/attribute',
        severity: 'error',
        message: `${node.opType}: attribute ${name}: expected a number, a string, a tensor or a graph, found ${attribute.kind}`,
        node: labelOf(node),
      });
  }
  return attrs;
}

function importAttribute(
  name: string,
  a: OnnxAttribute,
  importBody: (body: OnnxGraph) => Graph,
): [name: string, value: AttrValue] | undefined {
  switch (a.kind) {
    case 'int':
    case 'float':
    case 'string':
    case 'ints':
    case 'floats':
    case 'strings':
      return [name, a.value];
    case 'tensor':
      return tensorAttribute(name, a.value);
    case 'sparse-tensor':
      // Constant's sparse_value: the op is that of the dense value.
      return tensorAttribute(name === 'sparse_value' ? 'value' : name, denseTensor(a.value));
    case 'graph':
      return [name, { graph: importBody(a.value) }];
    default:
      return undefined;
  }
}

/** Constants of a graph have bytes; strings are lists, as in `value_strings`. */
function tensorAttribute(name: string, tensor: OnnxTensor): [string, AttrValue] | undefined {
  if (tensor.strings === undefined) return [name, denseConstant(tensor.dtype, tensor.shape, tensor.source)];
  if (name !== 'value' || tensor.shape.length > 1) return undefined;
  return tensor.shape.length === 0 ? ['value_string', tensor.strings[0]] : ['value_strings', tensor.strings];
}
