/** Collectives of a plan, counted as design.md does: all-reduces that span a region axis, and local ones inside a head's columns. */
import { isCollective, type ProgramOp } from '../ir/program.ts';
import type { Plan } from '../plan/types.ts';

export interface CollectiveCounts {
  /** Of the template with the most instances; they follow each other, so each one is a latency. */
  readonly sequentialAllReducesPerLayer: number;
  /** Gathers and scatters inside a group of columns. */
  readonly localPerLayer: number;
  /** Both kinds, over all stages. */
  readonly perToken: number;
}

/** A collective over one core is none. */
function spans(
  op: ProgramOp,
  { width, height, groups }: { width: number; height: number; groups: number },
): 'region' | 'local' | 'none' {
  if (!isCollective(op)) return 'none';
  const size = { y: height, xo: groups, xi: width / groups };
  const cores = op.axes.reduce((n, axis) => n * size[axis], 1);
  if (cores === 1) return 'none';
  return op.axes.every((axis) => axis === 'xi') && groups > 1 ? 'local' : 'region';
}

export function countCollectives({ templates, stages }: Plan): CollectiveCounts {
  const counts = templates.map(({ program }) => {
    const kinds = program.ops.map((op) => spans(op, program.shape));
    const count = (kind: string): number => kinds.filter((k) => k === kind).length;
    return { region: count('region'), local: count('local') };
  });
  const instances = templates.map((_, t) => stages.filter((s) => s.template === t).length);
  const layer = instances.indexOf(Math.max(...instances));
  return {
    sequentialAllReducesPerLayer: counts[layer].region,
    localPerLayer: counts[layer].local,
    perToken: stages.reduce((n, s) => n + counts[s.template].region + counts[s.template].local, 0),
  };
}
