/** GraphProto, NodeProto and FunctionProto. */
import type { OnnxAttribute, OnnxFunction, OnnxGraph, OnnxNode, OnnxSparseTensor } from './model.ts';
import type { OnnxTensor, OnnxValueInfo } from './model.ts';
import { type GraphContext, readAttribute } from './read-attribute.ts';
import { readEntry, readSparseTensor, readTensor, type TensorContext } from './read-tensor.ts';
import { readValueInfo } from './read-type.ts';
import type { WireReader } from './wire.ts';

const NO_ATTRIBUTES: ReadonlyMap<string, OnnxAttribute> = new Map();
const NO_METADATA: ReadonlyMap<string, string> = new Map();

/** `ai.onnx` and '' are one domain. */
const canonicalDomain = (domain: string): string => (domain === 'ai.onnx' ? '' : domain);

/** Reads the GraphProto that ends at `end`, subgraphs included. */
export function readGraph(context: TensorContext, end: number): OnnxGraph {
  const { reader } = context;
  const inner: GraphContext = { ...context, readGraph: (stop) => readGraph(context, stop) };
  reader.charge(600);
  let name = '';
  const nodes: OnnxNode[] = [];
  const initializers: OnnxTensor[] = [];
  const sparseInitializers: OnnxSparseTensor[] = [];
  const inputs: OnnxValueInfo[] = [];
  const outputs: OnnxValueInfo[] = [];
  const valueInfo: OnnxValueInfo[] = [];
  const metadata = new Map<string, string>();

  reader.message(end, (field, wire) => {
    if (field === 1) nodes.push(readNode(inner, reader.delimited(wire, end)));
    else if (field === 2) name = reader.string(wire, end);
    else if (field === 5)
      initializers.push(readTensor(context, reader.delimited(wire, end), `initializer ${initializers.length}`));
    else if (field === 11) inputs.push(readValueInfo(reader, reader.delimited(wire, end)));
    else if (field === 12) outputs.push(readValueInfo(reader, reader.delimited(wire, end)));
    else if (field === 13) valueInfo.push(readValueInfo(reader, reader.delimited(wire, end)));
    else if (field === 15)
      sparseInitializers.push(
        readSparseTensor(context, reader.delimited(wire, end), `sparse initializer ${sparseInitializers.length}`),
      );
    else if (field === 16) readEntry(reader, reader.delimited(wire, end), metadata);
    else return false; // doc_string, quantization_annotation
    return true;
  });
  return { name, nodes, initializers, sparseInitializers, inputs, outputs, valueInfo, metadata };
}

function readNode(context: GraphContext, end: number): OnnxNode {
  const { reader } = context;
  reader.charge(300);
  const inputs: string[] = [];
  const outputs: string[] = [];
  let attributes: Map<string, OnnxAttribute> | undefined;
  let metadata: Map<string, string> | undefined;
  let name = '';
  let opType = '';
  let domain = '';
  let overload = '';
  const owner = (): string => name || outputs.find((o) => o !== '') || opType || 'a node without name';

  reader.message(end, (field, wire) => {
    if (field === 1) inputs.push(reader.string(wire, end));
    else if (field === 2) outputs.push(reader.string(wire, end));
    else if (field === 3) name = reader.string(wire, end);
    else if (field === 4) opType = reader.string(wire, end);
    else if (field === 5)
      (attributes ??= new Map()).set(...readAttribute(context, reader.delimited(wire, end), owner()));
    else if (field === 7) domain = canonicalDomain(reader.string(wire, end));
    else if (field === 8) overload = reader.string(wire, end);
    else if (field === 9) readEntry(reader, reader.delimited(wire, end), (metadata ??= new Map()));
    else return false; // doc_string, device_configurations
    return true;
  });
  return {
    name,
    opType,
    domain,
    overload,
    inputs,
    outputs,
    attributes: attributes ?? NO_ATTRIBUTES,
    metadata: metadata ?? NO_METADATA,
  };
}

/** Reads the FunctionProto that ends at `end`. */
export function readFunction(context: TensorContext, end: number): OnnxFunction {
  const { reader } = context;
  const inner: GraphContext = { ...context, readGraph: (stop) => readGraph(context, stop) };
  reader.charge(600);
  let name = '';
  let domain = '';
  let overload = '';
  const inputs: string[] = [];
  const outputs: string[] = [];
  const attributes: string[] = [];
  const defaults = new Map<string, OnnxAttribute>();
  const nodes: OnnxNode[] = [];
  const opsets = new Map<string, number>();
  const valueInfo: OnnxValueInfo[] = [];

  reader.message(end, (field, wire) => {
    if (field === 1) name = reader.string(wire, end);
    else if (field === 4) inputs.push(reader.string(wire, end));
    else if (field === 5) outputs.push(reader.string(wire, end));
    else if (field === 6) attributes.push(reader.string(wire, end));
    else if (field === 7) nodes.push(readNode(inner, reader.delimited(wire, end)));
    else if (field === 9) readOpset(reader, reader.delimited(wire, end), opsets);
    else if (field === 10) domain = canonicalDomain(reader.string(wire, end));
    else if (field === 11) defaults.set(...readAttribute(inner, reader.delimited(wire, end), `function ${name}`));
    else if (field === 12) valueInfo.push(readValueInfo(reader, reader.delimited(wire, end)));
    else if (field === 13) overload = reader.string(wire, end);
    else return false;
    return true;
  });
  return { name, domain, overload, inputs, outputs, attributes, defaults, nodes, opsets, valueInfo };
}

/** OperatorSetIdProto; of two versions for one domain the higher counts. */
export function readOpset(reader: WireReader, end: number, into: Map<string, number>): void {
  let domain = '';
  let version = 0;
  reader.message(end, (field, wire) => {
    if (field === 1) domain = canonicalDomain(reader.string(wire, end));
    else if (field === 2) version = reader.int64(wire, end);
    else return false;
    return true;
  });
  reader.charge(64);
  into.set(domain, Math.max(version, into.get(domain) ?? 0));
}
