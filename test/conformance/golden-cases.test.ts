/** Real exports against outputs of onnxruntime (../shared/models/cases.json). Skips loudly without them. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { faultOf, goldenCases, runGolden } from './golden-suite.ts';

const shared = join(import.meta.dirname, '../../../shared/models');
const present = existsSync(join(shared, 'cases.json'));
const cases = present ? goldenCases(shared) : [];

describe.skipIf(!present)(`golden cases${present ? '' : ': NOT RUN, no ../shared/models'}`, () => {
  for (const golden of cases) {
    test(`${golden.model} ${golden.case}`, () => {
      expect(faultOf(shared, golden, runGolden(shared, golden))).toBeUndefined();
    });
  }
});
