/** Runs folders of the ONNX node tests: model.onnx and test_data_set_N/{input,output}_M.pb. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Diagnosed } from '../../src/diag/diagnostic.ts';
import { runGraph } from '../../src/exec/reference.ts';
import { importModel } from '../../src/frontend/import.ts';
import { inferTypes } from '../../src/frontend/infer.ts';
import { isKnown } from '../../src/ir/dim.ts';
import type { Graph, Op } from '../../src/ir/graph.ts';
import { type DType, printType, type TensorType } from '../../src/ir/types.ts';
import { readTensorFile } from '../../src/onnx/reader.ts';
import { denseConstant } from '../../src/ir/constant.ts';
import { pack, unpack } from '../../src/tensor/pack.ts';
import { readConstant } from '../../src/tensor/read.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { difference } from './compare.ts';

export type Outcome =
  | { readonly kind: 'passed' }
  /** What is missing: op kinds, or the sort of value that wafc does not have. */
  | { readonly kind: 'unsupported'; readonly what: readonly string[] }
  | { readonly kind: 'failed'; readonly why: string };

function readTensor(path: string): Tensor {
  const { dtype, shape, source, strings } = readTensorFile(path);
  if (strings) return { dtype, shape, data: new Uint8Array(0), strings };
  return readConstant(denseConstant(dtype, shape, source));
}

/** Codes that say "not supported", as opposed to "wrong". */
function missing({ diagnostics }: Diagnosed): string[] {
  return diagnostics.flatMap(({ code, message }) => {
    if (code === 'onnx/unsupported-op') return [message.split(' ')[0]];
    if (code.startsWith('todo/') || code === 'onnx/input-type' || code === 'onnx/dtype')
      return [`(${code}: ${message})`];
    return [];
  });
}

/** Every output that an op made must have the type that inference gave it. */
function checkTypes(graph: Graph, op: Op, outputs: readonly (Tensor | undefined)[]): void {
  if (!graph.ops.includes(op)) return;
  for (const [i, value] of op.outputs.entries()) {
    const made = outputs[i];
    if (value === null || made === undefined) continue;
    const { dtype, shape } = graph.types[value];
    const fits =
      dtype === made.dtype &&
      shape.length === made.shape.length &&
      shape.every((n, d) => !isKnown(n) || n === made.shape[d]);
    if (!fits) throw new Error(`${op.kind}: inferred ${printType(graph.types[value])}, computed ${printType(made)}`);
  }
}

function numbered(folder: string, prefix: string): string[] {
  const files = readdirSync(folder).filter((f) => f.startsWith(prefix) && f.endsWith('.pb'));
  const numberOf = (f: string) => Number(/\d+/.exec(f.slice(prefix.length))?.[0]);
  return files.sort((a, b) => numberOf(a) - numberOf(b)).map((f) => join(folder, f));
}

/** The older suites store bfloat16 inputs as the integers of their bits. */
function asBfloat(fed: Tensor, wanted: DType): Tensor {
  if (wanted !== 'bf16' || fed.dtype !== 'u16') return fed;
  return { ...fed, dtype: 'bf16', data: unpack('bf16', pack('u16', fed.data), fed.data.length) };
}

/** Two of the older tests declare an operand [3,4] and feed [1]: the graph is typed for what is fed, and must give what is expected. */
function typedFor(graph: Graph, inputs: readonly Tensor[]): Graph {
  const fits = ({ shape }: TensorType, fed: Tensor): boolean =>
    shape.length === fed.shape.length && shape.every((n, d) => !isKnown(n) || n === fed.shape[d]);
  const types = [...graph.types];
  for (const [i, v] of graph.inputs.entries())
    if (inputs[i] !== undefined && !fits(types[v], inputs[i])) types[v] = { ...types[v], shape: inputs[i].shape };
  return types.some((type, v) => type !== graph.types[v]) ? inferTypes({ ...graph, types }) : graph;
}

function runDataSet(declared: Graph, folder: string): string | undefined {
  const inputs = numbered(folder, 'input_').map(readTensor);
  const graph = typedFor(declared, inputs);
  const feeds = new Map(graph.inputs.map((v, i) => [graph.names[v], asBfloat(inputs[i], graph.types[v].dtype)]));
  const results = runGraph(graph, feeds, { observe: (op, outputs) => checkTypes(graph, op, outputs) });
  for (const [i, file] of numbered(folder, 'output_').entries()) {
    const name = graph.names[graph.outputs[i]];
    const found = results.get(name);
    const wrong = found === undefined ? 'no such output' : difference(readTensor(file), found);
    if (wrong !== undefined) return `output ${name}: ${wrong}`;
  }
  return undefined;
}

/** Runs one test folder. */
export function runNodeTest(folder: string): Outcome {
  try {
    const { graph } = importModel(join(folder, 'model.onnx'));
    for (const set of readdirSync(folder)
      .filter((f) => f.startsWith('test_data_set'))
      .sort()) {
      const why = runDataSet(graph, join(folder, set));
      if (why !== undefined) return { kind: 'failed', why };
    }
    return { kind: 'passed' };
  } catch (error) {
    const what = error instanceof Diagnosed ? missing(error) : [];
    if (what.length > 0) return { kind: 'unsupported', what };
    const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : '';
    return { kind: 'failed', why: `${error instanceof Error ? error.message : String(error)}${cause}` };
  }
}

/** Folders below `root` that hold a test, sorted. */
export function nodeTests(root: string): string[] {
  const walk = (folder: string): string[] =>
    existsSync(join(folder, 'model.onnx'))
      ? [folder]
      : readdirSync(folder, { withFileTypes: true }).flatMap((e) =>
          e.isDirectory() ? walk(join(folder, e.name)) : [],
        );
  return walk(root).sort();
}
