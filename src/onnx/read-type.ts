/** TypeProto and ValueInfoProto: element type and shape of tensors, the mere kind of anything else. */
import { fail } from '../diag/diagnostic.ts';
import { dtypeOfCode } from './dtype-codes.ts';
import type { OnnxType, OnnxTypeKind, OnnxValueInfo } from './model.ts';
import type { WireReader } from './wire.ts';

const UNKNOWN: OnnxType = { kind: 'unknown', elementCode: 0 };
const KINDS: Readonly<Record<number, OnnxTypeKind>> = {
  1: 'tensor',
  4: 'sequence',
  5: 'map',
  7: 'opaque',
  8: 'sparse-tensor',
  9: 'optional',
};

/** Reads the ValueInfoProto that ends at `end`. */
export function readValueInfo(reader: WireReader, end: number): OnnxValueInfo {
  reader.charge(160);
  let name = '';
  let type = UNKNOWN;
  reader.message(end, (field, wire) => {
    if (field === 1) name = reader.string(wire, end);
    else if (field === 2) type = readType(reader, reader.delimited(wire, end), () => name);
    else return false;
    return true;
  });
  return { name, ...type };
}

/** Reads the TypeProto that ends at `end`. What sequences, maps and optionals hold is skipped. */
export function readType(reader: WireReader, end: number, owner?: () => string): OnnxType {
  reader.charge(120);
  let type = UNKNOWN;
  reader.message(end, (field, wire) => {
    const kind = KINDS[field];
    if (kind === undefined) return false;
    const stop = reader.delimited(wire, end);
    if (field === 1 || field === 8) type = readTensorType(reader, stop, kind, owner);
    else {
      reader.pos = stop;
      type = { kind, elementCode: 0 };
    }
    return true;
  });
  return type;
}

function readTensorType(reader: WireReader, end: number, kind: OnnxTypeKind, owner?: () => string): OnnxType {
  let elementCode = 0;
  let shape: (number | string | null)[] | undefined;
  reader.message(end, (field, wire) => {
    if (field === 1) elementCode = reader.int32(wire, end);
    else if (field === 2) shape = readShape(reader, reader.delimited(wire, end), owner);
    else return false;
    return true;
  });
  const dtype = dtypeOfCode(elementCode);
  return {
    kind,
    elementCode,
    ...(dtype === undefined ? {} : { dtype }),
    ...(shape === undefined ? {} : { shape }),
  };
}

function readShape(reader: WireReader, end: number, owner?: () => string): (number | string | null)[] {
  const shape: (number | string | null)[] = [];
  reader.message(end, (field, wire) => {
    if (field !== 1) return false;
    reader.charge(32);
    shape.push(readDim(reader, reader.delimited(wire, end), owner));
    return true;
  });
  return shape;
}

function readDim(reader: WireReader, end: number, owner?: () => string): number | string | null {
  let dim: number | string | null = null;
  reader.message(end, (field, wire) => {
    if (field === 1) dim = reader.int64(wire, end);
    else if (field === 2) dim = reader.string(wire, end);
    else return false;
    return true;
  });
  // Old Keras and Paddle exporters write -1 for unknown, as onnxruntime reads it.
  if (dim === '' || dim === -1) return null;
  if (typeof dim === 'number' && !(dim >= 0 && dim <= Number.MAX_SAFE_INTEGER))
    fail({ code: 'onnx/tensor-shape', message: `value ${owner?.() ?? '(type attribute)'} has a dimension of ${dim}` });
  return dim;
}
