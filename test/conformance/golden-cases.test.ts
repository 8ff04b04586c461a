/** Real exports against outputs of onnxruntime (../shared/models/cases.json). Skips loudly without them. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readNpy } from '../../src/tensor/npy.ts';
import { agreement, firstDifference, goldenCases, lossDifference, runGolden, TOLERANCE } from './golden-suite.ts';

const shared = join(import.meta.dirname, '../../../shared/models');
const present = existsSync(join(shared, 'cases.json'));
const cases = present ? goldenCases(shared) : [];

/** Quantized forms move by rounding ties: the README asks for this share of equal arg maxima. */
const AGREEMENT = 0.97;
/** .. and this difference of the loss, in nats a token, against the same file in onnxruntime. */
const LOSS = 0.005;

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
      const ids = readNpy(join(shared, golden.dir, golden.inputs.input_ids.file));
      expect(Math.abs(lossDifference(expected, found, ids))).toBeLessThanOrEqual(LOSS);
    });
  }
});
