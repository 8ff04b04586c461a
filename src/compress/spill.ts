/**
 * Codes of compressed weights outside of memory: what is beyond a budget goes to a file that has no name any more, so that it is gone with the
 * process, however that ends. A model larger than memory is compressed matrix by matrix.
 */
import { closeSync, mkdtempSync, openSync, readSync, rmSync, unlinkSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ByteSource, Constant } from '../ir/constant.ts';

const KEPT_BYTES = 512 * 2 ** 20;

export class Spill {
  private kept = 0;
  private written = 0;
  private fd: number | undefined;
  private readonly budget: number;

  /** @param budget bytes that stay in memory */
  constructor(budget = KEPT_BYTES) {
    this.budget = budget;
  }

  /** The constant, with its bytes in the file when memory has its share. */
  put(constant: Constant): Constant {
    const { source, quantization: q } = constant;
    const stored = { ...constant, source: this.move(source) };
    if (q === undefined) return stored;
    const scales = this.put(q.scales);
    return {
      ...stored,
      quantization: { ...q, scales, zeros: typeof q.zeros === 'number' ? q.zeros : this.put(q.zeros) },
    };
  }

  private move(source: ByteSource): ByteSource {
    const { label, byteLength } = source;
    if (this.kept + byteLength <= this.budget) {
      this.kept += byteLength;
      return source;
    }
    const fd = (this.fd ??= namelessFile());
    const bytes = new Uint8Array(byteLength);
    source.read(0, bytes);
    const start = this.written;
    writeFully(fd, bytes, start);
    this.written += byteLength;
    return {
      label,
      byteLength,
      read(offset, into) {
        for (let done = 0; done < into.length; ) {
          const got = readSync(fd, into, done, into.length - done, start + offset + done);
          if (got === 0) throw new Error(`${label}: the file of codes ends early`);
          done += got;
        }
      },
    };
  }
}

function writeFully(fd: number, bytes: Uint8Array, at: number): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done, bytes.length - done, at + done);
}

/** Open for reading and writing, and in no folder. */
function namelessFile(): number {
  const folder = mkdtempSync(join(tmpdir(), 'wafc-codes-'));
  const path = join(folder, 'codes');
  const fd = openSync(path, 'w+');
  try {
    unlinkSync(path);
    rmSync(folder, { recursive: true });
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return fd;
}
