/** Positional reads of regular files through a few open handles. Never follows anything but regular files. */
import { closeSync, openSync, readSync, type Stats, statSync } from 'node:fs';
import { fail } from '../diag/diagnostic.ts';
import type { ByteSource } from '../ir/constant.ts';

/** readSync refuses more than 2^31 - 1 bytes at once. */
const MAX_READ = 1 << 30;

const reason = (error: unknown): string => (error instanceof Error ? error.message.split('\n')[0] : String(error));

/** Size in bytes of a regular file. Throws Diagnosed `onnx/no-file` for anything else (a pipe could block for ever). */
export function regularFileSize(path: string): number {
  let stats: Stats;
  try {
    stats = statSync(path);
  } catch (error) {
    return fail({ code: 'onnx/no-file', message: `cannot open ${path}: ${reason(error)}` });
  }
  if (!stats.isFile()) fail({ code: 'onnx/no-file', message: `${path} is not a regular file` });
  return stats.size;
}

/** Open handles by path, least recently used closed first. State with a life: close it, or let the process end. */
export class FilePool {
  private readonly handles = new Map<string, number>();
  private readonly limit: number;

  constructor(limit = 8) {
    this.limit = limit;
  }

  /** Fills `into` from byte `offset` of the file. Throws Diagnosed when the file ends before that. */
  read(path: string, offset: number, into: Uint8Array): void {
    const handle = this.handle(path);
    let done = 0;
    while (done < into.length) {
      let got: number;
      try {
        got = readSync(handle, into, done, Math.min(into.length - done, MAX_READ), offset + done);
      } catch (error) {
        return fail({ code: 'onnx/no-file', message: `cannot read ${path}: ${reason(error)}` });
      }
      if (got === 0)
        fail({
          code: 'onnx/short-file',
          message: `${path} ends at byte ${offset + done}, but ${into.length} bytes are needed from byte ${offset} on`,
        });
      done += got;
    }
  }

  close(): void {
    for (const handle of this.handles.values()) closeSync(handle);
    this.handles.clear();
  }

  private handle(path: string): number {
    let handle = this.handles.get(path);
    if (handle === undefined) {
      regularFileSize(path);
      try {
        handle = openSync(path, 'r');
      } catch (error) {
        return fail({ code: 'onnx/no-file', message: `cannot open ${path}: ${reason(error)}` });
      }
      for (const [old, oldHandle] of this.handles) {
        if (this.handles.size < this.limit) break;
        closeSync(oldHandle);
        this.handles.delete(old);
      }
    } else this.handles.delete(path); // re-inserted below: Map order is age
    this.handles.set(path, handle);
    return handle;
  }
}

/** A whole file as a source. `byteLength` is its size now. */
export function fileSource(pool: FilePool, path: string): ByteSource {
  return { label: path, byteLength: regularFileSize(path), read: (offset, into) => pool.read(path, offset, into) };
}

/** Bytes `offset .. offset + byteLength` of `base`. The range must lie inside `base`. */
export function rangeSource(label: string, base: ByteSource, offset: number, byteLength: number): ByteSource {
  return {
    label,
    byteLength,
    read(at, into) {
      if (at < 0 || at + into.length > byteLength)
        fail({
          code: 'onnx/short-file',
          message: `${label}: ${into.length} bytes from byte ${at} are asked of ${byteLength}`,
        });
      base.read(offset + at, into);
    },
  };
}
