/** `wafc report`: the figures of a plan, computed again from the plan alone. */
import type { Answer, ReportArguments } from './contract.ts';
import { readPlan } from '../plan/read.ts';
import { buildReport } from '../report/report.ts';
import { renderReport } from '../report/text.ts';

export function report(args: ReportArguments): Answer {
  const plan = readPlan(args.plan);
  const figures = buildReport(plan);
  return { exitCode: 0, diagnostics: [], text: () => renderReport(plan, figures), json: () => figures };
}
