/** Collectives of a plan, counted as design.md does: all-reduces that span a region axis, and local ones inside a head's columns. */
import { isCollective, type ProgramOp, type RegionProgram } from '../ir/program.ts';
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

/** Collectives of a program: those that span a region axis, and those inside a group of columns. */
export function countProgram({ ops, shape }: RegionProgram): { readonly region: number; readonly local: number } {
  const kinds = ops.map((op) => spans(op, shape));
  const count = (kind: string): number => kinds.filter((k) => k === kind).length;
  return { region: count('region'), local: count('local') };
}

export function countCollectives({ templates, stages }: Plan): CollectiveCounts {
  const counts = templates.map(({ program }) => countProgram(program));
  const instances = templates.map((_, t) => stages.filter((s) => s.template === t).length);
  const layer = instances.indexOf(Math.max(...instances));
  return {
    sequentialAllReducesPerLayer: counts[layer].region,
    localPerLayer: counts[layer].local,
    perToken: stages.reduce((n, s) => n + counts[s.template].region + counts[s.template].local, 0),
  };
}
