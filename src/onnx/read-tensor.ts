/**
 * TensorProto: whatever way a file spells the elements (raw bytes, typed fields packed or not, another file),
 * the outcome is one source of little-endian packed bytes whose length agrees with shape and element type.
 */
import { fail } from '../diag/diagnostic.ts';
import { bytesSource, type ByteSource, elementCount } from '../ir/constant.ts';
import { bytesFor, type DType } from '../ir/types.ts';
import { describeCode, dtypeOfCode } from './dtype-codes.ts';
import type { ExternalFiles } from './external.ts';
import { rangeSource } from './files.ts';
import type { OnnxSparseTensor, OnnxTensor } from './model.ts';
import { type TypedRun, typedSource } from './typed-data.ts';
import { LENGTH, VARINT, type WireReader } from './wire.ts';

/** Tensors up to this many bytes (shapes, axes, scalars) are read while parsing. */
const EAGER = 512;
const MAX_RANK = 64;
const MAX_STRINGS_BYTES = 2 ** 26;

export interface TensorContext {
  readonly reader: WireReader;
  readonly external: ExternalFiles;
}

/** Reads the TensorProto that ends at `end`. `owner` names it in messages when it has no name of its own. */
export function readTensor(context: TensorContext, end: number, owner: string): OnnxTensor {
  const { reader } = context;
  reader.charge(400);
  const shape: number[] = [];
  const runs: TypedRun[] = [];
  const strings: string[] = [];
  const external = new Map<string, string>();
  let name = '';
  let code = 0;
  let location = 0;
  let segment = false;
  let raw: { offset: number; length: number } | undefined;

  reader.message(end, (field, wire) => {
    const fieldStart = reader.pos;
    switch (field) {
      case 1:
        reader.repeated(wire, end, VARINT, (w, stop) => {
          if (shape.length === MAX_RANK) reader.malformed(`a tensor of more than ${MAX_RANK} dimensions`);
          shape.push(reader.int64(w, stop));
        });
        return true;
      case 2:
        code = reader.int32(wire, end);
        return true;
      case 3:
        segment = true;
        return false;
      case 4:
      case 5:
      case 7:
      case 10:
      case 11:
        addRun(reader, runs, field, wire, end, fieldStart);
        return true;
      case 6:
        strings.push(reader.string(wire, end, MAX_STRINGS_BYTES));
        return true;
      case 8:
        name = reader.string(wire, end);
        return true;
      case 9: {
        const stop = reader.delimited(wire, end);
        raw = { offset: reader.pos, length: stop - reader.pos };
        reader.pos = stop;
        return true;
      }
      case 13:
        readEntry(reader, reader.delimited(wire, end), external);
        return true;
      case 14:
        location = reader.int32(wire, end);
        return true;
      default:
        return false;
    }
  });

  const label = name === '' ? owner : name;
  const dtype = dtypeOfCode(code);
  if (segment)
    fail({ code: 'onnx/tensor-data', message: `tensor ${label} is stored in segments, which no ONNX tool writes` });
  if (dtype === undefined)
    fail({
      code: 'onnx/dtype',
      message: `tensor ${label} has ${describeCode(code)}, which is not supported`,
      notes: ['supported: float64/32/16, bfloat16, float8, float6, float4, (u)int64/32/16/8/4/2, bool, string'],
    });
  const byteLength = checkedBytes(label, dtype, shape);

  if (location === 1) {
    if (dtype === 'string')
      fail({ code: 'onnx/tensor-data', message: `tensor ${label} keeps strings in another file, which ONNX forbids` });
    const source = context.external.source(label, external, byteLength);
    return { name, dtype, shape, source, location: external.get('location') ?? '' };
  }
  if (dtype === 'string') {
    if (strings.length !== elementCount(shape)) sizeMismatch(label, dtype, shape, `${strings.length} strings`);
    return { name, dtype, shape, source: bytesSource(label, new Uint8Array(0)), strings };
  }
  if (raw !== undefined && (raw.length > 0 || runs.length === 0)) {
    if (raw.length !== byteLength) sizeMismatch(label, dtype, shape, `${raw.length} bytes`);
    return { name, dtype, shape, source: settle(context, rangeSource(label, reader.source, raw.offset, raw.length)) };
  }
  const source = typedSource(label, dtype, elementCount(shape), runs, reader.source);
  return { name, dtype, shape, source: settle(context, source) };
}

/** SparseTensorProto: values, indices, dims. */
export function readSparseTensor(context: TensorContext, end: number, owner: string): OnnxSparseTensor {
  const { reader } = context;
  const shape: number[] = [];
  let values: OnnxTensor | undefined;
  let indices: OnnxTensor | undefined;
  reader.message(end, (field, wire) => {
    if (field === 1) values = readTensor(context, reader.delimited(wire, end), owner);
    else if (field === 2) indices = readTensor(context, reader.delimited(wire, end), `${owner} indices`);
    else if (field === 3)
      reader.repeated(wire, end, VARINT, (w, stop) => {
        if (shape.length === MAX_RANK) reader.malformed(`a tensor of more than ${MAX_RANK} dimensions`);
        shape.push(reader.int64(w, stop));
      });
    else return false;
    return true;
  });
  if (values === undefined || indices === undefined)
    return fail({ code: 'onnx/tensor-data', message: `sparse tensor ${owner} lacks its values or its indices` });
  checkedBytes(owner, values.dtype, shape);
  return { values, indices, shape };
}

/** StringStringEntryProto into a map. */
export function readEntry(reader: WireReader, end: number, into: Map<string, string>): void {
  let key = '';
  let value = '';
  reader.message(end, (field, wire) => {
    if (field === 1) key = reader.string(wire, end);
    else if (field === 2) value = reader.string(wire, end, 2 ** 26);
    else return false;
    return true;
  });
  reader.charge(64);
  into.set(key, value);
}

/** Notes where typed elements are without reading them; unpacked neighbours join into one run. */
function addRun(r: WireReader, runs: TypedRun[], field: number, wire: number, end: number, start: number): void {
  const packed = wire === LENGTH;
  let offset = start;
  if (packed) {
    const stop = r.delimited(wire, end);
    offset = r.pos;
    r.pos = stop;
  } else r.skip(wire, end);
  const last = runs.at(-1);
  // All five fields have one-byte tags, so an unpacked neighbour starts one byte after the last one's end.
  if (
    !packed &&
    last !== undefined &&
    !last.packed &&
    last.field === field &&
    last.offset + last.length + 1 === start
  ) {
    last.length = r.pos - last.offset;
    return;
  }
  r.charge(64);
  runs.push({ field, packed, wire, offset, length: r.pos - offset });
}

/** Bytes the shape needs. Throws Diagnosed on negative extents and on sizes beyond exact integers. */
function checkedBytes(label: string, dtype: DType, shape: readonly number[]): number {
  const negative = shape.find((n) => !(n >= 0));
  if (negative !== undefined)
    fail({ code: 'onnx/tensor-shape', message: `tensor ${label} has a dimension of ${negative} in [${shape}]` });
  // A zero extent does not excuse absurd neighbours: strides are computed from them.
  const span = shape.reduce((a, n) => a * Math.max(n, 1), 1);
  if (!(span * 8 <= Number.MAX_SAFE_INTEGER))
    fail({ code: 'onnx/tensor-shape', message: `tensor ${label} has the absurd shape [${shape}]` });
  return bytesFor(dtype, elementCount(shape));
}

function sizeMismatch(label: string, dtype: DType, shape: readonly number[], found: string): never {
  const need = dtype === 'string' ? `${elementCount(shape)} strings` : `${bytesFor(dtype, elementCount(shape))} bytes`;
  return fail({
    code: 'onnx/tensor-data',
    message: `tensor ${label} of type ${dtype}[${shape}] needs ${need} and has ${found}`,
  });
}

/** Small sources become memory: they are read many times, and outlive the file handle. */
function settle({ reader }: TensorContext, source: ByteSource): ByteSource {
  if (source.byteLength > EAGER) return source;
  reader.charge(128 + source.byteLength);
  const bytes = new Uint8Array(source.byteLength);
  source.read(0, bytes);
  return bytesSource(source.label, bytes);
}
