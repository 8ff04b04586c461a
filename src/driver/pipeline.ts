/** The pipeline: every entry with its reason. Names and options of the passes: `wafc passes`. */
import cse from '../../passes/1-graph/cse.ts';
import deadCode from '../../passes/1-graph/dead-code.ts';
import dropIdentities from '../../passes/1-graph/drop-identities.ts';
import expandFused from '../../passes/1-graph/expand-fused.ts';
import foldConstants from '../../passes/1-graph/fold-constants.ts';
import fuseActivations from '../../passes/1-graph/fuse-activations.ts';
import fuseNorms from '../../passes/1-graph/fuse-norms.ts';
import ingestQuantized from '../../passes/1-graph/ingest-quantized.ts';
import inlineBranches from '../../passes/1-graph/inline-branches.ts';
import liftTokens from '../../passes/1-graph/lift-tokens.ts';
import ropeHalves from '../../passes/1-graph/rope-halves.ts';
import splitLinears from '../../passes/1-graph/split-linears.ts';
import pruneChannels from '../../passes/2-compress/prune-channels.ts';
import pruneDepth from '../../passes/2-compress/prune-depth.ts';
import pruneWeights from '../../passes/2-compress/prune-weights.ts';
import quantizeWeights from '../../passes/2-compress/quantize-weights.ts';
import quantizeCache from '../../passes/2-compress/quantize-cache.ts';
import roundActivations from '../../passes/2-compress/round-activations.ts';
import scaleInputs from '../../passes/2-compress/scale-inputs.ts';
import bindLengths from '../../passes/3-partition/bind-lengths.ts';
import chooseRegions from '../../passes/3-partition/choose-regions.ts';
import splitStages from '../../passes/3-partition/split-stages.ts';
import assignMemory from '../../passes/4-place/assign-memory.ts';
import placeSerpentine from '../../passes/4-place/place-serpentine.ts';
import planRoutes from '../../passes/5-route/plan-routes.ts';
import predictCycles from '../../passes/6-schedule/predict-cycles.ts';
import type { SearchGoal } from '../map/search.ts';
import { type Step, step } from '../pass/pass.ts';

/** Graph passes: from the exporter's ops to token values. */
export const GRAPH_STEPS: readonly Step[] = [
  step(foldConstants, {}), // conditions of If, shape arithmetic, transposed weights
  step(inlineBranches, {}), // merged decoders: the branch a bound input takes
  step(ingestQuantized, {}), // scales are constants by now
  step(expandFused, {}), // a fused export becomes the plain one; quantized products are plain by now
  step(foldConstants, {}), // shape arithmetic that was inside the branch, dequantized weights
  step(dropIdentities, {}), // so that cones below are not cut by Identity and no-op casts
  step(cse, {}), // exporters repeat mask and angle code in every layer
  step(fuseNorms, {}),
  step(fuseActivations, {}), // after norms: their squares and roots are no activations
  step(liftTokens, {}),
  step(splitLinears, {}), // fused projections: each part gets its own layout
  step(ropeHalves, {}), // each of Q and K has a weight of its own by now
  step(cse, {}), // lifting may cut one slice twice
  step(deadCode, {}),
];

/** Everything after the graph: stages, regions, addresses, routes, cycles. */
export const PLAN_STEPS: readonly Step[] = [
  step(splitStages, {}),
  step(chooseRegions, {}),
  step(placeSerpentine, {}),
  step(assignMemory, {}),
  step(planRoutes, {}), // before cycles: routes that take turns cost writes
  step(predictCycles, {}),
];

/** {@link PLAN_STEPS} with regions as `goal` wants them. */
export const planSteps = (goal: SearchGoal): readonly Step[] =>
  PLAN_STEPS.map((s) => (s.pass === chooseRegions ? step(chooseRegions, { ...goal }) : s));

/** Needs attention to know whether the model streams. */
export const BIND_STEP: Step = step(bindLengths, {});

export const PIPELINE: readonly Step[] = [...GRAPH_STEPS, BIND_STEP, ...PLAN_STEPS];

/** {@link PIPELINE} with regions as `goal` wants them, and compression of the token graph before anything is sized. */
export const pipelineFor = (goal: SearchGoal, compression: readonly Step[] = []): readonly Step[] => [
  ...GRAPH_STEPS,
  ...compression,
  BIND_STEP,
  ...planSteps(goal),
];

/** Passes that change what the model computes, to make it smaller. */
export const COMPRESSION_PASSES: ReadonlySet<string> = new Set(
  [pruneDepth, pruneChannels, pruneWeights, scaleInputs, quantizeWeights, roundActivations, quantizeCache].map(
    ({ name }) => name,
  ),
);
