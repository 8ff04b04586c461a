/** Figures of speed, recomputed from the plan by hand. */
import { describe, expect, test } from 'vitest';
import { hostCycles } from '../../src/cost/transport.ts';
import type { Plan } from '../../src/plan/types.ts';
import { buildReport } from '../../src/report/report.ts';
import { renderReport } from '../../src/report/text.ts';
import { compileTiny } from '../plan/tiny-plan.ts';

const layered = { target: 'mesh-16x16', layersPerRegion: 1, context: 64 } as const;
const cyclesOf = (plan: Plan, stages: readonly number[], key: 'cycles' | 'bound'): number =>
  stages.reduce((n, s) => n + plan.schedule.perTemplate[plan.stages[s].template].reduce((m, o) => m + o[key], 0), 0);
const GHZ = 0.875;

describe('decode and prefill', () => {
  test('latency, pace and first token by hand', async () => {
    const plan = (await compileTiny('tiny-llama', { ...layered, promptTokens: [1, 7] })).json();
    const { decode, prefill } = buildReport(plan);
    if (decode === null || prefill === null) throw new Error('a decoder has both');
    const busy = plan.regions.map(
      (r, i) =>
        cyclesOf(plan, r.stages, 'cycles') +
        plan.schedule.sends.filter((s) => s.from === i).reduce((n, s) => n + s.cycles, 0),
    );
    expect(plan.regions).toHaveLength(4);
    const most = Math.max(...busy);
    expect(decode.pipeline).toMatchObject({ region: busy.indexOf(most), sequencesToFill: 4 });
    expect(decode.pipeline.cyclesPerToken.calibrated).toBe(most);
    expect(decode.pipelineTokensPerSecond[0].calibrated).toBeCloseTo((GHZ * 1e9) / most, 6);
    const { bytesIn, bytesOut } = plan.schedule.host;
    const step = plan.schedule.cyclesPerStep.calibrated;
    const io = (tokens: number): number =>
      hostCycles(tokens * bytesIn, GHZ, plan.target) + hostCycles(bytesOut, GHZ, plan.target);
    expect(decode.tokensPerSecond[0].calibrated).toBeCloseTo((GHZ * 1e9) / (step + io(1)), 6);
    expect(prefill.timeToFirstToken.filter((t) => t.clockGHz === GHZ)).toEqual([
      { promptTokens: 1, clockGHz: GHZ, milliseconds: (step + io(1)) / (GHZ * 1e6) },
      { promptTokens: 7, clockGHz: GHZ, milliseconds: (6 * most + step + io(7)) / (GHZ * 1e6) },
    ]);
  });
  test('the bound is the sum of its terms, and below the estimate', async () => {
    for (const name of ['tiny-llama', 'tiny-bert'] as const) {
      const plan = (await compileTiny(name)).json();
      const { decode, encode } = buildReport(plan);
      const figures = decode ?? encode;
      if (figures === null) throw new Error('one of both');
      const { boundTerms, largestBound, ratio } = figures;
      const { calibrated, bound } = plan.schedule.cyclesPerStep;
      expect(Object.values(boundTerms).reduce((a, b) => a + b, 0)).toBe(bound);
      expect(boundTerms[largestBound]).toBe(Math.max(...Object.values(boundTerms)));
      expect(ratio).toBe(calibrated / bound);
      expect(ratio).toBeGreaterThan(1);
    }
  });
  test('one sequence waits for each of its tokens; as many as there are regions fill the pipeline', async () => {
    const rates = await Promise.all(
      [1, 2, 16].map(async (batch) => {
        const { decode } = buildReport((await compileTiny('tiny-llama', { ...layered, batch })).json());
        if (decode === null) throw new Error('a decoder decodes');
        const [batched, full, one] = [
          decode.batchTokensPerSecond,
          decode.pipelineTokensPerSecond,
          decode.tokensPerSecond,
        ];
        return { batched: batched[0].calibrated, full: full[0].calibrated, one: one[0].calibrated };
      }),
    );
    expect(rates[0].batched).toBeCloseTo(rates[0].one, 9);
    expect(rates[1].batched).toBeCloseTo(2 * rates[1].one, 6);
    expect(rates[2].batched).toBe(rates[2].full);
  });
  test('a prompt beyond the context is refused', async () => {
    await expect(compileTiny('tiny-llama', { ...layered, promptTokens: [64, 65] })).rejects.toThrow(
      'a prompt of 65 tokens is longer than the context of 64',
    );
  });
});

describe('throughput', () => {
  test('copies of the model: more tokens for all users than the fastest plan, and never fewer cycles for one', async () => {
    const fast = buildReport((await compileTiny('tiny-llama', { target: 'mesh-64x64', context: 64 })).json());
    const plan = (
      await compileTiny('tiny-llama', { target: 'mesh-64x64', context: 64, objective: 'throughput' })
    ).json();
    const many = buildReport(plan);
    if (fast.decode === null || many.decode === null) throw new Error('decoders');
    expect(fast.fabric.copies).toBe(1);
    expect(many.fabric.copies).toBe(1 + plan.replicas.length);
    expect(many.fabric.copies).toBeGreaterThan(4);
    expect(many.fabric.unusedShare).toBeLessThan(fast.fabric.unusedShare);
    const [a, b] = [fast, many].map((r) => r.decode?.pipelineTokensPerSecond[0].calibrated ?? 0);
    expect(b).toBeGreaterThan(4 * a);
    expect(many.decode.cyclesPerToken.calibrated).toBeGreaterThanOrEqual(fast.decode.cyclesPerToken.calibrated);
    expect(renderReport(plan, many)).toContain(`${many.fabric.copies} copies of the model`);
  });
});

test('what is outside of the fit says so', async () => {
  const { accuracy } = buildReport((await compileTiny('tiny-llama', { ...layered })).json());
  expect(accuracy).toEqual({
    extrapolation: true,
    reasons: [
      'the constants were fitted on the WSE-2, not on mesh-16x16',
      'sides of regions outside of 360 to 660',
      'a context of 64, not of about 4K',
    ],
    uncertaintyPercent: null,
  });
});
