/**
 * Elements in TensorProto's typed fields (float_data, int32_data, ..) as little-endian packed bytes. Packed
 * float_data and double_data are those bytes already; the rest is decoded on the first read, once.
 */
import { fail } from '../diag/diagnostic.ts';
import type { ByteSource } from '../ir/constant.ts';
import { bytesFor, DTYPE_BITS, type DType } from '../ir/types.ts';
import { rangeSource } from './files.ts';
import { WireReader } from './wire.ts';

/** A stretch of one typed field in the file: a packed block, or unpacked elements with their tags between them. */
export interface TypedRun {
  readonly field: number;
  readonly packed: boolean;
  /** Wire type of an unpacked element. */
  readonly wire: number;
  /** Absolute; of the first element, after its tag. */
  readonly offset: number;
  length: number;
}

const FIELD_NAMES: Readonly<Record<number, string>> = {
  4: 'float_data',
  5: 'int32_data',
  7: 'int64_data',
  10: 'double_data',
  11: 'uint64_data',
};
/** Decoded bytes are held in memory, so they are bounded; real files use raw data far below this. */
const MAX_DECODED = 2 ** 31;

function fieldOf(dtype: DType): number {
  if (dtype === 'f32') return 4;
  if (dtype === 'f64') return 10;
  if (dtype === 'i64') return 7;
  return dtype === 'u64' || dtype === 'u32' ? 11 : 5;
}

/** Bytes of the outcome that one entry of the field fills; 0 where entries are 6-bit codes to be packed. */
function bytesPerEntry(dtype: DType): number {
  const bits = DTYPE_BITS[dtype];
  if (bits === 6) return 0;
  return bits < 8 ? 1 : bits / 8; // 4- and 2-bit elements come packed, one byte to an entry
}

/** A source of `bytesFor(dtype, count)` bytes. Throws Diagnosed `onnx/tensor-data` when the runs cannot hold them. */
export function typedSource(
  label: string,
  dtype: DType,
  count: number,
  runs: readonly TypedRun[],
  file: ByteSource,
): ByteSource {
  const field = fieldOf(dtype);
  const other = runs.find((run) => run.field !== field);
  if (other !== undefined)
    fail({
      code: 'onnx/tensor-data',
      message: `tensor ${label} of type ${dtype} has ${FIELD_NAMES[other.field]} where ONNX puts ${FIELD_NAMES[field]}`,
    });
  const byteLength = bytesFor(dtype, count);
  const per = bytesPerEntry(dtype);
  const entries = per === 0 ? count : byteLength / per;
  const have = runs.reduce((sum, run) => sum + run.length, 0);
  // An entry takes at least one byte in the file, so a shape cannot make us allocate more than 8x the file.
  const wrong = (found: string): never =>
    fail({
      code: 'onnx/tensor-data',
      message: `tensor ${label} needs ${entries} elements of ${dtype} and has ${found}`,
    });

  if ((field === 4 || field === 10) && runs.every((run) => run.packed)) {
    if (have !== byteLength) wrong(`${have} bytes of them`);
    if (runs.length === 1) return rangeSource(label, file, runs[0].offset, byteLength);
    return concatenated(
      label,
      runs.map((run) => rangeSource(label, file, run.offset, run.length)),
      byteLength,
    );
  }
  if (entries > have) wrong(`${have} at most`);
  if (byteLength > MAX_DECODED)
    fail({
      code: 'onnx/too-large',
      message: `tensor ${label} keeps ${byteLength} bytes in typed fields; use raw data`,
    });
  if (have > 11 * entries) wrong('more');

  let decoded: Uint8Array | undefined;
  const decode = (): Uint8Array => {
    const out = new Uint8Array(byteLength);
    const got = decodeRuns(file, runs, dtype, out, entries);
    if (got !== entries) wrong(got > entries ? 'more' : String(got));
    return out;
  };
  return {
    label,
    byteLength,
    read(offset, into) {
      decoded ??= decode();
      if (offset < 0 || offset + into.length > byteLength)
        fail({ code: 'onnx/short-file', message: `${label}: read past the end` });
      into.set(decoded.subarray(offset, offset + into.length));
    },
  };
}

/** Returns how many entries there are; stops one past `entries`. */
function decodeRuns(
  file: ByteSource,
  runs: readonly TypedRun[],
  dtype: DType,
  out: Uint8Array,
  entries: number,
): number {
  const per = bytesPerEntry(dtype);
  const fixed = dtype === 'f32' || dtype === 'f64' ? per : 0;
  let index = 0;
  for (const run of runs) {
    const end = run.offset + run.length;
    const reader = new WireReader(rangeSource(file.label, file, 0, end));
    reader.pos = run.offset;
    while (reader.pos < end) {
      if (!run.packed && reader.pos > run.offset) reader.varint(end); // the tag, seen by the skim
      if (index === entries) return entries + 1;
      if (fixed > 0) {
        if (!run.packed && run.wire !== (fixed === 4 ? 5 : 1)) reader.malformed('a float of another wire type');
        reader.fixed(fixed, end, out, index * fixed);
      } else {
        if (!run.packed && run.wire !== 0) reader.malformed('an integer of another wire type');
        reader.varint(end);
        if (per === 0) putSix(out, index, reader.low & 63);
        else {
          for (let b = 0; b < per; b++) out[index * per + b] = (b < 4 ? reader.low : reader.high) >>> ((b & 3) * 8);
        }
      }
      index++;
    }
  }
  return index;
}

/** Writes 6-bit code `index` into an LSB-first bit stream of zeros. */
function putSix(out: Uint8Array, index: number, code: number): void {
  const bit = index * 6;
  const at = bit >>> 3;
  const shift = bit & 7;
  out[at] |= code << shift;
  if (shift > 2) out[at + 1] |= code >>> (8 - shift);
}

function concatenated(label: string, parts: readonly ByteSource[], byteLength: number): ByteSource {
  return {
    label,
    byteLength,
    read(offset, into) {
      let start = 0;
      for (const part of parts) {
        const from = Math.max(offset, start);
        const to = Math.min(offset + into.length, start + part.byteLength);
        if (from < to) part.read(from - start, into.subarray(from - offset, to - offset));
        start += part.byteLength;
      }
      if (offset + into.length > start) fail({ code: 'onnx/short-file', message: `${label}: read past the end` });
    },
  };
}
