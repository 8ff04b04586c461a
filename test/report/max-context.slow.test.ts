/** The longest context of a plan's regions is exact: by the verifier, which shares no code with the planner, and by compiling again. */
import { expect, test } from 'vitest';
import { mapMemory } from '../../src/place/memory.ts';
import type { Plan } from '../../src/plan/types.ts';
import { buildReport } from '../../src/report/report.ts';
import { verifyFit } from '../../src/verify/fit.ts';
import { compileTiny } from '../plan/tiny-plan.ts';

/** What verifyFit finds when the regions of the plan hold `context` positions. */
function faultsAt(plan: Plan, context: number): string[] {
  const programs = plan.templates.map(({ program }) => ({
    ...program,
    context: program.context === 0 ? 0 : context,
    tensors: program.tensors.map((t) => (t.layout.cyclic ? { ...t, shape: [context, ...t.shape.slice(1)] } : t)),
  }));
  const none = { ops: [], inputs: [], outputs: [], weights: [] };
  const stages = plan.stages.map(({ name, template }) => ({ name, template, ...none }));
  const templates = plan.templates.map(({ name }, t) => ({
    name,
    exemplar: stages.findIndex((s) => s.template === t),
  }));
  const maps = plan.regions.map(({ stages: held }) => {
    const used = [...new Set(held.map((s) => stages[s].template))];
    return mapMemory(
      used.map((t) => ({ program: programs[t], stageCount: held.filter((s) => stages[s].template === t).length })),
      plan.mode.batch,
      plan.target,
    );
  });
  return verifyFit({
    target: plan.target,
    mode: { ...plan.mode, context },
    stages: { host: [], stages, templates },
    mapping: { programs, groups: plan.regions.map((r) => r.stages) },
    memory: { maps },
  }).map((d) => d.code);
}

test.each([
  ['two sequences, a region each layer', { target: 'mesh-16x16', context: 200, layersPerRegion: 1, batch: 2 }],
] as const)('%s: one position more does not fit', async (_, options) => {
  const plan = (await compileTiny('tiny-llama', options)).json();
  const most = buildReport(plan).sram.maxContext ?? 0;
  expect(most).toBeGreaterThan(options.context);
  expect(faultsAt(plan, options.context)).toEqual([]);
  expect(faultsAt(plan, most)).toEqual([]);
  expect(faultsAt(plan, most + 1)).not.toEqual([]);
  // Compiled for that many, the model still fits: in these regions, or in ones the search likes better.
  const { answer } = await compileTiny('tiny-llama', { ...options, context: most });
  expect(answer.exitCode).toBe(0);
});
