/** One core of a plan, against the plan's own tables. */
import { beforeAll, expect, test } from 'vitest';
import { Diagnosed } from '../../src/diag/diagnostic.ts';
import type { Plan } from '../../src/plan/types.ts';
import { type CoreProgram, coreProgram } from '../../src/report/core.ts';
import { renderCore } from '../../src/report/core-text.ts';
import { compileTiny } from '../plan/tiny-plan.ts';
import { scattered, targetFile } from '../route/support.ts';

let plan: Plan;
let core: CoreProgram;
beforeAll(async () => {
  plan = (await compileTiny('tiny-llama')).json();
  const [{ x, y }] = plan.regions;
  core = coreProgram(plan, x, y);
});

test('place, memory and ops are those of the core', () => {
  expect(core.place).toMatchObject({ region: 0, column: 0, row: 0 });
  expect(core.memory).toEqual(plan.memory[0].buffers);
  const templates = new Set(plan.regions[0].stages.map((s) => plan.stages[s].template));
  expect(core.programs.map((p) => p.template)).toEqual([...templates].map((t) => plan.templates[t].name));
  for (const [i, t] of [...templates].entries())
    expect(core.programs[i].ops.map((op) => op.cycles)).toEqual(plan.schedule.perTemplate[t].map((op) => op.cycles));
});

test('colors of an op are routed, and a core that sends or receives has a queue', () => {
  const colors = new Set(core.routes.map((r) => r.color));
  const used = core.programs.flatMap((p) => p.ops).flatMap((op) => [...op.writes, ...op.receives, ...op.sends]);
  expect(used.length).toBeGreaterThan(0);
  for (const color of used) expect(colors).toContain(color);
  for (const { routes, input, output } of core.routes) {
    expect(input !== null).toBe(routes.some((r) => r.slice(2).includes('R')));
    expect(output !== null).toBe(routes.some((r) => r.startsWith('R')));
  }
});

test('text', () => {
  const text = renderCore(core);
  expect(text).toMatch(/^core \(\d+,\d+\)\n {2}region {2}0, column 0, row 0\n/);
  for (const part of ['Routes (from > to', 'SRAM (the region', 'Program of ']) expect(text).toContain(part);
});

test('a core beyond the fabric', () => {
  expect(() => coreProgram(plan, 8, 0)).toThrow(Diagnosed);
  expect(() => coreProgram(plan, 8, 0)).toThrow('core (8,0) is beyond the fabric: columns 0 .. 7, rows 0 .. 7');
});

test('a core beside the regions, a dead one, and one that its region passes over', async () => {
  const target = targetFile({ defects: scattered(16, 16, 14), defectsForward: true }, 'mesh-16x16');
  const placed = (await compileTiny('tiny-llama', { target, regions: 2 })).json();
  const [dead] = placed.target.defects;
  expect(coreProgram(placed, dead.x, dead.y)).toMatchObject({ usable: false, place: null, memory: [], programs: [] });
  expect(renderCore(coreProgram(placed, dead.x, dead.y))).toContain('none: the core must not be used');
  const gaps = placed.regions.flatMap((r) => [
    ...(r.skippedColumns ?? []).map((x) => ({ x, y: r.y })),
    ...(r.skippedRows ?? []).map((y) => ({ x: r.x, y })),
  ]);
  expect(gaps).not.toEqual([]);
  const passed = coreProgram(placed, gaps[0].x, gaps[0].y);
  expect(passed).toMatchObject({ place: null, programs: [] });
  // It lets the collectives of its region pass, and binds no queue.
  expect(passed.routes.filter((r) => r.flow.startsWith('flow')).length).toBeGreaterThan(0);
  for (const { routes, input, output } of passed.routes) {
    expect(routes.join()).not.toContain('R');
    expect([input, output]).toEqual([null, null]);
  }
  const beside = { x: placed.target.width - 1, y: placed.target.height - 1 };
  expect(coreProgram(placed, beside.x, beside.y)).toMatchObject({ place: null, programs: [] });
});
