/** Finds files that ship beside the code (`targets/`, `schemas/`), from sources and from `dist/` alike. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Folder of the nearest package.json above this file: the checkout, or the installed package. */
export function packageRoot(): string {
  let at = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(at, 'package.json'))) {
    const up = dirname(at);
    if (up === at) throw new Error(`no package.json above ${fileURLToPath(import.meta.url)}`);
    at = up;
  }
  return at;
}
