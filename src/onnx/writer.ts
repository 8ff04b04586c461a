/**
 * Writes ONNX files of any size without holding weights: lengths are computed first, then bytes are streamed from
 * their sources. The same model gives the same bytes. A file appears under its name only when it is complete.
 */
import { closeSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { basename } from 'node:path';
import { fail } from '../diag/diagnostic.ts';
import { encodeModel, type PlaceTensor, type WritableModel, type WritableTensor } from './encode.ts';
import type { Part, Payload } from './message.ts';

export type {
  WritableAttribute,
  WritableFunction,
  WritableGraph,
  WritableModel,
  WritableNode,
  WritableSparseTensor,
  WritableTensor,
  WritableValueInfo,
} from './encode.ts';
export type { ChunkSource, Payload } from './message.ts';

export interface WriteOptions {
  /**
   * Initializers of 1 KiB and more go to `<path>.data`. By default only when the model would pass 2 GiB, the most
   * that other ONNX tools read.
   */
  readonly external?: boolean;
  /** False writes the model with references to external data, and no data file: shapes without weights. */
  readonly data?: boolean;
}

/** Protobuf's limit. */
const MAX_INLINE = 2 ** 31 - 1;
const EXTERNAL_FROM = 1024;
/** Small tensors align to a cache line, large ones to a page, so that readers may map them. */
const LINE = 64;
const PAGE = 4096;
const PAGE_FROM = 2 ** 20;
const BUFFER = 2 ** 22;

/**
 * Writes `model` to `path`, and its data file beside it when there is one. Throws Diagnosed `onnx/write` when a file
 * cannot be written or a value is of a type that is not written, or what a tensor's source throws.
 */
export function writeModel(path: string, model: WritableModel, options: WriteOptions = {}): void {
  const location = `${basename(path)}.data`;
  const placed: { readonly offset: number; readonly source: Payload }[] = [];
  let end = 0;
  const outside: PlaceTensor = (tensor: WritableTensor) => {
    const length = tensor.source.byteLength;
    if (length < EXTERNAL_FROM) return undefined;
    const align = length >= PAGE_FROM ? PAGE : LINE;
    const offset = Math.ceil(end / align) * align;
    placed.push({ offset, source: tensor.source });
    end = offset + length;
    return { location, offset, length };
  };

  let message = options.external === true ? undefined : encodeModel(model, () => undefined).finish();
  if (message !== undefined && message.length > MAX_INLINE) {
    if (options.external === false)
      fail({ code: 'onnx/write', message: `${path} would have ${message.length} bytes; ONNX files end at 2 GiB` });
    message = undefined;
  }
  message ??= encodeModel(model, outside).finish();
  const { parts } = message;
  if (placed.length > 0 && options.data !== false)
    replaceFile(`${path}.data`, (handle) => {
      const out = new Output(handle);
      for (const { offset, source } of placed) {
        out.padTo(offset);
        out.add(source);
      }
      out.flush();
    });
  replaceFile(path, (handle) => {
    const out = new Output(handle);
    for (const part of parts) out.add(part);
    out.flush();
  });
}

/** Encoded models are bytes, too: for tests, and for small models that never touch the disk. */
export function encodeModelBytes(model: WritableModel): Uint8Array {
  const { parts, length } = encodeModel(model, () => undefined).finish();
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts)
    for (const chunk of chunksOf(part)) {
      bytes.set(chunk, at);
      at += chunk.length;
    }
  return bytes;
}

/** The bytes of a part in order. The chunks of a ByteSource share one buffer. */
function* chunksOf(part: Part): Iterable<Uint8Array> {
  if (part instanceof Uint8Array) yield part;
  else if ('chunks' in part) {
    let sum = 0;
    for (const chunk of part.chunks()) {
      sum += chunk.length;
      if (sum > part.byteLength) break;
      yield chunk;
    }
    if (sum !== part.byteLength) throw new RangeError(`${part.label}: chunks of ${sum} bytes, not ${part.byteLength}`);
  } else {
    const buffer = new Uint8Array(Math.min(part.byteLength, BUFFER));
    for (let at = 0; at < part.byteLength; at += buffer.length) {
      const chunk = buffer.subarray(0, Math.min(buffer.length, part.byteLength - at));
      part.read(at, chunk);
      yield chunk;
    }
  }
}

/** Collects small pieces; large ones go straight through. */
class Output {
  private readonly handle: number;
  private readonly buffer = new Uint8Array(2 ** 18);
  private used = 0;
  private written = 0;

  constructor(handle: number) {
    this.handle = handle;
  }

  add(part: Part): void {
    for (const chunk of chunksOf(part)) this.bytes(chunk);
  }

  padTo(offset: number): void {
    this.bytes(new Uint8Array(offset - this.written - this.used));
  }

  flush(): void {
    this.write(this.buffer.subarray(0, this.used));
    this.used = 0;
  }

  private bytes(chunk: Uint8Array): void {
    if (this.used + chunk.length > this.buffer.length) this.flush();
    if (chunk.length > this.buffer.length) this.write(chunk);
    else {
      this.buffer.set(chunk, this.used);
      this.used += chunk.length;
    }
  }

  private write(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) at += writeSync(this.handle, bytes, at, bytes.length - at);
    this.written += bytes.length;
  }
}

/** Writes under a temporary name, then renames. */
function replaceFile(path: string, write: (handle: number) => void): void {
  const temporary = `${path}.${process.pid}.tmp`;
  let handle: number | undefined;
  try {
    handle = openSync(temporary, 'w');
    write(handle);
    closeSync(handle);
    handle = undefined;
    renameSync(temporary, path);
  } catch (error) {
    if (handle !== undefined) closeSync(handle);
    rmSync(temporary, { force: true });
    // System errors have a code; everything else is told by whoever threw it.
    if (error instanceof Error && 'syscall' in error)
      fail({ code: 'onnx/write', message: `cannot write ${path}: ${error.message}` });
    throw error;
  }
}
