/**
 * Files appear whole or not at all: written under a temporary name in the same folder, then renamed. What an
 * interrupted run leaves is removed by `removeTemporaries` (cli/signals.ts calls it).
 */
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';

const temporaries = new Set<string>();
let serial = 0;

function temporaryBeside(path: string): string {
  const full = resolve(path);
  const name = join(dirname(full), `.${basename(full)}.${process.pid}.${serial++}.tmp`);
  temporaries.add(name);
  return name;
}

/** Removes what unfinished writes of this process have left. Safe to call at any time. */
export function removeTemporaries(): void {
  for (const path of temporaries) rmSync(path, { recursive: true, force: true });
  temporaries.clear();
}

/** Creates missing folders. On an error the old file, if any, is as it was. */
export function writeFileAtomic(path: string, contents: string | Uint8Array): void {
  mkdirSync(dirname(resolve(path)), { recursive: true });
  const temporary = temporaryBeside(path);
  try {
    const bytes = typeof contents === 'string' ? Buffer.from(contents) : contents;
    const file = openSync(temporary, 'wx');
    try {
      for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  } finally {
    temporaries.delete(temporary);
  }
}

/**
 * Fills a temporary folder beside `path` and puts it in its place; a folder that was there is replaced as a whole.
 * `mayReplace` is asked before anything is written whether an existing one may go: it must throw or be sure, since
 * all that is in it is lost.
 */
export async function writeFolderAtomic(
  path: string,
  mayReplace: (existing: string) => void,
  fill: (folder: string) => Promise<void> | void,
): Promise<void> {
  const target = resolve(path);
  if (existsSync(target)) mayReplace(target);
  mkdirSync(dirname(target), { recursive: true });
  const temporary = temporaryBeside(target);
  mkdirSync(temporary);
  try {
    await fill(temporary);
    if (existsSync(target)) {
      const old = temporaryBeside(target);
      renameSync(target, old);
      try {
        renameSync(temporary, target);
      } catch (error) {
        renameSync(old, target);
        throw error;
      } finally {
        temporaries.delete(old);
      }
      rmSync(old, { recursive: true, force: true });
    } else renameSync(temporary, target);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
    temporaries.delete(temporary);
  }
}
