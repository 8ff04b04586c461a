/** Inputs with a value known at compile time become constants. */
import { bytesSource, denseConstant, elementCount } from '../ir/constant.ts';
import { editGraph } from '../ir/edit.ts';
import type { Graph } from '../ir/graph.ts';
import { pack } from '../tensor/pack.ts';
import { allocate } from '../tensor/tensor.ts';

/**
 * The graph with input `name` replaced by a constant of that value everywhere.
 * The caller makes sure that all dims of the input are known.
 */
export function bindInput(graph: Graph, name: string, value: number): Graph {
  const input = graph.inputs.find((v) => graph.names[v] === name);
  if (input === undefined) throw new Error(`${graph.name} has no input ${name}`);
  const { dtype, shape } = graph.types[input];
  const dims = shape.map((d) => (typeof d === 'number' ? d : 1));
  const data = allocate(dtype, elementCount(dims)).fill(value);
  const edit = editGraph(graph, 'bind');
  edit.replaceUses(
    input,
    edit.addConstant(`${name}.bound`, denseConstant(dtype, dims, bytesSource(`${name}.bound`, pack(dtype, data)))),
  );
  edit.setInputs(graph.inputs.filter((v) => v !== input));
  return edit.finish();
}
