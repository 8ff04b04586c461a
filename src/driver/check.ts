/**
 * `wafc check`: a plan on paper. Everything is recomputed from plan.json, weights.bin and, where there is a model, the
 * model's own weights; nothing is run. Also for plans that were edited by hand.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Diagnostic } from '../diag/diagnostic.ts';
import { readPlan } from '../plan/read.ts';
import type { Plan } from '../plan/types.ts';
import { type CheckResult, renderCheck } from '../report/check-result.ts';
import { checkCoverage } from '../verify/coverage.ts';
import { checkPlan } from '../verify/plan.ts';
import { RULES } from '../verify/rules.ts';
import type { Answer, CheckArguments, Effects } from './contract.ts';
import { openPlanModel } from './plan-model.ts';

/**
 * Checks the plan in a folder.
 * @throws Diagnosed when plan.json cannot be read as a plan at all, or the model cannot be read
 */
export function check(args: CheckArguments, effects: Effects): Answer {
  const plan = readPlan(args.plan);
  effects.progress.update(0, 2, 'plan');
  const diagnostics: Diagnostic[] = checkPlan(plan, args.plan);
  const model = args.model ?? join(args.plan, 'model.onnx');
  const skipped = coverageIsOpen(plan, args, model);
  if (skipped === null) {
    effects.progress.update(1, 2, 'weights');
    diagnostics.push(...checkCoverage(plan, args.plan, openPlanModel(plan, model).weightOf));
  }
  effects.progress.clear();
  const isPlaced = !diagnostics.some(({ code }) => /^verify\/[PF]\d/.test(code));
  const reasons: Readonly<Record<string, string | null>> = {
    coverage: skipped,
    // Routes are walked over regions that hold.
    routing: isPlaced ? null : 'regions or SRAM maps do not hold',
    schedule: isPlaced ? null : 'regions or SRAM maps do not hold',
  };
  const result: CheckResult = {
    schema: 'wafc.check/1',
    plan: plan.model.sha256,
    passed: diagnostics.length === 0,
    // A plan has the host's graphs only, which are read as text; the rules of graphs are those of compile.
    families: RULES.filter(({ name }) => name !== 'graph').map(({ name, rules }) => ({
      name,
      rules,
      checked: (reasons[name] ?? null) === null,
      ...((reasons[name] ?? null) === null ? {} : { reason: reasons[name] ?? '' }),
      faults: diagnostics.filter(({ code }) => Object.hasOwn(rules, code.replace(/^verify\//, ''))),
    })),
  };
  return {
    exitCode: result.passed ? 0 : 3,
    diagnostics,
    text: () => renderCheck(result, plan),
    json: () => result,
  };
}

/** Why the weights cannot be compared with a model; null when they can. */
function coverageIsOpen(plan: Plan, args: CheckArguments, model: string): string | null {
  if (plan.weights.sha256 === null) return 'the plan was made without weights';
  if (args.model === undefined && !existsSync(model)) return 'the plan has no model.onnx; --model names one';
  return null;
}
