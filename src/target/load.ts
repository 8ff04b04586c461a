/** Targets by name (a shipped file) or by path (a user's file). */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Diagnosed, fail } from '../diag/diagnostic.ts';
import type { Target } from '../ir/target.ts';
import { suggest } from '../util/suggest.ts';
import { checkTarget } from './check.ts';
import { packageRoot } from '../util/version.ts';

/** A target file is text of a few KB; a model given by mistake is not read into memory. */
const MAX_FILE_BYTES = 16 * 2 ** 20;

const shippedFolder = (): string => join(packageRoot(), 'targets');

/** Names of the shipped targets, meshes by size after machines. */
export function targetNames(): string[] {
  const names = readdirSync(shippedFolder()).flatMap((f) => (f.endsWith('.json') ? [f.slice(0, -'.json'.length)] : []));
  return names.sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : a > b ? 1 : 0));
}

const rank = (name: string): number => {
  const side = /^mesh-(\d+)/.exec(name);
  return side === null ? 0 : Number(side[1]);
};

/** The shipped targets, in the order of {@link targetNames}. */
export const listTargets = (): Target[] => targetNames().map(loadTarget);

/**
 * The target called `nameOrPath`: a shipped name (`wse3`), or a path to a JSON file. Throws Diagnosed `target/...`
 * with every finding of the file.
 */
export function loadTarget(nameOrPath: string): Target {
  const shipped = targetNames();
  const isShipped = shipped.includes(nameOrPath);
  const path = isShipped ? join(shippedFolder(), `${nameOrPath}.json`) : nameOrPath;
  const checked = checkTarget(parse(readText(path, shipped), path), isShipped ? `targets/${nameOrPath}.json` : path);
  if ('diagnostics' in checked) throw new Diagnosed(checked.diagnostics);
  return checked.target;
}

function readText(path: string, shipped: readonly string[]): string {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) {
    const hint = suggest(path, shipped);
    fail({
      code: 'target/not-found',
      message: `no target '${path}'${hint === undefined ? '' : `; ${hint}`}`,
      notes: [`shipped targets: ${shipped.join(', ')}`, 'or give the path of a JSON file'],
    });
  }
  if (!stat.isFile() || stat.size > MAX_FILE_BYTES) {
    const is = stat.isFile() ? `has ${stat.size} bytes` : 'is not a file';
    fail({ code: 'target/json', message: `${path} ${is}; expected a JSON file of at most ${MAX_FILE_BYTES} bytes` });
  }
  return readFileSync(path, 'utf8');
}

function parse(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    fail({
      code: 'target/json',
      message: `expected JSON, found text that is not: ${cause instanceof Error ? cause.message.replaceAll(/\s+/g, ' ') : String(cause)}`,
      where: path,
    });
  }
}
