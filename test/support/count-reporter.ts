/**
 * The last line of a test run: `123 passed, 0 failed, 4 skipped`, nothing else on it. Counts tests, not files; a file
 * that does not load, and an error outside of any test, is one failure. What was skipped is named before it, so that nobody
 * takes it for passed. The line goes to the file WAFC_COUNTS names, too.
 */
import { writeFileSync } from 'node:fs';
import type { Reporter, SerializedError, TestModule } from 'vitest/node';

export default class CountReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[]): void {
    let [passed, failed, skipped] = [0, unhandled.length, 0];
    const notRun = new Set<string>();
    for (const module of modules) {
      failed += module.errors().length;
      // A suite that is skipped for want of files may have no tests to name.
      for (const suite of module.children.allSuites())
        if (suite.children.size === 0) notRun.add(`not run: ${module.relativeModuleId}: ${suite.fullName}\n`);
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === 'passed') passed++;
        else if (state === 'failed') failed++;
        else {
          skipped++;
          notRun.add(`not run: ${module.relativeModuleId}: ${test.fullName}\n`);
        }
      }
    }
    const line = `${passed} passed, ${failed} failed, ${skipped} skipped\n`;
    process.stdout.write([...notRun].join('') + line);
    const { WAFC_COUNTS: file } = process.env;
    if (file !== undefined && file !== '') writeFileSync(file, line);
  }
}
