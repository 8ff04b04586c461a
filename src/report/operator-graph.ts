/**
 * The operator graph as a graphlib graph, for tools that walk, draw or export graphs. It is a view at the edge: the
 * compiler itself works on src/ir/graph.ts, whose ids are dense and whose algorithms do not recurse.
 */
import { Graph as OperatorGraph, json } from 'graphlib';
import type { Graph } from '../ir/graph.ts';
import type { ValueId } from '../ir/ids.ts';
import { printType } from '../ir/types.ts';

export interface OperatorNode {
  readonly kind: string;
  /** ONNX node; the name of an input or output. */
  readonly name: string;
}
export interface OperatorEdge {
  readonly value: string;
  readonly type: string;
}

/**
 * Ops, inputs and outputs as nodes `n0`, `n1` .. (never names from the file), values as edges from producer to reader.
 * Constants are left out.
 */
export function operatorGraph(graph: Graph): OperatorGraph<unknown, OperatorNode, OperatorEdge> {
  const out = new OperatorGraph<unknown, OperatorNode, OperatorEdge>({ directed: true, multigraph: true });
  const makers = new Map<ValueId, string>();
  let serial = 0;
  const node = (label: OperatorNode): string => {
    const id = `n${serial++}`;
    out.setNode(id, label);
    return id;
  };
  const read = (value: ValueId, reader: string, slot: number): void => {
    const maker = makers.get(value);
    if (maker === undefined) return;
    out.setEdge(maker, reader, { value: graph.names[value], type: printType(graph.types[value]) }, `${value}.${slot}`);
  };
  for (const v of graph.inputs) makers.set(v, node({ kind: 'input', name: graph.names[v] }));
  for (const op of graph.ops) {
    const id = node({ kind: op.kind, name: op.origin.node });
    for (const [slot, v] of op.inputs.entries()) if (v !== null) read(v, id, slot);
    for (const v of op.outputs) if (v !== null) makers.set(v, id);
  }
  for (const [slot, v] of graph.outputs.entries()) read(v, node({ kind: 'output', name: graph.names[v] }), slot);
  return out;
}

/** graphlib's own JSON form of {@link operatorGraph}. */
export const operatorGraphJson = (graph: Graph): unknown =>
  json.write(operatorGraph(graph) as unknown as OperatorGraph);
