/** What check finds, as data (`wafc check --json`) and for people. */
import type { Diagnostic } from '../diag/diagnostic.ts';
import type { Plan } from '../plan/types.ts';
import { table } from '../util/table.ts';

/** Rules about one thing, and what breaks them. */
export interface CheckedFamily {
  readonly name: string;
  /** By id: what holds when the rule does. */
  readonly rules: Readonly<Record<string, string>>;
  readonly checked: boolean;
  /** Why not, where it was not checked. */
  readonly reason?: string;
  readonly faults: readonly Diagnostic[];
}
export interface CheckResult {
  readonly schema: 'wafc.check/1';
  /** Digest of the plan's model. */
  readonly plan: string;
  readonly passed: boolean;
  readonly families: readonly CheckedFamily[];
}

/** One line for each family; the faults themselves are diagnostics. */
export function renderCheck({ passed, families }: CheckResult, plan: Plan): string {
  const head = `plan of ${plan.model.name} on ${plan.target.name}: ${passed ? 'holds' : 'does NOT hold'}`;
  const rows = families.map(({ name, rules, checked, reason, faults }) => {
    const ids = Object.keys(rules);
    const span = ids.length === 1 ? ids[0] : `${ids[0]} .. ${ids.at(-1)}`;
    return [`  ${name}`, span, checked ? verdict(faults) : `not checked: ${reason}`];
  });
  const columns = ['  on paper', 'rules', 'found'] as const;
  return `${head}\n\n${table(
    columns.map((column) => ({ head: column, align: 'left' })),
    rows,
  )}`;
}

function verdict(faults: readonly Diagnostic[]): string {
  if (faults.length === 0) return 'holds';
  const ids = [...new Set(faults.map(({ code }) => code.replace(/^verify\//, '')))];
  return `${faults.length} ${faults.length === 1 ? 'fault' : 'faults'}: ${ids.join(', ')}`;
}
