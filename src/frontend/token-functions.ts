/**
 * wafc.* ops in an ONNX file: nodes of the domain `wafc`, each a call of a function of the model whose body says the same in ONNX's own ops.
 * Other runtimes inline the bodies; wafc reads the nodes as what they are, so that a token graph comes back as it was written.
 */
import { isGraphAttr, type Graph, type Op } from '../ir/graph.ts';
import { id } from '../ir/ids.ts';
import type { WritableAttribute, WritableFunction, WritableGraph, WritableNode } from '../onnx/writer.ts';
import { lowerGraph } from './lower.ts';

export const TOKEN_DOMAIN = 'wafc';

/** Functions of one name differ in attributes or types: the second one is `attention_2`. */
const NUMBERED = /_\d+$/;

/** The op that a function of the domain stands for. */
export const tokenKind = (functionName: string): string => `${TOKEN_DOMAIN}.${functionName.replace(NUMBERED, '')}`;

/** Ops that only lifting makes: a graph with one of them is a token graph. */
const LIFTED: ReadonlySet<string> = new Set(['wafc.linear', 'wafc.attention', 'wafc.embedding']);

export const isTokenGraph = ({ ops }: Graph): boolean => ops.some(({ kind }) => LIFTED.has(kind));

/** Functions by what they do; equal ones are written once. */
export class TokenFunctions {
  private readonly bySignature = new Map<string, WritableFunction>();
  private readonly counts = new Map<string, number>();
  private readonly write: (graph: Graph) => WritableGraph;

  private readonly opset: number;

  /**
   * @param opset of the model: onnxruntime takes bodies for ops of that, whatever they import
   * @param write ops of a graph as nodes
   */
  constructor(opset: number, write: (graph: Graph) => WritableGraph) {
    this.opset = opset;
    this.write = write;
  }

  get functions(): readonly WritableFunction[] {
    return [...this.bySignature.values()];
  }

  /** `node`, made of `op`, as a call of its function. */
  call(node: WritableNode, op: Op, graph: Graph): WritableNode {
    const types = op.inputs.map((v) => (v === null ? null : graph.types[v]));
    const signature = JSON.stringify([
      op.kind,
      op.attrs,
      types.map((t) => t && [t.dtype, t.shape.map(String)]),
      op.outputs.map((v) => v === null),
    ]);
    let found = this.bySignature.get(signature);
    if (found === undefined) {
      const base = op.kind.slice(TOKEN_DOMAIN.length + 1);
      const count = (this.counts.get(base) ?? 0) + 1;
      this.counts.set(base, count);
      found = this.functionOf(count === 1 ? base : `${base}_${count}`, op, graph);
      this.bySignature.set(signature, found);
    }
    return { ...node, domain: TOKEN_DOMAIN, opType: found.name };
  }

  private functionOf(name: string, op: Op, graph: Graph): WritableFunction {
    const { nodes, initializers = [] } = this.write(lowerGraph(alone(op, graph), this.opset));
    const constants = initializers.map((value): WritableNode => {
      const attributes = new Map<string, WritableAttribute>([
        ['value', { kind: 'tensor', value: { ...value, name: '' } }],
      ]);
      return {
        name: `${name}/${value.name}`,
        opType: 'Constant',
        domain: '',
        inputs: [],
        outputs: [value.name],
        attributes,
      };
    });
    return {
      name,
      domain: TOKEN_DOMAIN,
      inputs: op.inputs.map((_, i) => `i${i}`),
      outputs: op.outputs.map((_, i) => `o${i}`),
      attributes: Object.keys(op.attrs),
      nodes: [...constants, ...nodes],
      opsets: new Map([['', this.opset]]),
    };
  }
}

/** A graph of one op; its inputs are values, constants or not. */
function alone(op: Op, graph: Graph): Graph {
  if (Object.values(op.attrs).some(isGraphAttr)) throw new Error(`${op.kind} has a body`);
  const names: string[] = [];
  const types: Graph['types'][number][] = [];
  const inputs = op.inputs.map((v, i) => {
    if (v === null) return null;
    names.push(`i${i}`);
    types.push(graph.types[v]);
    return id<'value'>(names.length - 1);
  });
  const outputs = op.outputs.map((v, i) => {
    if (v === null) return null;
    names.push(`o${i}`);
    types.push(graph.types[v]);
    return id<'value'>(names.length - 1);
  });
  return {
    name: op.kind,
    ops: [{ ...op, inputs, outputs, origin: { node: op.kind, by: [] } }],
    types,
    names,
    constants: new Map(),
    inputs: inputs.filter((v) => v !== null),
    outputs: outputs.filter((v) => v !== null),
    captures: new Map(),
  };
}
