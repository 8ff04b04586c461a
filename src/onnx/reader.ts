/**
 * Opens ONNX files of IR 3 to 14 by skimming: structure is parsed through a small window, weights stay in the
 * file until someone reads their source. A 4 GB model opens in milliseconds. Everything wrong with a file ends
 * in Diagnosed (`onnx/..`), never in another exception.
 */
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fail } from '../diag/diagnostic.ts';
import { type ByteSource, bytesSource } from '../ir/constant.ts';
import { externalFiles } from './external.ts';
import { FilePool, fileSource, regularFileSize } from './files.ts';
import type { OnnxFunction, OnnxGraph, OnnxModel, OnnxTensor } from './model.ts';
import { readFunction, readGraph, readOpset } from './read-graph.ts';
import { readEntry, readTensor, type TensorContext } from './read-tensor.ts';
import { LENGTH, VARINT, WireReader } from './wire.ts';

const MIN_IR = 3;
const MAX_IR = 14;
/** A single-tensor file is held in memory. */
const MAX_TENSOR_FILE = 2 ** 30;

/**
 * Opens a model without reading its weights. Throws Diagnosed: `onnx/no-file`, `onnx/malformed`,
 * `onnx/not-a-model`, `onnx/ir-version`, `onnx/dtype`, `onnx/tensor-shape`, `onnx/tensor-data`,
 * `onnx/attribute`, `onnx/external-path`, `onnx/external-range`, `onnx/too-deep`, `onnx/too-large`.
 * A missing external file is no error until one of its tensors is read (`onnx/external-missing`): see
 * {@link OnnxModel.missingFiles}.
 */
export function openModel(path: string): OnnxModel {
  const pool = new FilePool();
  try {
    return readModel(pool, path, new WireReader(fileSource(pool, path)), dirname(path));
  } catch (error) {
    pool.close();
    throw error;
  }
}

/** As {@link openModel}, from memory. External data is looked for in `folder`, and refused without one. */
export function openModelBytes(bytes: Uint8Array, folder?: string): OnnxModel {
  return readModel(new FilePool(), '', new WireReader(bytesSource('model', bytes), bytes), folder);
}

/** Reads a file that holds one TensorProto (`input_0.pb` of ONNX's conformance tests). At most 1 GiB. */
export function readTensorFile(path: string): OnnxTensor {
  if (regularFileSize(path) > MAX_TENSOR_FILE)
    fail({ code: 'onnx/too-large', message: `${path} has more than ${MAX_TENSOR_FILE} bytes for one tensor` });
  const bytes = readFileSync(path);
  const source = bytesSource(path, bytes);
  const external = externalFiles(new FilePool(), path, dirname(path));
  try {
    return readTensor({ reader: new WireReader(source, bytes), external }, bytes.length, path);
  } catch (error) {
    if (!isContainer(source, bytes)) throw error;
    return fail({
      code: 'onnx/not-a-tensor',
      message: `${path} holds a sequence or an optional; only tensors are read`,
    });
  }
}

function readModel(pool: FilePool, path: string, reader: WireReader, folder: string | undefined): OnnxModel {
  const external = externalFiles(pool, path === '' ? undefined : path, folder);
  const context: TensorContext = { reader, external };
  const end = reader.source.byteLength;
  const opsets = new Map<string, number>();
  const metadata = new Map<string, string>();
  const functions: OnnxFunction[] = [];
  let irVersion = 0;
  let producer = '';
  let producerVersion = '';
  let graph: OnnxGraph | undefined;

  reader.message(end, (field, wire) => {
    if (field === 1) irVersion = reader.int64(wire, end);
    else if (field === 2) producer = reader.string(wire, end);
    else if (field === 3) producerVersion = reader.string(wire, end);
    else if (field === 7) graph = readGraph(context, reader.delimited(wire, end));
    else if (field === 8) readOpset(reader, reader.delimited(wire, end), opsets);
    else if (field === 14) readEntry(reader, reader.delimited(wire, end), metadata);
    else if (field === 25) functions.push(readFunction(context, reader.delimited(wire, end)));
    else return false; // domain, model_version, doc_string, training_info, configuration
    return true;
  });

  const name = path === '' ? 'the model' : path;
  if (graph === undefined || irVersion === 0)
    return fail({
      code: 'onnx/not-a-model',
      message: `${name} is not an ONNX model: it has no ${graph === undefined ? 'graph' : 'IR version'}`,
    });
  if (irVersion < MIN_IR || irVersion > MAX_IR)
    fail({
      code: 'onnx/ir-version',
      message: `${name} is of ONNX IR version ${irVersion}; versions ${MIN_IR} to ${MAX_IR} are read`,
    });
  return {
    path,
    irVersion,
    producer: `${producer} ${producerVersion}`.trim(),
    opsets,
    graph,
    functions,
    metadata,
    missingFiles: external.missing(),
    close: () => pool.close(),
  };
}

/**
 * SequenceProto and OptionalProto carry no mark of their own: a name or nothing in field 1, a kind in field 2, and
 * messages in fields 3 to 7. Asked only after the file was found not to be a tensor.
 */
function isContainer(source: ByteSource, bytes: Uint8Array): boolean {
  const reader = new WireReader(source, bytes);
  let fits = true;
  try {
    reader.message(bytes.length, (field, wire) => {
      fits &&= field >= 1 && field <= 7 && wire === (field === 2 ? VARINT : LENGTH);
      return false;
    });
  } catch {
    return false;
  }
  return fits;
}
