/** Our plans beside the published one, on its machine: what issue 4 asks of them, as far as it is met. */
import { expect, test } from 'vitest';
import { CALIBRATION_ROWS } from '../../src/cost/calibration.ts';
import { OVERHEAD_SPLITS } from '../../src/cost/constants.ts';
import { ownPlans } from '../../src/driver/bench-own.ts';
import { renderOwn } from '../../src/report/bench-own.ts';
import { loadTarget } from '../../src/target/load.ts';

test('Llama-3-8B on the WSE-2, 4K context', () => {
  const plans = ownPlans(CALIBRATION_ROWS[0], loadTarget('wse2'));
  const [same, real] = plans;
  expect([same.name, real.name]).toEqual(['same work', 'real model']);
  for (const plan of plans) {
    expect(plan.regionWideAllReduces).toBeLessThanOrEqual(5);
    expect(plan.splits.map((s) => s.split)).toEqual(Object.keys(OVERHEAD_SPLITS));
    for (const s of plan.splits) expect(s.speedUp).toBe(s.publishedCycles / s.ownCycles);
    expect(plan.communicationRatio).toBe(plan.ownCommunication / plan.publishedCommunication);
  }
  expect(same.communicationRatio).toBeLessThanOrEqual(0.5);
  expect(same.splits[0].speedUp).toBeGreaterThan(1.1);
  // Everything resident: embedding, 32 layers and head have a place of their own.
  expect(real.regions * real.layersPerRegion).toBeGreaterThanOrEqual(32);
  expect(renderOwn(plans)).toContain('all on collectives');
});
