/**
 * An ONNX model as the reader gives it: everything that is structure is in memory, everything that is weight
 * is a byte source. Nothing is interpreted here: names may clash, nodes may be out of order, ops may be unknown.
 */
import type { ByteSource } from '../ir/constant.ts';
import type { DType } from '../ir/types.ts';

/** A dense tensor whose bytes are read on demand. */
export interface OnnxTensor {
  /** '' where the file gives none (attribute tensors, conformance inputs). */
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Little-endian packed bytes, exactly `bytesFor(dtype, elements)` of them; empty for strings. */
  readonly source: ByteSource;
  /** Set for dtype string only. */
  readonly strings?: readonly string[];
  /** Set when the bytes live in another file: its name as the model writes it. */
  readonly location?: string;
}

/** COO: `indices` is i64 of shape [nnz] (flattened) or [nnz, rank]. The tensor's name is that of `values`. */
export interface OnnxSparseTensor {
  readonly values: OnnxTensor;
  readonly indices: OnnxTensor;
  readonly shape: readonly number[];
}

/** What a value holds; only `tensor` can be compiled, the rest is told apart so that a message can name it. */
export type OnnxTypeKind = 'tensor' | 'sparse-tensor' | 'sequence' | 'map' | 'optional' | 'opaque' | 'unknown';

export interface OnnxType {
  readonly kind: OnnxTypeKind;
  /** Absent when the file does not say, or names a type outside {@link DType} (complex64, complex128). */
  readonly dtype?: DType;
  /** The element type's code in the file, 0 when absent. */
  readonly elementCode: number;
  /** Absent = unknown rank. A string is a `dim_param`, null an unknown extent. */
  readonly shape?: readonly (number | string | null)[];
}

export interface OnnxValueInfo extends OnnxType {
  readonly name: string;
}

export type OnnxAttribute =
  | { readonly kind: 'float'; readonly value: number }
  /** int64 as a double: exact to 2^53; INT64_MAX becomes 2^63. */
  | { readonly kind: 'int'; readonly value: number }
  /** `bytes` is set when they are not UTF-8; `value` then has replacement characters. */
  | { readonly kind: 'string'; readonly value: string; readonly bytes?: Uint8Array }
  | { readonly kind: 'tensor'; readonly value: OnnxTensor }
  | { readonly kind: 'graph'; readonly value: OnnxGraph }
  | { readonly kind: 'sparse-tensor'; readonly value: OnnxSparseTensor }
  | { readonly kind: 'type'; readonly value: OnnxType }
  | { readonly kind: 'floats'; readonly value: readonly number[] }
  | { readonly kind: 'ints'; readonly value: readonly number[] }
  | { readonly kind: 'strings'; readonly value: readonly string[] }
  | { readonly kind: 'tensors'; readonly value: readonly OnnxTensor[] }
  | { readonly kind: 'graphs'; readonly value: readonly OnnxGraph[] }
  | { readonly kind: 'sparse-tensors'; readonly value: readonly OnnxSparseTensor[] }
  | { readonly kind: 'types'; readonly value: readonly OnnxType[] }
  /** Inside a function body: the attribute `value` of the calling node, of AttributeProto type `type` (0 = unsaid). */
  | { readonly kind: 'ref'; readonly value: string; readonly type: number };

export interface OnnxNode {
  readonly name: string;
  readonly opType: string;
  /** '' is ai.onnx, whichever way the file spells it. */
  readonly domain: string;
  readonly overload: string;
  /** '' marks an optional input that is not given. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: ReadonlyMap<string, OnnxAttribute>;
  readonly metadata: ReadonlyMap<string, string>;
}

export interface OnnxGraph {
  readonly name: string;
  readonly nodes: readonly OnnxNode[];
  readonly initializers: readonly OnnxTensor[];
  readonly sparseInitializers: readonly OnnxSparseTensor[];
  readonly inputs: readonly OnnxValueInfo[];
  readonly outputs: readonly OnnxValueInfo[];
  readonly valueInfo: readonly OnnxValueInfo[];
  readonly metadata: ReadonlyMap<string, string>;
}

export interface OnnxFunction {
  readonly name: string;
  readonly domain: string;
  readonly overload: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Names of attributes a call must give. */
  readonly attributes: readonly string[];
  /** Attributes with a default. */
  readonly defaults: ReadonlyMap<string, OnnxAttribute>;
  readonly nodes: readonly OnnxNode[];
  readonly opsets: ReadonlyMap<string, number>;
  readonly valueInfo: readonly OnnxValueInfo[];
}

export interface OnnxModel {
  /** '' when the model came from memory. */
  readonly path: string;
  readonly irVersion: number;
  /** `pytorch 2.4.0`. */
  readonly producer: string;
  /** By domain; '' is ai.onnx. */
  readonly opsets: ReadonlyMap<string, number>;
  readonly graph: OnnxGraph;
  readonly functions: readonly OnnxFunction[];
  readonly metadata: ReadonlyMap<string, string>;
  /** External data files that the model names and that are not there; reading one of their tensors fails. */
  readonly missingFiles: readonly string[];
  /** Closes file handles. Sources stay usable: a later read opens the file again. */
  close(): void;
}
