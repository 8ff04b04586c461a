/**
 * The graph: typed values, ops in a topological order, constants as lazy views. Immutable; `edit.ts` is the
 * only way to make a changed one. One op vocabulary serves every level: `Add` is ONNX's own op, at the opset
 * version of the model; `wafc.linear` is one of ours (see src/ops). What an op means is in its registry entry.
 */
import type { Constant } from './constant.ts';
import type { ValueId } from './ids.ts';
import type { TensorType } from './types.ts';

/** Where an op came from, so that every diagnostic can name the user's own ONNX node. */
export interface Origin {
  /** ONNX node name, or its first output where the node has none. */
  readonly node: string;
  /** Passes that rewrote it, oldest first. */
  readonly by: readonly string[];
}

export type AttrValue =
  | number
  | string
  | boolean
  | readonly number[]
  | readonly string[]
  | Constant
  | { readonly graph: Graph };
export type Attrs = Readonly<Record<string, AttrValue>>;

export interface Op {
  /** Registry name: `MatMul`, `com.microsoft.FusedMatMul`, `wafc.attention`. */
  readonly kind: string;
  /** Opset version of the op's domain in the model it came from; 1 for wafc.* ops. */
  readonly version: number;
  /** An optional input that is not given is null. */
  readonly inputs: readonly (ValueId | null)[];
  /** An optional output that is not asked for is null. */
  readonly outputs: readonly (ValueId | null)[];
  readonly attrs: Attrs;
  readonly origin: Origin;
}

export interface Graph {
  readonly name: string;
  /** Topological order, independent of the order of nodes in the file (see frontend/import.ts). */
  readonly ops: readonly Op[];
  readonly types: readonly TensorType[];
  /** Unique names by ValueId: the ONNX names where there are any. */
  readonly names: readonly string[];
  readonly constants: ReadonlyMap<ValueId, Constant>;
  readonly inputs: readonly ValueId[];
  readonly outputs: readonly ValueId[];
  /** Values of an enclosing graph that this subgraph reads: inner ValueId -> name in the outer graph. */
  readonly captures: ReadonlyMap<ValueId, string>;
}

export const isConstantAttr = (a: AttrValue | undefined): a is Constant =>
  typeof a === 'object' && a !== null && 'source' in a;
export const isGraphAttr = (a: AttrValue | undefined): a is { readonly graph: Graph } =>
  typeof a === 'object' && a !== null && 'graph' in a;
