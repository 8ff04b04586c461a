/**
 * Graph -> ONNX: the model as compiled, for other runtimes and for Netron. Ops of ONNX's own domains as they are; wafc.* ops
 * are calls of functions that say what they mean (token-functions.ts).
 */
import { isQuantized } from '../ir/constant.ts';
import { printDim } from '../ir/dim.ts';
import { type AttrValue, type Graph, isConstantAttr, isGraphAttr, type Op } from '../ir/graph.ts';
import type { ValueId } from '../ir/ids.ts';
import type {
  WritableAttribute,
  WritableFunction,
  WritableGraph,
  WritableModel,
  WritableNode,
  WritableTensor,
  WritableValueInfo,
} from '../onnx/writer.ts';
import { opFor } from '../ops/registry.ts';
import { LOWERED_OPSET } from './lower.ts';
import { TOKEN_DOMAIN, TokenFunctions } from './token-functions.ts';
import { constantTensor } from './export-constant.ts';
import { type CodeOps, QuantizedExport } from './export-quantized.ts';
import { inNewerOpset } from './newer-opset.ts';

/** IR 10 is the first whose nodes carry metadata; ai.onnx 21 belongs to it. */
const MIN_IR = 8;

/** Attributes that ONNX types as float: a graph holds numbers, and 1.0 must not become the integer 1. */
const FLOAT_ATTRIBUTES: ReadonlySet<string> = new Set(
  (
    'alpha beta gamma bias lambd epsilon momentum ratio scale softcap high low mean spatial_scale cubic_coeff_a extrapolation_value ' +
    'value_float value_floats scales norm_coefficient mask_filter_value activation_alpha activation_beta clip threshold min max'
  ).split(' '),
);

/** The model that `graph` is. Weights are streamed from where they are when it is written. */
export function exportModel(graph: Graph, producer: string, codes: CodeOps = 'any'): WritableModel {
  const opsets = new Map<string, number>();
  collectOpsets(graph, opsets);
  if (opsets.has(TOKEN_DOMAIN)) opsets.set('', opsets.get('') ?? LOWERED_OPSET);
  collectQuantized(graph, opsets, codes);
  const versions = new Versions(opsets, codes);
  const exported = exportGraph(graph, versions);
  const functions = [...versions.functions.values(), ...versions.tokens.functions];
  return {
    irVersion: Math.max(MIN_IR, irVersionFor(opsets.get('') ?? 1)),
    producer,
    opsets: versions.functions.size > 0 ? new Map([...opsets, [VERSIONS, 1]]) : opsets,
    graph: exported,
    ...(functions.length > 0 ? { functions } : {}),
  };
}

/** Domain of the functions that stand for ops of another version than the model's. */
const VERSIONS = 'wafc.versions';

/**
 * A model has one version a domain, a graph may have several (bodies of functions have their own): an op that means
 * something else at the model's version is called through a function that imports its own.
 */
class Versions {
  readonly functions = new Map<string, WritableFunction>();
  readonly tokens: TokenFunctions;
  private readonly opsets: ReadonlyMap<string, number>;

  readonly codes: CodeOps;

  constructor(opsets: ReadonlyMap<string, number>, codes: CodeOps) {
    this.opsets = opsets;
    this.codes = codes;
    this.tokens = new TokenFunctions(this.opset, (body) => exportGraph(body, this));
  }

  /** Of ai.onnx. */
  get opset(): number {
    return this.opsets.get('') ?? 1;
  }

  /**
   * The node, the same in the model's version, or the call of the function that stands for it. Bodies cannot be handed to a
   * function. `initializers` takes what the node needs.
   */
  node(node: WritableNode, op: Op, graph: Graph, initializers: WritableTensor[]): WritableNode {
    const domain = domainOf(op.kind);
    if (node.domain !== domain) return node;
    if (domain === TOKEN_DOMAIN) return this.tokens.call(node, op, graph);
    const definedAt = (version: number): number | undefined => opFor(op.kind)?.since.findLast((v) => v <= version);
    const same = definedAt(op.version) === definedAt(this.opsets.get(domain) ?? op.version);
    if (same || Object.values(op.attrs).some(isGraphAttr)) return node;
    const newer = domain === '' ? inNewerOpset(op, node, this.opset) : undefined;
    if (newer?.initializer) initializers.push(newer.initializer);
    if (newer !== undefined) return newer.node;
    const names = [...(node.attributes ?? new Map<string, WritableAttribute>())];
    const ref = ([name, { kind }]: [string, WritableAttribute]): [string, WritableAttribute] => [
      name,
      { kind: 'ref', value: name, type: ATTRIBUTE_TYPES[kind] ?? 0 },
    ];
    const inputs = node.inputs.map((_, i) => `i${i}`);
    const outputs = node.outputs.map((_, i) => `o${i}`);
    const attributes = names.map(([name]) => name);
    const name = [nameOf(op.kind), op.version, inputs.length, outputs.length, ...attributes].join('_');
    const opsets = new Map([[domain, op.version]]);
    const inner = { ...node, name: '', inputs, outputs, attributes: new Map(names.map(ref)) };
    this.functions.set(name, { name, domain: VERSIONS, inputs, outputs, attributes, nodes: [inner], opsets });
    return { ...node, opType: name, domain: VERSIONS };
  }
}

/** AttributeProto.AttributeType. */
const ATTRIBUTE_TYPES: Readonly<Partial<Record<WritableAttribute['kind'], number>>> = {
  float: 1,
  int: 2,
  string: 3,
  tensor: 4,
  floats: 6,
  ints: 7,
  strings: 8,
};

/** The IR version that introduced an ai.onnx opset (ONNX's own table). */
const irVersionFor = (opset: number): number =>
  opset >= 25 ? 13 : opset >= 24 ? 12 : opset >= 23 ? 11 : opset >= 21 ? 10 : opset >= 19 ? 9 : 8;

const domainOf = (kind: string): string => kind.split('.').slice(0, -1).join('.');
const nameOf = (kind: string): string => kind.split('.').at(-1) as string;

function collectOpsets(graph: Graph, opsets: Map<string, number>): void {
  for (const op of graph.ops) {
    const domain = domainOf(op.kind);
    opsets.set(domain, Math.max(opsets.get(domain) ?? 1, op.version));
    for (const attr of Object.values(op.attrs)) if (isGraphAttr(attr)) collectOpsets(attr.graph, opsets);
  }
}

/** What the quantized constants need: ops of com.microsoft, and DequantizeLinear as of some opset. */
function collectQuantized(graph: Graph, opsets: Map<string, number>, codes: CodeOps): void {
  const quantized = new QuantizedExport(graph, codes);
  if (quantized.usesMicrosoft) {
    opsets.set('com.microsoft', opsets.get('com.microsoft') ?? 1);
    opsets.set('', quantized.opset(opsets.get('') ?? 1));
  }
  for (const op of graph.ops)
    for (const attr of Object.values(op.attrs)) if (isGraphAttr(attr)) collectQuantized(attr.graph, opsets, codes);
}

function exportGraph(graph: Graph, versions: Versions): WritableGraph {
  const quantized = new QuantizedExport(graph, versions.codes);
  quantized.write(versions.opset);
  const dense = [...graph.constants].filter(([, c]) => !isQuantized(c));
  const initializers = [...dense.map(([v, c]) => constantTensor(graph.names[v], c)), ...quantized.initializers];
  const nodes = withOwnNames(graph).ops.map((op) =>
    versions.node(quantized.node(op, exportNode(op, graph, versions)), op, graph, initializers),
  );
  return {
    name: graph.name,
    nodes: [...quantized.nodes, ...nodes],
    initializers,
    inputs: graph.inputs.map((v) => valueInfo(graph, v)),
    outputs: graph.outputs.map((v) => valueInfo(graph, v)),
  };
}

/** Names of nodes are unique for onnxruntime; ops that came from one node get numbers. */
function withOwnNames(graph: Graph): Graph {
  const taken = new Set(graph.ops.map(({ origin }) => origin.node));
  const seen = new Set<string>();
  const ops = graph.ops.map((op) => {
    const { node, by } = op.origin;
    let own = node;
    for (let n = 1; seen.has(own); n++) own = taken.has(`${node}.${n}`) ? own : `${node}.${n}`;
    seen.add(own);
    return own === node ? op : { ...op, origin: { node: own, by } };
  });
  return { ...graph, ops };
}

const valueInfo = (graph: Graph, v: ValueId): WritableValueInfo => {
  const { dtype, shape } = graph.types[v];
  return {
    name: graph.names[v],
    kind: 'tensor',
    dtype,
    shape: shape.map((d) => (typeof d === 'number' ? d : printDim(d))),
  };
};

function exportNode(op: Op, graph: Graph, versions: Versions): WritableNode {
  const name = (v: ValueId | null): string => (v === null ? '' : (graph.captures.get(v) ?? graph.names[v]));
  const attributes = new Map(
    Object.entries(op.attrs).map(([key, value]) => [key, exportAttribute(key, value, versions)]),
  );
  return {
    name: op.origin.node,
    opType: nameOf(op.kind),
    domain: domainOf(op.kind),
    inputs: op.inputs.map(name),
    outputs: op.outputs.map(name),
    attributes,
  };
}

function exportAttribute(name: string, value: AttrValue, versions: Versions): WritableAttribute {
  if (isConstantAttr(value)) return { kind: 'tensor', value: constantTensor('', value) };
  if (isGraphAttr(value)) return { kind: 'graph', value: exportGraph(value.graph, versions) };
  if (typeof value === 'string') return { kind: 'string', value };
  const isFloat = FLOAT_ATTRIBUTES.has(name);
  if (typeof value === 'number')
    return isFloat || !Number.isInteger(value) ? { kind: 'float', value } : { kind: 'int', value };
  if (typeof value === 'boolean') return { kind: 'int', value: value ? 1 : 0 };
  if (value.every((v): v is string => typeof v === 'string') && value.length > 0) return { kind: 'strings', value };
  const numbers = value as readonly number[];
  return isFloat || numbers.some((v) => !Number.isInteger(v))
    ? { kind: 'floats', value: numbers }
    : { kind: 'ints', value: numbers };
}
