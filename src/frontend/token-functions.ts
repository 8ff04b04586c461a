/**
 * wafc.* ops in an ONNX file: nodes of the domain `wafc`, each a call of a function of the model whose body says the same in ONNX's own ops.
 * Other runtimes inline the bodies; wafc reads the nodes as what they are, so that a token graph comes back as it was written.
 */
import { isGraphAttr, type Graph, type Op } from '../ir/graph.ts';
import { id } from '../ir/ids.ts';
import { denseConstant } from '../ir/constant.ts';
import type { OnnxAttribute, OnnxNode } from '../onnx/model.ts';
import type { WritableAttribute, WritableFunction, WritableGraph, WritableNode } from '../onnx/writer.ts';
import { pack } from '../tensor/pack.ts';
import { readConstant } from '../tensor/read.ts';
import { memoryTensor } from './export-constant.ts';
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
    const attributes = new Map([...(node.attributes ?? [])].map(([name, a]) => [name, exact(a)]));
    return { ...node, domain: TOKEN_DOMAIN, opType: found.name, attributes };
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

/** ONNX's float attributes are f32: a number that is none (1 / sqrt(8)) is written as an f64 tensor, so that it comes back as it was. */
function exact(a: WritableAttribute): WritableAttribute {
  if (a.kind !== 'float' || Math.fround(a.value) === a.value) return a;
  return { kind: 'tensor', value: memoryTensor('', 'f64', [], pack('f64', Float64Array.of(a.value))) };
}

/** A call of one of wafc's functions as the op that it stands for. */
export function tokenNode<T extends OnnxNode>(node: T, functionName: string): T {
  const number = (a: OnnxAttribute): OnnxAttribute =>
    a.kind === 'tensor' && a.value.dtype === 'f64' && a.value.shape.length === 0
      ? { kind: 'float', value: Number(readConstant(denseConstant('f64', [], a.value.source)).data[0]) }
      : a;
  const attributes = new Map([...node.attributes].map(([name, a]) => [name, number(a)]));
  return { ...node, opType: tokenKind(functionName).slice(TOKEN_DOMAIN.length + 1), attributes };
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
