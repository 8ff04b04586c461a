/** `wafc report`: the figures of a plan, or of one of its cores, computed again from the plan alone. */
import type { Answer, ReportArguments } from './contract.ts';
import { readPlan } from '../plan/read.ts';
import { coreProgram } from '../report/core.ts';
import { renderCore } from '../report/core-text.ts';
import { buildReport } from '../report/report.ts';
import { renderReport } from '../report/text.ts';

export function report(args: ReportArguments): Answer {
  const plan = readPlan(args.plan);
  if (args.core !== undefined) {
    const core = coreProgram(plan, args.core.x, args.core.y);
    return { exitCode: 0, diagnostics: [], text: () => renderCore(core), json: () => core };
  }
  const figures = buildReport(plan);
  return { exitCode: 0, diagnostics: [], text: () => renderReport(plan, figures), json: () => figures };
}
