/** Small models to be broken: one graph of f32[2,3] -> f32[2,3] and ways to change it. */
import type { Diagnostic } from '../../src/diag/diagnostic.ts';
import { bytesSource } from '../../src/ir/constant.ts';
import type { DType } from '../../src/ir/types.ts';
import {
  encodeModelBytes,
  type WritableAttribute,
  type WritableGraph,
  type WritableModel,
  type WritableNode,
  type WritableTensor,
  type WritableValueInfo,
} from '../../src/onnx/writer.ts';
import { pack } from '../../src/tensor/pack.ts';
import { fromNumbers } from '../../src/tensor/tensor.ts';

export type Expected = Omit<Diagnostic, 'severity'>;
/** By title: a name, the model, and everything that is said of it. */
export type Cases = Readonly<
  Record<string, readonly (readonly [name: string, model: Parts | Uint8Array, ...expected: Expected[]])[]>
>;

export type Shape = readonly (number | string)[];

/** `f32[2,3]`-like values of a graph. */
export const value = (name: string, dtype: DType, shape: Shape): WritableValueInfo => ({
  name,
  kind: 'tensor',
  dtype,
  shape,
});
export const f32 = (name: string, ...shape: Shape): WritableValueInfo => value(name, 'f32', shape);
export const i64 = (name: string, ...shape: Shape): WritableValueInfo => value(name, 'i64', shape);

/** `y = Op(a, b)` under the name `the Op`. */
export function node(
  opType: string,
  inputs: readonly string[],
  outputs: readonly string[],
  attributes: Readonly<Record<string, WritableAttribute>> = {},
  more: Partial<WritableNode> = {},
): WritableNode {
  return { name: `the ${opType}`, opType, inputs, outputs, attributes: new Map(Object.entries(attributes)), ...more };
}

export function tensor(
  name: string,
  dtype: DType,
  shape: readonly number[],
  values?: readonly number[],
): WritableTensor {
  const count = shape.reduce((a, b) => a * b, 1);
  const data = fromNumbers(dtype, shape, values ?? Array.from({ length: count }, (_, i) => i + 1)).data;
  return { name, dtype, shape, source: bytesSource(name, pack(dtype, data)) };
}

export const int = (n: number): WritableAttribute => ({ kind: 'int', value: n });
export const ints = (...n: number[]): WritableAttribute => ({ kind: 'ints', value: n });
export const body = (graph: WritableGraph): WritableAttribute => ({ kind: 'graph', value: graph });

/** A graph with what is not given empty. */
export const graph = (parts: Partial<WritableGraph>): WritableGraph => ({
  name: 'g',
  nodes: [],
  initializers: [],
  inputs: [],
  outputs: [],
  ...parts,
});

export type Parts = Partial<WritableGraph> & { readonly model?: Partial<WritableModel> };

/** The bytes of a model of IR 8, opset 17, whose graph takes x: f32[2,3] and gives y: f32[2,3] unless said otherwise. */
export function encoded({ model, ...parts }: Parts): Uint8Array {
  return encodeModelBytes({
    irVersion: 8,
    producer: 'test',
    opsets: new Map([['', 17]]),
    graph: graph({ inputs: [f32('x', 2, 3)], outputs: [f32('y', 2, 3)], ...parts }),
    ...model,
  });
}

/** Opset 17 of ai.onnx and version 1 of another domain. */
export const importsWith = (domain: string): ReadonlyMap<string, number> =>
  new Map([
    ['', 17],
    [domain, 1],
  ]);

/** A disagreement at the node `the OP`. */
export const mismatch = (op: string, expected: string, found: string, where?: string): Expected => ({
  code: 'onnx/type-mismatch',
  message: `${op} expects ${expected}, found ${found}`,
  node: `the ${op}`,
  ...(where === undefined ? {} : { where }),
});

export const CONDITION = value('c', 'bool', []);

/** A body of one node that reads an outer value. */
export const branch = (
  op: string,
  attributes: Record<string, WritableAttribute> = {},
  input = 'x',
): WritableAttribute =>
  body(graph({ name: op, nodes: [node(op, [input], [`${op}_out`], attributes)], outputs: [{ name: `${op}_out` }] }));

/** `y = c ? then(x) : else(x)`. */
export const conditional = (then_branch: WritableAttribute, else_branch: WritableAttribute): Parts => ({
  inputs: [f32('x', 2, 3), CONDITION],
  nodes: [node('If', ['c'], ['y'], { then_branch, else_branch })],
});
