/**
 * What an op is. One `defineOp` per op, in family files; the registry (registry.ts) is their list. An op
 * states its shape rule and its meaning; executors, the importer, passes and the support matrix all read
 * the same entry.
 */
import type { Constant } from '../ir/constant.ts';
import type { Dim } from '../ir/dim.ts';
import type { Attrs, Graph } from '../ir/graph.ts';
import type { DType, TensorType } from '../ir/types.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { View } from './support/move.ts';

/** Typed access to attributes, with the defaults of the op at its version. Throws Diagnosed on a wrong kind. */
export interface AttrReader {
  readonly raw: Attrs;
  has(name: string): boolean;
  int(name: string, fallback?: number): number;
  float(name: string, fallback?: number): number;
  string(name: string, fallback?: string): string;
  ints(name: string, fallback?: readonly number[]): readonly number[];
  floats(name: string, fallback?: readonly number[]): readonly number[];
  strings(name: string, fallback?: readonly string[]): readonly string[];
  tensor(name: string): Constant;
  graph(name: string): Graph;
}

export interface InferContext {
  readonly version: number;
  readonly attrs: AttrReader;
  /** Undefined where an optional input is absent. */
  readonly inputs: readonly (TensorType | undefined)[];
  readonly outputCount: number;
  /** Elements of a small integer input when they are known, as dims (data propagation); else undefined. */
  valueOf(input: number): readonly Dim[] | undefined;
  /** A dim nobody knows before run time (NonZero): a fresh symbol. */
  fresh(hint: string): Dim;
  /** Ends inference of this op with a located diagnostic: `expected` and `found` name the disagreement. */
  mismatch(what: { input?: number; expected: string; found: string }): never;
}

export interface Inferred {
  readonly types: readonly TensorType[];
  /** By output: elements of a small integer output, when computable from the inputs' values. */
  readonly values?: readonly (readonly Dim[] | undefined)[];
}

export interface RunContext {
  readonly version: number;
  readonly attrs: AttrReader;
  readonly inputs: readonly (Tensor | undefined)[];
  readonly outputCount: number;
  /** For If, Loop and Scan: runs a body; names of outer values are resolved by the executor. */
  runGraph(graph: Graph, inputs: readonly Tensor[]): readonly Tensor[];
}

export interface OpDef {
  /** '' is ai.onnx; 'com.microsoft', 'wafc'. */
  readonly domain: string;
  readonly name: string;
  /** Opset versions of the domain at which the definition changed; a model's version is accepted if >= the first. */
  readonly since: readonly number[];
  /**
   * `view`: outputs are elements of the data inputs, moved, repeated or dropped, never computed
   * (Reshape, Transpose, Slice, Gather by a constant, Concat, Expand ..). `source`: no data inputs.
   */
  readonly trait: 'view' | 'elementwise' | 'compute' | 'source' | 'control-flow';
  /** For `view`: which inputs carry the data (default [0]); all, for Concat. */
  readonly dataInputs?: 'all' | readonly number[];
  infer(context: InferContext): Inferred;
  /**
   * Of ops whose outputs are strided views of input 0: those views, given what input 0 is itself a view of. Reads no
   * element of input 0. Undefined where these strides would need a copy; dense ones never do.
   */
  view?(context: RunContext, source: View): readonly View[] | undefined;
  /** The reference kernel: ONNX semantics, f32 math for narrower floats. Throws Diagnosed on bad run-time values. */
  run(context: RunContext): readonly Tensor[];
}

export const defineOp = (def: OpDef): OpDef => def;

/** `Add`, `com.microsoft.Gelu`, `wafc.linear`: the name used in `Op.kind`. */
export const kindOf = (domain: string, name: string): string =>
  domain === '' || domain === 'ai.onnx' ? name : `${domain}.${name}`;

export type { DType };
