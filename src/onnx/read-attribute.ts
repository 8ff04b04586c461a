/** AttributeProto: one of fourteen kinds, told by `type`, or by the field present in files older than IR 2. */
import { fail } from '../diag/diagnostic.ts';
import type { OnnxAttribute, OnnxGraph, OnnxSparseTensor, OnnxTensor, OnnxType } from './model.ts';
import { readSparseTensor, readTensor, type TensorContext } from './read-tensor.ts';
import { readType } from './read-type.ts';
import { FIXED32, VARINT } from './wire.ts';

export interface GraphContext extends TensorContext {
  readGraph(end: number): OnnxGraph;
}

/** Strings up to 64 MiB: some vendors keep compiled blobs in them. */
const MAX_STRING = 2 ** 26;

/** All that the fields of one AttributeProto can hold; the last one wins, lists grow. */
interface Fields {
  f?: number;
  i?: number;
  s?: Uint8Array;
  t?: OnnxTensor;
  g?: OnnxGraph;
  sparse?: OnnxSparseTensor;
  tp?: OnnxType;
  readonly floats: number[];
  readonly ints: number[];
  readonly strings: string[];
  readonly tensors: OnnxTensor[];
  readonly graphs: OnnxGraph[];
  readonly sparses: OnnxSparseTensor[];
  readonly types: OnnxType[];
}

/** Reads the AttributeProto that ends at `end`. `owner` is the node, for messages. */
export function readAttribute(context: GraphContext, end: number, owner: string): [string, OnnxAttribute] {
  const { reader } = context;
  reader.charge(200);
  const has: Fields = { floats: [], ints: [], strings: [], tensors: [], graphs: [], sparses: [], types: [] };
  let name = '';
  let type = 0;
  let reference = '';
  const where = (): string => `${owner}:${name}`;

  reader.message(end, (field, wire) => {
    if (field === 1) name = reader.string(wire, end);
    else if (field === 2) has.f = reader.float(wire, end);
    else if (field === 3) has.i = reader.int64(wire, end);
    else if (field === 4) has.s = reader.bytes(wire, end, MAX_STRING);
    else if (field === 5) has.t = readTensor(context, reader.delimited(wire, end), where());
    else if (field === 6) has.g = context.readGraph(reader.delimited(wire, end));
    else if (field === 7)
      reader.repeated(wire, end, FIXED32, (w, stop) => {
        reader.charge(8);
        has.floats.push(reader.float(w, stop));
      });
    else if (field === 8)
      reader.repeated(wire, end, VARINT, (w, stop) => {
        reader.charge(8);
        has.ints.push(reader.int64(w, stop));
      });
    else if (field === 9) has.strings.push(reader.string(wire, end, MAX_STRING));
    else if (field === 10) has.tensors.push(readTensor(context, reader.delimited(wire, end), where()));
    else if (field === 11) has.graphs.push(context.readGraph(reader.delimited(wire, end)));
    else if (field === 14) has.tp = readType(reader, reader.delimited(wire, end));
    else if (field === 15) has.types.push(readType(reader, reader.delimited(wire, end)));
    else if (field === 20) type = reader.int32(wire, end);
    else if (field === 21) reference = reader.string(wire, end);
    else if (field === 22) has.sparse = readSparseTensor(context, reader.delimited(wire, end), where());
    else if (field === 23) has.sparses.push(readSparseTensor(context, reader.delimited(wire, end), where()));
    else return false;
    return true;
  });

  if (reference !== '') return [name, { kind: 'ref', value: reference, type }];
  const attribute = choose(has, type === 0 ? guess(has) : type);
  if (attribute === undefined)
    fail({
      code: 'onnx/attribute',
      message:
        type >= 0 && type <= 14
          ? `attribute ${name} says it is of type ${type} and holds no such value`
          : `attribute ${name} has type ${type}; ONNX has 1 to 14`,
      node: owner,
    });
  return [name, attribute];
}

/** The AttributeProto type of the one field that is present. */
function guess(has: Fields): number {
  if (has.f !== undefined) return 1;
  if (has.i !== undefined) return 2;
  if (has.s !== undefined) return 3;
  if (has.t !== undefined) return 4;
  if (has.g !== undefined) return 5;
  const lists = [has.floats, has.ints, has.strings, has.tensors, has.graphs];
  const list = lists.findIndex((l) => l.length > 0);
  return list < 0 ? 0 : 6 + list;
}

/** proto3 writers leave out zero scalars and empty strings, so those are values, not absences. */
function choose(has: Fields, type: number): OnnxAttribute | undefined {
  switch (type) {
    case 1:
      return { kind: 'float', value: has.f ?? 0 };
    case 2:
      return { kind: 'int', value: has.i ?? 0 };
    case 3:
      return stringAttribute(has.s ?? new Uint8Array(0));
    case 4:
      return has.t && { kind: 'tensor', value: has.t };
    case 5:
      return has.g && { kind: 'graph', value: has.g };
    case 6:
      return { kind: 'floats', value: has.floats };
    case 7:
      return { kind: 'ints', value: has.ints };
    case 8:
      return { kind: 'strings', value: has.strings };
    case 9:
      return { kind: 'tensors', value: has.tensors };
    case 10:
      return { kind: 'graphs', value: has.graphs };
    case 11:
      return has.sparse && { kind: 'sparse-tensor', value: has.sparse };
    case 12:
      return { kind: 'sparse-tensors', value: has.sparses };
    case 13:
      return has.tp && { kind: 'type', value: has.tp };
    case 14:
      return { kind: 'types', value: has.types };
    default:
      return undefined;
  }
}

function stringAttribute(bytes: Uint8Array): OnnxAttribute {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const value = buffer.toString('utf8');
  return buffer.equals(Buffer.from(value, 'utf8')) ? { kind: 'string', value } : { kind: 'string', value, bytes };
}
