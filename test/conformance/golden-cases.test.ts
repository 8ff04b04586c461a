/** Real exports against outputs of onnxruntime (../shared/models/cases.json). Skips loudly without them. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { agreement, firstDifference, goldenCases, runGolden, TOLERANCE } from './golden-suite.ts';

const shared = join(import.meta.dirname, '../../../shared/models');
const present = existsSync(join(shared, 'cases.json'));
const cases = present ? goldenCases(shared) : [];

/** Quantized forms move by rounding ties: the README asks for this share of equal arg maxima. */
const AGREEMENT = 0.97;

describe.skipIf(!present)(`golden cases${present ? '' : ': NOT RUN, no ../shared/models'}`, () => {
  for (const golden of cases) {
    test(`${golden.model} ${golden.case}`, () => {
      const tolerance = TOLERANCE[golden.precision];
      if (tolerance !== undefined) {
        expect(firstDifference(shared, golden, tolerance)).toBeUndefined();
        return;
      }
      const [[, { expected, found }]] = runGolden(shared, golden);
      expect(agreement(expected, found)).toBeGreaterThanOrEqual(AGREEMENT);
    });
  }
});
