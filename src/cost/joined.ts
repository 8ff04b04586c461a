/**
 * Stages that follow each other on one region: the vector operations that end one and those that begin the next are one run
 * (the published layer's residual and the norm of the layer behind it are), so they share one overhead.
 */
import { isCollective, type RegionProgram } from '../ir/program.ts';
import type { Target } from '../ir/target.ts';
import { type Overhead, OVERHEAD_SPLITS } from './constants.ts';
import { costProgram, isApart, type OpCost } from './program.ts';

interface Run {
  /** Cycles of its own work, and of the overhead that it is charged beside that. */
  readonly worked: number;
  readonly software: number;
}

/** Vector operations from an end of the program to the first product or collective. */
function runAt(program: RegionProgram, costs: readonly OpCost[], end: 'start' | 'end'): Run {
  const list = end === 'start' ? costs : [...costs].reverse();
  let [worked, software] = [0, 0];
  for (const { op: at, algorithm, terms } of list) {
    const op = program.ops[at];
    if (isCollective(op) ? algorithm !== 'none' : isApart(op)) break;
    for (const { what, cycles } of terms) {
      if (what === 'vector') worked += cycles;
      if (what === 'software') software += cycles;
    }
  }
  return { worked, software };
}

/** Cycles that a stage of `program` takes less behind one of `before`, on the same region. */
export function joinedCycles(
  before: RegionProgram,
  program: RegionProgram,
  target: Target,
  overhead: Overhead = OVERHEAD_SPLITS.even,
): number {
  const [last, first] = [
    runAt(before, costProgram(before, target, { overhead }), 'end'),
    runAt(program, costProgram(program, target, { overhead }), 'start'),
  ];
  if (last.software === 0 || first.software === 0) return 0;
  const together = Math.max(0, Math.ceil(overhead.compute) - last.worked - first.worked);
  return last.software + first.software - together;
}

/** By stage: cycles less, because the stage before it is on the same region. */
export function joinedByStage(
  stages: readonly { readonly template: number }[],
  groups: readonly (readonly number[])[],
  programs: readonly RegionProgram[],
  target: Target,
  overhead?: Overhead,
): number[] {
  const known = new Map<string, number>();
  const joined = stages.map(() => 0);
  for (const group of groups)
    for (const [i, s] of group.entries()) {
      if (i === 0) continue;
      const [a, b] = [stages[group[i - 1]].template, stages[s].template];
      const cycles = known.get(`${a} ${b}`) ?? joinedCycles(programs[a], programs[b], target, overhead);
      known.set(`${a} ${b}`, cycles);
      joined[s] = cycles;
    }
  return joined;
}
