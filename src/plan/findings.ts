/** Collects what is wrong with a plan.json, at most as much as a person reads. */
import type { Diagnostic } from '../diag/diagnostic.ts';
import { at } from '../diag/schema-findings.ts';

/** Findings that are reported; a plan with one broken table would have thousands. */
export const MAX_FINDINGS = 20;

export class Findings {
  readonly list: Diagnostic[] = [];

  get full(): boolean {
    return this.list.length >= MAX_FINDINGS;
  }

  /** `expected` and `found` of the value at `path`. */
  add(code: string, path: string, message: string): void {
    if (!this.full) this.list.push({ code, severity: 'error', message: at(path, message), where: 'plan.json' });
  }

  /** `plan/index` unless `index` is one of `count` entries of `what`. */
  index(path: string, index: number, count: number, what: string): boolean {
    if (index >= 0 && index < count) return true;
    this.add('plan/index', path, `expected the index of one of ${count} ${what}, found ${index}`);
    return false;
  }

  /** `plan/count` unless both are equal. */
  count(path: string, found: number, expected: number, what: string): boolean {
    if (found === expected) return true;
    this.add('plan/count', path, `expected ${expected} entries, one for each of ${what}, found ${found}`);
    return false;
  }
}
