/** ONNX structures as protobuf messages, fields in the order of their numbers, as protobuf's own libraries write. */
import { fail } from '../diag/diagnostic.ts';
import { bytesFor, type DType } from '../ir/types.ts';
import { CODE_OF } from './dtype-codes.ts';
import { Message, type Payload } from './message.ts';
import type { OnnxAttribute, OnnxType, OnnxValueInfo } from './model.ts';

/** What a tensor must have to be written. An OnnxTensor has it. */
export interface WritableTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Little-endian packed bytes, exactly as many as the shape needs. */
  readonly source: Payload;
  /** For dtype string. */
  readonly strings?: readonly string[];
}

export interface WritableSparseTensor {
  readonly values: WritableTensor;
  readonly indices: WritableTensor;
  readonly shape: readonly number[];
}

/** As OnnxAttribute, with writable tensors and graphs. */
export type WritableAttribute =
  | Exclude<
      OnnxAttribute,
      { readonly kind: 'tensor' | 'graph' | 'sparse-tensor' | 'tensors' | 'graphs' | 'sparse-tensors' }
    >
  | { readonly kind: 'tensor'; readonly value: WritableTensor }
  | { readonly kind: 'graph'; readonly value: WritableGraph }
  | { readonly kind: 'sparse-tensor'; readonly value: WritableSparseTensor }
  | { readonly kind: 'tensors'; readonly value: readonly WritableTensor[] }
  | { readonly kind: 'graphs'; readonly value: readonly WritableGraph[] }
  | { readonly kind: 'sparse-tensors'; readonly value: readonly WritableSparseTensor[] };

export interface WritableNode {
  readonly name: string;
  readonly opType: string;
  readonly domain?: string;
  readonly overload?: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes?: ReadonlyMap<string, WritableAttribute>;
  /** Netron shows it from IR 10 on. */
  readonly metadata?: ReadonlyMap<string, string>;
}

/** A value's name and type; without `dtype` and `elementCode` only the name is written. */
export type WritableValueInfo = Partial<OnnxType> & Pick<OnnxValueInfo, 'name'>;

export interface WritableGraph {
  readonly name: string;
  readonly nodes: readonly WritableNode[];
  readonly initializers: readonly WritableTensor[];
  readonly sparseInitializers?: readonly WritableSparseTensor[];
  readonly inputs: readonly WritableValueInfo[];
  readonly outputs: readonly WritableValueInfo[];
  readonly valueInfo?: readonly WritableValueInfo[];
  readonly metadata?: ReadonlyMap<string, string>;
}

export interface WritableFunction {
  readonly name: string;
  readonly domain: string;
  readonly overload?: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes?: readonly string[];
  readonly defaults?: ReadonlyMap<string, WritableAttribute>;
  readonly nodes: readonly WritableNode[];
  readonly opsets: ReadonlyMap<string, number>;
  readonly valueInfo?: readonly WritableValueInfo[];
}

/** Where the bytes of an initializer go: into the model, or to a place in the data file. */
export type PlaceTensor = (
  tensor: WritableTensor,
) => { readonly location: string; readonly offset: number; readonly length: number } | undefined;

const INLINE: PlaceTensor = () => undefined;

/** TensorProto; its bytes inline, or where `place` says. Throws RangeError when shape and bytes disagree. */
export function encodeTensor(tensor: WritableTensor, place: PlaceTensor): Message {
  const out = new Message();
  for (const n of tensor.shape) out.int(1, n);
  out.int(2, CODE_OF[tensor.dtype]);
  const needed = bytesFor(
    tensor.dtype,
    tensor.shape.reduce((a, b) => a * b, 1),
  );
  const outside = tensor.dtype === 'string' ? undefined : place(tensor);
  if (tensor.dtype === 'string') for (const text of tensor.strings ?? []) out.string(6, text);
  else if (tensor.source.byteLength !== needed)
    throw new RangeError(`${tensor.name}: ${tensor.source.byteLength} bytes for ${tensor.dtype}[${tensor.shape}]`);
  out.name(8, tensor.name);
  if (outside !== undefined) {
    for (const [key, value] of Object.entries(outside)) out.message(13, entry(key, String(value)));
    return out.int(14, 1);
  }
  return tensor.dtype === 'string' ? out : out.stream(9, tensor.source);
}

function encodeSparse(tensor: WritableSparseTensor): Message {
  const out = new Message()
    .message(1, encodeTensor(tensor.values, INLINE))
    .message(2, encodeTensor(tensor.indices, INLINE));
  for (const n of tensor.shape) out.int(3, n);
  return out;
}

const entry = (key: string, value: string): Message => new Message().string(1, key).string(2, value);

function addEntries(out: Message, field: number, map: ReadonlyMap<string, string> | undefined): void {
  for (const [key, value] of map ?? []) out.message(field, entry(key, value));
}

function encodeAttribute(name: string, attribute: WritableAttribute, place: PlaceTensor): Message {
  const out = new Message().string(1, name);
  switch (attribute.kind) {
    case 'float':
      return out.float(2, attribute.value).int(20, 1);
    case 'int':
      return out.int(3, attribute.value).int(20, 2);
    case 'string':
      return (attribute.bytes ? out.bytes(4, attribute.bytes) : out.string(4, attribute.value)).int(20, 3);
    case 'tensor':
      return out.message(5, encodeTensor(attribute.value, INLINE)).int(20, 4);
    case 'graph':
      return out.message(6, encodeGraph(attribute.value, place)).int(20, 5);
    case 'floats':
      for (const v of attribute.value) out.float(7, v);
      return out.int(20, 6);
    case 'ints':
      for (const v of attribute.value) out.int(8, v);
      return out.int(20, 7);
    case 'strings':
      for (const v of attribute.value) out.string(9, v);
      return out.int(20, 8);
    case 'tensors':
      for (const v of attribute.value) out.message(10, encodeTensor(v, INLINE));
      return out.int(20, 9);
    case 'graphs':
      for (const v of attribute.value) out.message(11, encodeGraph(v, place));
      return out.int(20, 10);
    case 'type':
      return out.message(14, encodeType(name, attribute.value) ?? new Message()).int(20, 13);
    case 'types':
      for (const v of attribute.value) out.message(15, encodeType(name, v) ?? new Message());
      return out.int(20, 14);
    case 'ref':
      return out.int(20, attribute.type).string(21, attribute.value);
    case 'sparse-tensor':
      return out.int(20, 11).message(22, encodeSparse(attribute.value));
    case 'sparse-tensors':
      out.int(20, 12);
      for (const v of attribute.value) out.message(23, encodeSparse(v));
      return out;
  }
}

/** NodeProto with its attributes and subgraphs. */
export function encodeNode(node: WritableNode, place: PlaceTensor): Message {
  const out = new Message();
  for (const input of node.inputs) out.string(1, input);
  for (const output of node.outputs) out.string(2, output);
  out.name(3, node.name).string(4, node.opType);
  for (const [name, attribute] of node.attributes ?? []) out.message(5, encodeAttribute(name, attribute, place));
  out.name(7, node.domain).name(8, node.overload);
  addEntries(out, 9, node.metadata);
  return out;
}

function encodeType(owner: string, type: Partial<OnnxType>): Message | undefined {
  const { dtype, elementCode, shape } = type;
  const kind = type.kind ?? 'tensor';
  const code = dtype === undefined ? (elementCode ?? 0) : CODE_OF[dtype];
  if (kind === 'unknown' || (kind === 'tensor' && code === 0 && shape === undefined)) return undefined;
  if (kind !== 'tensor' && kind !== 'sparse-tensor')
    fail({ code: 'onnx/write', message: `value ${owner} is a ${kind}; only tensors can be written` });
  const inner = new Message();
  if (code !== 0) inner.int(1, code);
  if (shape !== undefined) {
    const dims = new Message();
    for (const dim of shape) {
      const one = new Message();
      if (typeof dim === 'number') one.int(1, dim);
      else if (dim !== null) one.string(2, dim);
      dims.message(1, one);
    }
    inner.message(2, dims);
  }
  return new Message().message(kind === 'tensor' ? 1 : 8, inner);
}

function encodeValueInfo(info: WritableValueInfo): Message {
  const out = new Message().string(1, info.name);
  const type = encodeType(info.name, info);
  return type === undefined ? out : out.message(2, type);
}

/** GraphProto. Throws Diagnosed `onnx/write` for a value that is not a tensor. */
export function encodeGraph(graph: WritableGraph, place: PlaceTensor): Message {
  const out = new Message();
  for (const node of graph.nodes) out.message(1, encodeNode(node, place));
  out.string(2, graph.name);
  for (const tensor of graph.initializers) out.message(5, encodeTensor(tensor, place));
  for (const info of graph.inputs) out.message(11, encodeValueInfo(info));
  for (const info of graph.outputs) out.message(12, encodeValueInfo(info));
  for (const info of graph.valueInfo ?? []) out.message(13, encodeValueInfo(info));
  for (const tensor of graph.sparseInitializers ?? []) out.message(15, encodeSparse(tensor));
  addEntries(out, 16, graph.metadata);
  return out;
}

const encodeOpset = (domain: string, version: number): Message => new Message().string(1, domain).int(2, version);

/** FunctionProto; tensors in its body are always inline. */
export function encodeFunction(fn: WritableFunction): Message {
  const out = new Message().string(1, fn.name);
  for (const input of fn.inputs) out.string(4, input);
  for (const output of fn.outputs) out.string(5, output);
  for (const attribute of fn.attributes ?? []) out.string(6, attribute);
  for (const node of fn.nodes) out.message(7, encodeNode(node, INLINE));
  for (const [domain, version] of fn.opsets) out.message(9, encodeOpset(domain, version));
  out.name(10, fn.domain);
  for (const [name, attribute] of fn.defaults ?? []) out.message(11, encodeAttribute(name, attribute, INLINE));
  for (const info of fn.valueInfo ?? []) out.message(12, encodeValueInfo(info));
  return out.name(13, fn.overload);
}

export interface WritableModel {
  readonly irVersion: number;
  readonly producer?: string;
  /** By domain; '' is ai.onnx. */
  readonly opsets: ReadonlyMap<string, number>;
  readonly graph: WritableGraph;
  readonly functions?: readonly WritableFunction[];
  readonly metadata?: ReadonlyMap<string, string>;
}

/** ModelProto. */
export function encodeModel(model: WritableModel, place: PlaceTensor): Message {
  const out = new Message().int(1, model.irVersion).name(2, model.producer);
  out.message(7, encodeGraph(model.graph, place));
  for (const [domain, version] of model.opsets) out.message(8, encodeOpset(domain, version));
  addEntries(out, 14, model.metadata);
  for (const fn of model.functions ?? []) out.message(25, encodeFunction(fn));
  return out;
}
