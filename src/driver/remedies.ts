/** Changes that make a plan fit. Each one is tried by planning again; none is a guess. */
import { Diagnosed, type Remedy } from '../diag/diagnostic.ts';
import type { Program, RunMode } from '../ir/facts.ts';
import { LATENCY, type SearchGoal } from '../map/search.ts';
import { QUIET, runPasses } from '../pass/manager.ts';
import { listTargets } from '../target/load.ts';
import { formatInteger } from '../util/format.ts';
import { BIND_STEP, planSteps } from './pipeline.ts';

/** Whether the lifted program can be planned: has regions, and these have their place. */
export function fits(program: Program, goal: SearchGoal): boolean {
  try {
    runPasses(program, [BIND_STEP, ...planSteps(goal).slice(0, 3)], QUIET);
    return true;
  } catch (error) {
    if (error instanceof Diagnosed) return false;
    throw error;
  }
}

/** The longest context below `context` that fits, by halving; undefined when none of at least `least` does. */
export function shorterContext(
  lifted: Program,
  { context, least }: { readonly context: number; readonly least: number },
  goal: SearchGoal,
): number | undefined {
  const at = (n: number): boolean => fits({ ...lifted, mode: { ...lifted.mode, context: n } }, goal);
  // If the shortest does not fit, the context is not what is too large.
  if (context <= least || !at(least)) return undefined;
  for (let n = 2 ** Math.floor(Math.log2(context - 1)); n > least; n /= 2) if (at(n)) return n;
  return least;
}

/** A program that does not fit. */
export interface TooLarge {
  /** Before its lengths were bound. */
  readonly lifted: Program;
  /** The mode that does not fit. */
  readonly bound: RunMode;
  /** The lifted program of a batch of 1; a graph holds its batch in its types. */
  readonly single: () => Program;
}

/**
 * Remedies that fit: regions as the search finds best, the longest shorter context, one sequence at a time, the
 * smallest larger target.
 */
export function remediesFor({ lifted, bound, single }: TooLarge, goal: SearchGoal): Remedy[] {
  const { target } = lifted;
  const program = { ...lifted, mode: bound };
  const { mode } = program;
  const remedies: Remedy[] = [];
  const asked = goal.regions > 0 ? '--regions' : goal.layersPerRegion > 0 ? '--layers-per-region' : undefined;
  if (asked !== undefined && fits(program, LATENCY))
    remedies.push({ flag: `no ${asked}`, effect: 'as many regions as the search finds best' });
  const context = shorterContext(program, { context: mode.context, least: 16 }, goal);
  if (context !== undefined) {
    const what = mode.kind === 'stream' ? 'the KV cache holds' : 'a sequence has';
    remedies.push({
      flag: `--context ${context}`,
      effect: `${what} ${formatInteger(context)} positions instead of ${formatInteger(mode.context)}`,
    });
  }
  if (mode.batch > 1 && fits({ ...single(), mode: { ...mode, batch: 1 } }, goal)) {
    remedies.push({ flag: '--batch 1', effect: `one sequence at a time instead of ${mode.batch}` });
  }
  const cores = (t: { width: number; height: number }): number => t.width * t.height;
  const larger = listTargets()
    .filter((t) => t.name !== target.name && cores(t) > cores(target))
    .sort((a, b) => cores(a) - cores(b) || (a.name < b.name ? -1 : 1));
  const next = larger.find((t) => fits({ ...program, target: t }, goal));
  if (next)
    remedies.push({
      flag: `--target ${next.name}`,
      effect: `${formatInteger(cores(next))} cores instead of ${formatInteger(cores(target))}`,
    });
  return remedies;
}
