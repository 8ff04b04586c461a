/** An order of nodes in which every value is made before it is read, whatever the order of the file. */
import { Diagnosed, type Diagnostic } from '../diag/diagnostic.ts';
import type { OnnxGraph, OnnxNode } from '../onnx/model.ts';

/** Name of a node in messages: its own, else its first output's. */
export const labelOf = (node: OnnxNode): string => node.name || node.outputs.find((o) => o !== '') || node.opType;

/**
 * Nodes that `outputs` depend on: post-order from the outputs, operands in order; iterative, so depth is no limit.
 * @throws Diagnosed `onnx/cycle`, after the faults found so far.
 */
export function orderNodes(
  outputs: readonly string[],
  producers: ReadonlyMap<string, OnnxNode>,
  faults: readonly Diagnostic[],
): OnnxNode[] {
  const order: OnnxNode[] = [];
  const state = new Map<OnnxNode, 'open' | 'done'>();
  const stack: { node: OnnxNode; deps: string[]; next: number }[] = [];
  const visit = (name: string): void => {
    const node = producers.get(name);
    if (node === undefined || state.get(node) === 'done') return;
    if (state.get(node) === 'open') throw new Diagnosed([...faults, cycle(node, stack, name)]);
    state.set(node, 'open');
    stack.push({ node, deps: dependenciesOf(node), next: 0 });
  };
  for (const name of outputs) {
    visit(name);
    while (stack.length > 0) {
      const top = stack[stack.length - 1];
      if (top.next < top.deps.length) visit(top.deps[top.next++]);
      else {
        state.set(top.node, 'done');
        order.push(top.node);
        stack.pop();
      }
    }
  }
  return order;
}

/** Nodes of a circle that are named; longer ones are shortened. */
const SHOWN = 8;

function cycle(node: OnnxNode, stack: readonly { node: OnnxNode }[], name: string): Diagnostic {
  const at = stack.findIndex((frame) => frame.node === node);
  const path = stack.slice(at).map((frame) => labelOf(frame.node));
  const shown = path.length > SHOWN ? [...path.slice(0, SHOWN - 1), '..'] : path;
  return {
    code: 'onnx/cycle',
    severity: 'error',
    message: `${node.opType} depends on its own output ${name}`,
    node: labelOf(node),
    notes: [`it reads, in turn, from: ${[...shown.slice(1), labelOf(node)].join(', ')}`],
  };
}

/** Names that a node reads, those that its bodies take from outside included. */
function dependenciesOf(node: OnnxNode): string[] {
  const deps = node.inputs.filter((name) => name !== '');
  for (const attribute of node.attributes.values()) {
    if (attribute.kind === 'graph') deps.push(...freeNames(attribute.value));
    if (attribute.kind === 'graphs') for (const body of attribute.value) deps.push(...freeNames(body));
  }
  return deps;
}

function freeNames(graph: OnnxGraph): string[] {
  const bound = new Set([
    ...graph.inputs.map((i) => i.name),
    ...graph.initializers.map((t) => t.name),
    ...graph.sparseInitializers.map((t) => t.values.name),
    ...graph.nodes.flatMap((n) => n.outputs),
  ]);
  const read = [...graph.nodes.flatMap(dependenciesOf), ...graph.outputs.map((o) => o.name)];
  return read.filter((name) => !bound.has(name));
}
