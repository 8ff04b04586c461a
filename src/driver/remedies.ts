/** Changes that make a plan fit. Each one is tried by planning again; none is a guess. */
import { Diagnosed, type Remedy } from '../diag/diagnostic.ts';
import type { Program } from '../ir/facts.ts';
import { QUIET, runPasses } from '../pass/manager.ts';
import { listTargets } from '../target/load.ts';
import { formatInteger } from '../util/format.ts';
import { PLAN_STEPS } from './pipeline.ts';

/** Whether the program, with its lengths bound, can be planned. */
function fits(program: Program): boolean {
  try {
    runPasses(program, PLAN_STEPS.slice(0, 3), QUIET);
    return true;
  } catch (error) {
    if (error instanceof Diagnosed) return false;
    throw error;
  }
}

/** Remedies that fit: the longest shorter context, one sequence at a time, the smallest larger target. */
export function remediesFor(program: Program): Remedy[] {
  const { mode, target } = program;
  const remedies: Remedy[] = [];
  if (mode.kind === 'stream') {
    for (let context = 2 ** Math.floor(Math.log2(Math.max(1, mode.context - 1))); context >= 16; context /= 2) {
      if (!fits({ ...program, mode: { ...mode, context } })) continue;
      remedies.push({
        flag: `--context ${context}`,
        effect: `the KV cache holds ${formatInteger(context)} positions instead of ${formatInteger(mode.context)}`,
      });
      break;
    }
  }
  if (mode.batch > 1 && fits({ ...program, mode: { ...mode, batch: 1 } })) {
    remedies.push({ flag: '--batch 1', effect: `one sequence at a time instead of ${mode.batch}` });
  }
  const cores = (t: { width: number; height: number }): number => t.width * t.height;
  const larger = listTargets()
    .filter((t) => t.name !== target.name && cores(t) > cores(target))
    .sort((a, b) => cores(a) - cores(b) || (a.name < b.name ? -1 : 1));
  const next = larger.find((t) => fits({ ...program, target: t }));
  if (next)
    remedies.push({
      flag: `--target ${next.name}`,
      effect: `${formatInteger(cores(next))} cores instead of ${formatInteger(cores(target))}`,
    });
  return remedies;
}
