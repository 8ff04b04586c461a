/**
 * External data: which file a tensor's bytes are in. A model is untrusted, so a location may only lead to a
 * regular file inside the folder of the model (or of the file a symlinked model really is: the layout of the
 * Hugging Face cache), by name and after symlinks are followed.
 */
import { existsSync, realpathSync } from 'node:fs';
import { dirname, isAbsolute, join, normalize, sep } from 'node:path';
import { fail } from '../diag/diagnostic.ts';
import type { ByteSource } from '../ir/constant.ts';
import { type FilePool, fileSource, rangeSource } from './files.ts';

export interface ExternalFiles {
  /** The bytes of one tensor. Throws Diagnosed `onnx/external-path` or `onnx/external-range`. */
  source(label: string, entries: ReadonlyMap<string, string>, byteLength: number): ByteSource;
  /** Locations that are not there, in the order of the file. */
  missing(): readonly string[];
}

/**
 * @param modelPath path of the model file, or undefined when it came from memory
 * @param folder where locations are relative to; undefined = external data is refused
 */
export function externalFiles(
  pool: FilePool,
  modelPath: string | undefined,
  folder: string | undefined,
): ExternalFiles {
  const files = new Map<string, ByteSource | null>();
  const roots = (): readonly string[] => {
    const out = folder === undefined ? [] : [realpathSync(folder)];
    if (modelPath !== undefined) out.push(dirname(realpathSync(modelPath)));
    return out;
  };

  const open = (label: string, location: string): ByteSource | null => {
    if (folder === undefined)
      fail({
        code: 'onnx/external-path',
        message: `tensor ${label} is in the file ${location}, but a model from memory has no folder to look in`,
      });
    const path = resolveLocation(label, folder, location);
    if (!existsSync(path)) return null;
    const real = realpathSync(path);
    if (!roots().some((root) => real.startsWith(root.endsWith(sep) ? root : root + sep)))
      fail({
        code: 'onnx/external-path',
        message: `tensor ${label} is in ${location}, which a symbolic link leads out of the model's folder`,
        where: real,
      });
    return fileSource(pool, real);
  };

  return {
    source(label, entries, byteLength) {
      const location = entries.get('location') ?? '';
      let file = files.get(location);
      if (file === undefined) files.set(location, (file = open(label, location)));
      const offset = count(label, 'offset', entries.get('offset') ?? '0');
      const length = count(label, 'length', entries.get('length') ?? String(byteLength));
      if (length !== byteLength)
        fail({
          code: 'onnx/external-range',
          message: `tensor ${label} has ${length} bytes in ${location}, but its shape needs ${byteLength}`,
        });
      if (file === null) return missingSource(label, location, byteLength);
      if (offset + length > file.byteLength)
        fail({
          code: 'onnx/external-range',
          message: `tensor ${label} is bytes ${offset} .. ${offset + length} of ${location}, which has ${file.byteLength}`,
        });
      return rangeSource(label, file, offset, byteLength);
    },
    missing: () => [...files].flatMap(([location, file]) => (file === null ? [location] : [])),
  };
}

/** A path inside `folder`. Windows forms are refused everywhere, so that a model means the same on every system. */
function resolveLocation(label: string, folder: string, location: string): string {
  const bad =
    location === ''
      ? 'is empty'
      : location.includes('\0') || location.length > 4096
        ? 'is no file name'
        : isAbsolute(location) || /^(?:[A-Za-z]:|[\\/])/.test(location)
          ? 'is an absolute path'
          : location.split(/[\\/]/).includes('..') && normalize(location.replaceAll('\\', '/')).startsWith('..')
            ? "leaves the model's folder"
            : undefined;
  if (bad !== undefined)
    fail({
      code: 'onnx/external-path',
      message: `the location of tensor ${label} ${bad}; it must be a relative path inside the model's folder`,
      where: location.slice(0, 200),
    });
  return join(folder, location);
}

function count(label: string, what: string, text: string): number {
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value))
    fail({
      code: 'onnx/external-range',
      message: `the ${what} of tensor ${label} is ${JSON.stringify(text.slice(0, 40))}; it must be a count of bytes`,
    });
  return value;
}

const missingSource = (label: string, location: string, byteLength: number): ByteSource => ({
  label,
  byteLength,
  read: () =>
    fail({
      code: 'onnx/external-missing',
      message: `tensor ${label} is in ${location}, which is not there`,
      notes: ['external data files must lie beside the model, under the name the model gives them'],
    }),
});
