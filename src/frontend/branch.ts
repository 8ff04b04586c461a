/**
 * A merged decoder as the branch it takes: an If whose condition is a graph input, replaced by the nodes of one branch.
 * On the file's own graph, so that what looks for repetition there sees the layers. The pass inline-branches does the
 * same for compiling, where conditions are found by folding.
 */
import type { OnnxGraph, OnnxNode } from '../onnx/model.ts';

/** `graph` with the branch that `condition` = `value` takes; as it is where names of the branch would clash. */
export function takeBranch(graph: OnnxGraph, condition: string, value: boolean): OnnxGraph {
  const at = graph.nodes.findIndex(
    ({ opType, domain, inputs }) => opType === 'If' && domain === '' && inputs[0] === condition,
  );
  if (at < 0) return graph;
  const node = graph.nodes[at];
  const branch = node.attributes.get(value ? 'then_branch' : 'else_branch');
  if (branch?.kind !== 'graph' || branch.value.outputs.length !== node.outputs.length) return graph;
  const { nodes, initializers, sparseInitializers, outputs } = branch.value;

  const made = new Set(nodes.flatMap((n) => n.outputs));
  // A value of the branch that is a result gets the result's name; what is only handed on needs a node.
  const renamed = new Map<string, string>();
  const handed: OnnxNode[] = [];
  for (const [i, { name }] of outputs.entries()) {
    const to = node.outputs[i];
    if (to === '') continue;
    if (made.has(name) && !renamed.has(name)) renamed.set(name, to);
    else
      handed.push({
        ...node,
        name: to,
        opType: 'Identity',
        inputs: [renamed.get(name) ?? name],
        outputs: [to],
        attributes: new Map(),
      });
  }
  const rename = (name: string): string => renamed.get(name) ?? name;
  const inner = nodes.map((n) => ({ ...n, inputs: n.inputs.map(rename), outputs: n.outputs.map(rename) }));
  // Bodies inside the branch keep the old names.
  if (inner.some((n) => [...n.attributes.values()].some((a) => a.kind === 'graph' || a.kind === 'graphs')))
    return graph;
  const result: OnnxGraph = {
    ...graph,
    nodes: [...graph.nodes.slice(0, at), ...inner, ...handed, ...graph.nodes.slice(at + 1)],
    initializers: [...graph.initializers, ...initializers],
    sparseInitializers: [...graph.sparseInitializers, ...sparseInitializers],
  };
  return namesClash(result) ? graph : result;
}

/** Values of other branches may have the names of this one's. */
function namesClash({ nodes, initializers, inputs }: OnnxGraph): boolean {
  const made = nodes.flatMap(({ outputs }) => outputs.filter((name) => name !== ''));
  const names = [...made, ...new Set([...initializers, ...inputs].map(({ name }) => name))];
  return new Set(names).size < names.length;
}
