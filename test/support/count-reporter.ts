/**
 * The last line of a test run: `123 passed, 0 failed, 4 skipped`, nothing else on it. Counts tests, not files; a file
 * that does not load, and an error outside of any test, is one failure. What was skipped is named before it, by suite,
 * so that nobody takes it for passed. The line goes to the file WAFC_COUNTS names, too.
 */
import { writeFileSync } from 'node:fs';
import type { Reporter, SerializedError, TestCase, TestModule } from 'vitest/node';

const suiteOf = ({ parent, name }: TestCase): string => (parent.type === 'suite' ? parent.fullName : name);

export default class CountReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[]): void {
    let [passed, failed, skipped] = [0, unhandled.length, 0];
    const notRun = new Map<string, number>();
    const skip = (where: string, tests: number): void => {
      notRun.set(where, (notRun.get(where) ?? 0) + tests);
      skipped += tests;
    };
    for (const module of modules) {
      failed += module.errors().length;
      // A suite that is skipped for want of files may have no tests to name.
      for (const suite of module.children.allSuites())
        if (suite.children.size === 0) skip(`${module.relativeModuleId}: ${suite.fullName}`, 0);
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === 'passed') passed++;
        else if (state === 'failed') failed++;
        else skip(`${module.relativeModuleId}: ${suiteOf(test)}`, 1);
      }
    }
    const missing = [...notRun].map(([where, n]) => `not run: ${where}${n > 1 ? ` (${n} tests)` : ''}\n`);
    const line = `${passed} passed, ${failed} failed, ${skipped} skipped\n`;
    process.stdout.write(missing.join('') + line);
    const { WAFC_COUNTS: file } = process.env;
    if (file !== undefined && file !== '') writeFileSync(file, line);
  }
}
