/** What is in a model file, without reading a weight: for `wafc inspect`. */
import { statSync } from 'node:fs';
import { elementCount } from '../ir/constant.ts';
import { bytesFor } from '../ir/types.ts';
import type { OnnxAttribute, OnnxGraph, OnnxModel, OnnxNode, OnnxTensor, OnnxValueInfo } from '../onnx/model.ts';
import { kindOf } from '../ops/op.ts';

export interface OpCount {
  readonly kind: string;
  readonly count: number;
  readonly supported: boolean;
}
export interface TensorLine {
  readonly name: string;
  readonly type: string;
  readonly elements: number;
  readonly bytes: number;
  /** External file, or null when the bytes are in the model. */
  readonly file: string | null;
}
export interface Inspection {
  readonly file: string;
  readonly fileBytes: number;
  readonly graph: string;
  readonly irVersion: number;
  readonly producer: string;
  /** By domain; `ai.onnx` spelt out. */
  readonly opsets: Readonly<Record<string, number>>;
  /** `metadata_props` of the model. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly nodes: number;
  /** Most frequent first; bodies and functions included. */
  readonly ops: readonly OpCount[];
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Symbolic dims of the inputs, in order of mention: what `--bind` can bind. */
  readonly symbols: readonly string[];
  /** Elements of float tensors and of integers of at most 8 bits (quantized weights); no scalars, no indices. */
  readonly parameters: number;
  readonly parameterBytes: number;
  readonly bytesByType: Readonly<Record<string, number>>;
  readonly externalFiles: readonly { readonly file: string; readonly bytes: number; readonly missing: boolean }[];
  readonly largest: readonly TensorLine[];
}

/** `largest`: how many of the biggest tensors to list. */
export function inspectModel(model: OnnxModel, knowsOp: (kind: string) => boolean, largest: number): Inspection {
  const { graph, functions } = model;
  const local = new Set(functions.map(({ domain, name }) => kindOf(domain, name)));
  const nodes = [...nodesOf(graph.nodes), ...functions.flatMap((f) => [...nodesOf(f.nodes)])];
  const counts = new Map<string, number>();
  for (const { domain, opType } of nodes) {
    const kind = kindOf(domain, opType);
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  const ops = [...counts]
    .map(([kind, count]) => ({ kind, count, supported: local.has(kind) || knowsOp(kind) }))
    .sort((a, b) => b.count - a.count || (a.kind < b.kind ? -1 : 1));

  const tensors = [...graphsOf(graph)].flatMap((g) => tensorsOf(g)).map(lineOf);
  const bytesByType: Record<string, number> = {};
  const byFile = new Map<string, number>();
  for (const { type, bytes, file } of tensors) {
    const dtype = type.slice(0, type.indexOf('['));
    bytesByType[dtype] = (bytesByType[dtype] ?? 0) + bytes;
    if (file !== null) byFile.set(file, (byFile.get(file) ?? 0) + bytes);
  }
  const initializers = new Set(graph.initializers.map(({ name }) => name));
  const fed = graph.inputs.filter(({ name }) => !initializers.has(name));
  return {
    file: model.path,
    fileBytes: model.path === '' ? 0 : statSync(model.path).size,
    graph: graph.name,
    irVersion: model.irVersion,
    producer: model.producer,
    opsets: Object.fromEntries(
      [...model.opsets].map(([domain, version]) => [domain === '' ? 'ai.onnx' : domain, version]),
    ),
    metadata: Object.fromEntries(model.metadata),
    nodes: nodes.length,
    ops,
    inputs: fed.map(valueText),
    outputs: graph.outputs.map(valueText),
    symbols: [...new Set(fed.flatMap(({ shape = [] }) => shape.filter((dim) => typeof dim === 'string')))],
    parameters: sum(tensors.filter(isParameter).map((t) => t.elements)),
    parameterBytes: sum(tensors.map((t) => t.bytes)),
    bytesByType,
    externalFiles: [...byFile].map(([file, bytes]) => ({ file, bytes, missing: model.missingFiles.includes(file) })),
    largest: [...tensors].sort((a, b) => b.bytes - a.bytes || (a.name < b.name ? -1 : 1)).slice(0, largest),
  };
}

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

function bodiesOf({ attributes }: OnnxNode): readonly OnnxGraph[] {
  return [...attributes.values()].flatMap((a: OnnxAttribute) =>
    a.kind === 'graph' ? [a.value] : a.kind === 'graphs' ? a.value : [],
  );
}

function* nodesOf(nodes: readonly OnnxNode[]): Generator<OnnxNode> {
  for (const node of nodes) {
    yield node;
    for (const body of bodiesOf(node)) yield* nodesOf(body.nodes);
  }
}

function* graphsOf(graph: OnnxGraph): Generator<OnnxGraph> {
  yield graph;
  for (const node of graph.nodes) for (const body of bodiesOf(node)) yield* graphsOf(body);
}

/** Initializers, and the tensors of Constant nodes: exporters keep weights in either. */
function tensorsOf(graph: OnnxGraph): readonly OnnxTensor[] {
  const constants = graph.nodes.flatMap((node) => {
    const value = node.opType === 'Constant' ? node.attributes.get('value') : undefined;
    return value?.kind === 'tensor' ? [{ ...value.value, name: node.outputs[0] ?? '' }] : [];
  });
  const sparse = graph.sparseInitializers.flatMap(({ values, indices }) => [values, indices]);
  return [...graph.initializers, ...sparse, ...constants];
}

const lineOf = ({ name, dtype, shape, location }: OnnxTensor): TensorLine => ({
  name,
  type: `${dtype}[${shape.join(',')}]`,
  elements: elementCount(shape),
  bytes: bytesFor(dtype, elementCount(shape)),
  file: location ?? null,
});

const isParameter = ({ type }: TensorLine): boolean => /^(?:b?f|[iu][248]\[)/.test(type) && !type.endsWith('[]');

/** `input_ids: i64[batch,sequence]`; `?` for what the file does not say. */
function valueText({ name, kind, dtype, shape }: OnnxValueInfo): string {
  if (kind !== 'tensor') return `${name}: ${kind}`;
  return `${name}: ${dtype ?? '?'}${shape === undefined ? '[..]' : `[${shape.map((dim) => dim ?? '?').join(',')}]`}`;
}
