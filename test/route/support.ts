/** Plans of tiny models on targets with other colors, queues and defects. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Target } from '../../src/ir/target.ts';
import { loadTarget } from '../../src/target/load.ts';
import { type Compiled, compileTiny, temporaryFolder, type TinyModel } from '../plan/tiny-plan.ts';

/** A file of mesh-8x8 with `change`. */
export function targetFile(change: Partial<Target>, base = 'mesh-8x8'): string {
  const target = { ...loadTarget(base), ...change, name: 'changed' };
  const sources = {
    ...target.sources,
    ...Object.fromEntries(Object.keys(change).map((key) => [key, 'assumed: a test'])),
  };
  // What is listed as empty has no source.
  if (target.colors.switchable.length === 0) Reflect.deleteProperty(sources, 'colors.switchable');
  const path = join(temporaryFolder(), 'target.json');
  writeFileSync(path, JSON.stringify({ ...target, sources }));
  return path;
}

export const compileOn = (
  model: TinyModel,
  change: Partial<Target>,
  context: number | undefined = 32,
  base?: string,
): Promise<Compiled> =>
  compileTiny(model, {
    target: targetFile(change, base),
    weights: false,
    ...(context === undefined ? {} : { context }),
  });

/** Single cores, spread by a fixed rule. */
export const scattered = (width: number, height: number, count: number): Target['defects'] =>
  Array.from({ length: count }, (_, i) => {
    const cell = (i * 7919 + 31 * i * i + 5) % (width * height);
    return { x: cell % width, y: Math.floor(cell / width), width: 1, height: 1 };
  });
