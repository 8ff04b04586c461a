/** Models placed on regions of any shape: the search is left out, so that odd shapes are run, too. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect } from 'vitest';
import { buildModel, CONFIGS, type ModelConfig } from '../../models/configs.ts';
import assignMemory from '../../passes/4-place/assign-memory.ts';
import placeSerpentine from '../../passes/4-place/place-serpentine.ts';
import splitStages from '../../passes/3-partition/split-stages.ts';
import planRoutes from '../../passes/5-route/plan-routes.ts';
import predictCycles from '../../passes/6-schedule/predict-cycles.ts';
import { loadModel } from '../../src/driver/compile.ts';
import { BIND_STEP, GRAPH_STEPS } from '../../src/driver/pipeline.ts';
import { PlacedModel } from '../../src/exec/placed/model.ts';
import type { Program, With } from '../../src/ir/facts.ts';
import type { Graph } from '../../src/ir/graph.ts';
import type { RegionShape } from '../../src/ir/program.ts';
import { layoutsByChoice } from '../../src/map/layout-search.ts';
import { StageContext } from '../../src/map/stage-context.ts';
import { mapStage } from '../../src/map/stage-mapper.ts';
import { randomBelow, randomStream } from '../../src/util/rng.ts';
import { type WritableModel, writeModel } from '../../src/onnx/writer.ts';
import { QUIET, runPasses } from '../../src/pass/manager.ts';
import { type Step, step } from '../../src/pass/pass.ts';
import { buildPlan, type Planned } from '../../src/plan/build.ts';
import { readPlan } from '../../src/plan/read.ts';
import type { Plan } from '../../src/plan/types.ts';
import { writePlanJson, writeWeights } from '../../src/plan/write.ts';
import { NO_PROGRESS } from '../../src/util/progress.ts';
import { checkPlan } from '../../src/verify/plan.ts';
import { loadTarget } from '../../src/target/load.ts';

/** Room for any test model. */
const ROOMY = { ...loadTarget('mesh-64x64'), name: 'roomy', width: 96, height: 96, sramBytes: 2 ** 24 };

/** The model's program with stages, before regions are chosen. */
export function staged(
  path: string,
  batch: number,
  context: number,
  { steps = [], calibration }: Compressing = {},
): With<'stages'> & { readonly imported: Graph } {
  const { graph, roles } = loadModel(path, batch, {});
  const start: Program = {
    graph,
    roles,
    target: ROOMY,
    mode: { kind: 'stream', batch, context },
    ...(calibration === undefined ? {} : { calibration }),
  };
  const program = runPasses(
    start,
    [...GRAPH_STEPS, ...steps, BIND_STEP, step(splitStages, {})],
    QUIET,
  ) as With<'stages'>;
  return { ...program, imported: graph };
}

/** Passes of compression, and what they look at. */
export interface Compressing {
  readonly steps?: readonly Step[];
  readonly calibration?: readonly Int32Array[];
}

export interface Placed {
  /** As it was placed, token by token. */
  readonly tokens: Graph;
  readonly placed: PlacedModel;
  readonly plan: Plan;
  /** As imported: the reference. */
  readonly graph: Graph;
}

/**
 * Runs `use` on the model, placed with `shapes` by template (used in turn), one region a stage or one for all. Layouts are
 * those the search finds, or (`ways` seeds them) any that the rules allow.
 */
export function withPlaced(
  model: WritableModel,
  size: { readonly batch: number; readonly context: number } & Compressing,
  shapes: readonly RegionShape[],
  use: (placed: Placed) => void,
  ways?: number,
): void {
  const folder = mkdtempSync(join(tmpdir(), 'wafc-placed-'));
  try {
    const path = join(folder, 'model.onnx');
    writeModel(path, model);
    const { imported, ...program } = staged(path, size.batch, size.context, size);
    const { stages, mode, graph, roles } = program;
    const tokens = mode.kind === 'whole' ? mode.context : 1;
    const one = shapes.length === 1;
    const options = { disable: [] };
    const random = randomStream(ways ?? 0, 'ways');
    const programs = stages.templates.map(({ exemplar }, t) => {
      const shape = fitted(shapes[t % shapes.length], graph);
      const lengths = { tokens, context: mode.context };
      const stage = stages.stages[exemplar];
      if (ways === undefined) return mapStage(graph, roles, stage, shape, lengths, program.target, options);
      const context = new StageContext({ graph, roles, stage, shape, size: lengths, target: program.target, options });
      return layoutsByChoice(context, (n) => randomBelow(random, n));
    });
    const groups = one ? [stages.stages.map((_, i) => i)] : stages.stages.map((_, i) => [i]);
    const planned = runPasses(
      { ...program, mapping: { programs, groups } },
      [step(placeSerpentine, {}), step(assignMemory, {}), step(planRoutes, {}), step(predictCycles, {})],
      QUIET,
    ) as Planned;
    const draft = buildPlan(planned, { generator: 'test', imported, options: {} });
    writePlanJson(writeWeights(draft, folder, NO_PROGRESS), folder);
    const plan = readPlan(folder);
    expect(checkPlan(plan, folder)).toEqual([]);
    use({ placed: new PlacedModel(plan, folder), plan, graph: imported, tokens: graph });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Groups of columns divide the KV heads and the width. */
export function fitted({ width, height, groups }: RegionShape, graph: Graph): RegionShape {
  let shared = 0;
  for (const op of graph.ops) if (op.kind === 'wafc.attention') shared = gcd(shared, Number(op.attrs.kvHeads));
  return { width, height, groups: gcd(gcd(shared === 0 ? groups : shared, groups), width) };
}

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));

const among = (...values: readonly number[]): fc.Arbitrary<number> => fc.constantFrom(...values);
const from = (min: number, max: number): fc.Arbitrary<number> => fc.integer({ min, max });

/** Lines, squares, primes, and sides larger than any dim of the models below. */
export const region: fc.Arbitrary<RegionShape> = fc.oneof(
  fc.record({ width: from(1, 8), height: from(1, 8), groups: among(1, 2, 3, 4) }),
  fc.record({ width: among(1), height: from(1, 30), groups: among(1) }),
  fc.record({ width: from(1, 30), height: among(1), groups: among(1, 2, 4) }),
  fc.record({ width: among(7, 11, 16), height: among(5, 13), groups: among(1, 2, 7, 8) }),
);

const named = (name: string): ModelConfig => {
  const config = CONFIGS.get(name);
  if (config === undefined) throw new Error(`models/configs.ts has no ${name}`);
  return config;
};

const llama: fc.Arbitrary<ModelConfig> = fc
  .record({
    layers: from(1, 3),
    hidden: from(3, 40),
    kvHeads: from(1, 4),
    share: from(1, 3),
    half: from(1, 5),
    ffn: from(1, 50),
    vocab: from(5, 40),
    tied: fc.boolean(),
    cache: fc.boolean(),
    rsqrt: fc.constantFrom('div' as const, 'reciprocal' as const),
    opset: among(14, 17),
    seed: fc.nat({ max: 1000 }),
  })
  .map(({ share, half, ...rest }) => {
    const config = { ...named('tiny-llama'), ...rest, heads: rest.kvHeads * share, headDim: 2 * half };
    return config as ModelConfig;
  });

const wide = fc
  .record({
    layers: from(1, 2),
    heads: from(1, 4),
    headDim: from(1, 9),
    ffn: from(1, 50),
    vocab: from(5, 40),
    opset: among(14, 17),
    seed: fc.nat({ max: 1000 }),
  })
  .map(({ headDim, ...rest }) => ({ ...rest, hidden: rest.heads * headDim }));

const gpt2: fc.Arbitrary<ModelConfig> = fc
  .tuple(wide, fc.boolean())
  .map(([rest, cache]) => ({ ...named('tiny-gpt2'), ...rest, cache }) as ModelConfig);

const bert: fc.Arbitrary<ModelConfig> = fc
  .tuple(wide, fc.boolean())
  .map(([rest, pooler]) => ({ ...named('tiny-bert'), ...rest, pooler }) as ModelConfig);

export const anyModel: fc.Arbitrary<ModelConfig> = fc.oneof(llama, gpt2, bert);
export const decoder: fc.Arbitrary<ModelConfig> = fc.oneof(llama, gpt2);

export { buildModel };
