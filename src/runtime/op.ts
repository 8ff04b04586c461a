/** What emitted executors call: ops by name, bodies as closures, constants by value. */
import { fail } from '../diag/diagnostic.ts';
import { callOp } from '../exec/reference.ts';
import { parseDim } from '../ir/dim.ts';
import type { AttrValue, Graph } from '../ir/graph.ts';
import { id, type ValueId } from '../ir/ids.ts';
import { DTYPE_BITS, type DType, type TensorType } from '../ir/types.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { constantOf, loaded } from './constants.ts';
import { tracing } from './trace.ts';

/** A body of If, Loop or Scan. */
export interface Body {
  readonly body: Graph;
}

/** As ONNX has them; a tensor where ONNX has a tensor. */
export type Attribute = number | string | boolean | readonly number[] | readonly string[] | Tensor | Body;

const closures = new WeakMap<Graph, (...inputs: Tensor[]) => readonly Tensor[]>();

/**
 * Computes one op: kind and opset version say what it means, as in ONNX.
 * @param inputs Operands; undefined for an optional one that is not given.
 * @param node Name of the ONNX node, for messages.
 * @param outputs How many outputs are asked for.
 * @throws Diagnosed when wafc has no such op, or the op meets a value that it does not allow.
 */
export function op(
  kind: string,
  version: number,
  inputs: readonly (Tensor | undefined)[],
  attributes: Readonly<Record<string, Attribute>> = {},
  node = kind,
  outputs = 1,
): Tensor[] {
  const attrs = Object.fromEntries(Object.entries(attributes).map(([name, value]) => [name, attrOf(value)]));
  const origin = { node, by: [] };
  const trace = tracing();
  if (trace !== undefined) return trace.op({ kind, version, origin, inputs, outputs }, attrs);
  const wanted = Array.from({ length: outputs }, (_, i) => id<'value'>(i));
  const operands = inputs.map((input) => input && loaded(input));
  return callOp({ kind, version, attrs, origin, outputs: wanted }, operands, (graph, given) => {
    const run = closures.get(graph);
    if (run === undefined) throw new Error(`${node}: a body that is no body()`);
    return run(...given).map(loaded);
  });
}

/** A body for `op`: types of what goes in and out (`f32[S,64]`), and what it computes. */
export function body(
  inputs: readonly string[],
  outputs: readonly string[],
  run: (...inputs: Tensor[]) => readonly Tensor[],
): Body {
  const types = [...inputs, ...outputs].map(parseType);
  const trace = tracing();
  if (trace !== undefined) return { body: trace.body(types.slice(0, inputs.length), run) };
  const ids = types.map((_, i): ValueId => id(i));
  const graph: Graph = {
    name: 'body',
    ops: [],
    types,
    names: ids.map(String),
    constants: new Map(),
    inputs: ids.slice(0, inputs.length),
    outputs: ids.slice(inputs.length),
    captures: new Map(),
  };
  closures.set(graph, run);
  return { body: graph };
}

function attrOf(value: Attribute): AttrValue {
  if (typeof value !== 'object') return value;
  if ('body' in value) return { graph: value.body };
  return 'dtype' in value ? constantOf(value) : value;
}

const isDType = (word: string): word is DType => Object.hasOwn(DTYPE_BITS, word);

/** `f32[B,S,64]`, as comments of emitted code have it. */
export function parseType(text: string): TensorType {
  const parts = /^(\w+)\[(.*)\]$/.exec(text);
  if (parts === null || !isDType(parts[1]))
    return fail({ code: 'runtime/type', message: `expected a type as f32[B,S,64], found ${text}` });
  // Symbols that are no plain names stand in quotes.
  const dims = parts[2].match(/(?:"(?:[^"\\]|\\.)*"|[^,"])+/g) ?? [];
  return { dtype: parts[1], shape: dims.map((dim) => parseDim(dim.replaceAll(/["\s]/g, ''))) };
}
