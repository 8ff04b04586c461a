/** The golden cases of ../shared/models through sessions, within the bounds of the reference executor. Skips loudly without them. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Session } from '../../src/exec/session/session.ts';
import { importModel } from '../../src/frontend/import.ts';
import { faultOf, goldenCases, loadTensors } from '../conformance/golden-suite.ts';

const shared = join(import.meta.dirname, '../../../shared/models');
const present = existsSync(join(shared, 'cases.json'));
const cases = present ? goldenCases(shared) : [];

describe.skipIf(!present)(`golden cases in sessions${present ? '' : ': NOT RUN, no ../shared/models'}`, () => {
  for (const golden of cases) {
    test(`${golden.model} ${golden.case}`, () => {
      const session = new Session(importModel(join(shared, golden.model)).graph);
      const feeds = loadTensors(shared, golden, golden.inputs);
      session.run(feeds);
      // The second time on the buffers of the first.
      expect(faultOf(shared, golden, session.run(feeds))).toBeUndefined();
    });
  }
});
