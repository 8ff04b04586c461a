/** Inlines model-local functions (FunctionProto): every call becomes the function's nodes under fresh names. Calls of wafc's own functions stay: they are ops here. */
import { fail } from '../diag/diagnostic.ts';
import { opFor } from '../ops/registry.ts';
import type { OnnxAttribute, OnnxFunction, OnnxGraph, OnnxModel, OnnxNode } from '../onnx/model.ts';
import { TOKEN_DOMAIN, tokenKind, tokenNode } from './token-functions.ts';

/** A node of an inlined function is of the versions that the function imports, not of the model's. */
export interface ScopedNode extends OnnxNode {
  readonly opsets?: ReadonlyMap<string, number>;
}

/** Nested calls beyond this are a recursion, which ONNX forbids. */
const MAX_DEPTH = 64;

/**
 * The main graph without calls of local functions.
 * @throws Diagnosed when functions call each other in a cycle.
 */
export function inlineFunctions(model: OnnxModel): OnnxGraph {
  if (model.functions.length === 0) return model.graph;
  const byKey = new Map(model.functions.map((f) => [`${f.domain}/${f.name}/${f.overload}`, f]));
  let serial = 0;

  const expand = (nodes: readonly ScopedNode[], depth: number): ScopedNode[] =>
    nodes.flatMap((node) => {
      const fn = byKey.get(`${node.domain}/${node.opType}/${node.overload}`);
      if (fn?.domain === TOKEN_DOMAIN && opFor(tokenKind(fn.name)) !== undefined) return [tokenNode(node, fn.name)];
      if (fn === undefined) return [withBodies(node, depth)];
      if (depth > MAX_DEPTH) {
        fail({ code: 'onnx/recursive-function', message: `function ${fn.name} calls itself`, node: node.name });
      }
      checkCall(node, fn);
      const prefix = `${node.name || fn.name}#${serial++}/`;
      const names = new Map<string, string>();
      for (const [i, formal] of fn.inputs.entries()) names.set(formal, node.inputs[i] ?? '');
      for (const [i, formal] of fn.outputs.entries()) names.set(formal, node.outputs[i] || `${prefix}${formal}`);
      const attributes = new Map([...fn.defaults, ...node.attributes]);
      const body = fn.nodes.map((inner) =>
        renameNode(inner, {
          rename: (name) => names.get(name) ?? `${prefix}${name}`,
          prefix,
          outer: attributes,
          opsets: fn.opsets,
        }),
      );
      return expand(body, depth + 1);
    });

  const withBodies = (node: ScopedNode, depth: number): ScopedNode => {
    if (![...node.attributes.values()].some((a) => a.kind === 'graph')) return node;
    const attributes = new Map<string, OnnxAttribute>();
    for (const [name, a] of node.attributes) {
      attributes.set(
        name,
        a.kind === 'graph' ? { ...a, value: { ...a.value, nodes: expand(a.value.nodes, depth) } } : a,
      );
    }
    return { ...node, attributes };
  };
  return { ...model.graph, nodes: expand(model.graph.nodes, 0) };
}

/** Operands that a function does not have could only get lost. */
function checkCall(node: OnnxNode, fn: OnnxFunction): void {
  for (const [what, given, taken] of [
    ['inputs', node.inputs.length, fn.inputs.length],
    ['outputs', node.outputs.length, fn.outputs.length],
  ] as const) {
    if (given <= taken) continue;
    fail({
      code: 'onnx/function-call',
      message: `${node.opType} is a function of the model: expected at most ${taken} ${what}, found ${given}`,
      node: node.name || node.outputs[0] || node.opType,
    });
  }
}

/** One call of a function. */
interface Call {
  readonly rename: (name: string) => string;
  readonly prefix: string;
  /** Attributes of the call, and the function's defaults. */
  readonly outer: ReadonlyMap<string, OnnxAttribute>;
  readonly opsets: ReadonlyMap<string, number>;
}

/** A node of a function body with outer names; attributes that refer to the function's own are filled in or left out. */
function renameNode(node: OnnxNode, call: Call): ScopedNode {
  const { rename, prefix, outer, opsets } = call;
  const to = (name: string): string => (name === '' ? '' : rename(name));
  const attributes = new Map<string, OnnxAttribute>();
  for (const [name, a] of node.attributes) {
    if (a.kind === 'ref') {
      const given = outer.get(a.value);
      if (given) attributes.set(name, given);
    } else attributes.set(name, a.kind === 'graph' ? { ...a, value: renameGraph(a.value, call) } : a);
  }
  return {
    ...node,
    name: `${prefix}${node.name || node.opType}`,
    inputs: node.inputs.map(to),
    outputs: node.outputs.map(to),
    attributes,
    opsets,
  };
}

function renameGraph(graph: OnnxGraph, call: Call): OnnxGraph {
  const { rename } = call;
  return {
    ...graph,
    nodes: graph.nodes.map((n) => renameNode(n, call)),
    initializers: graph.initializers.map((t) => ({ ...t, name: rename(t.name) })),
    sparseInitializers: graph.sparseInitializers.map((t) => ({
      ...t,
      values: { ...t.values, name: rename(t.values.name) },
    })),
    inputs: graph.inputs.map((v) => ({ ...v, name: rename(v.name) })),
    outputs: graph.outputs.map((v) => ({ ...v, name: rename(v.name) })),
  };
}
