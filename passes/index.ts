/** Every pass, in pipeline order. The pipeline itself, with the reason for each entry, is src/driver/pipeline.ts. */
import type { PassRegistry } from '../src/pass/pass.ts';
import cse from './1-graph/cse.ts';
import deadCode from './1-graph/dead-code.ts';
import dropIdentities from './1-graph/drop-identities.ts';
import expandFused from './1-graph/expand-fused.ts';
import foldConstants from './1-graph/fold-constants.ts';
import fuseActivations from './1-graph/fuse-activations.ts';
import fuseNorms from './1-graph/fuse-norms.ts';
import ingestQuantized from './1-graph/ingest-quantized.ts';
import inlineBranches from './1-graph/inline-branches.ts';
import liftTokens from './1-graph/lift-tokens.ts';
import ropeHalves from './1-graph/rope-halves.ts';
import splitLinears from './1-graph/split-linears.ts';
import pruneChannels from './2-compress/prune-channels.ts';
import pruneDepth from './2-compress/prune-depth.ts';
import pruneWeights from './2-compress/prune-weights.ts';
import quantizeCache from './2-compress/quantize-cache.ts';
import roundActivations from './2-compress/round-activations.ts';
import quantizeWeights from './2-compress/quantize-weights.ts';
import scaleInputs from './2-compress/scale-inputs.ts';
import bindLengths from './3-partition/bind-lengths.ts';
import chooseRegions from './3-partition/choose-regions.ts';
import splitStages from './3-partition/split-stages.ts';
import assignMemory from './4-place/assign-memory.ts';
import placeSerpentine from './4-place/place-serpentine.ts';
import planRoutes from './5-route/plan-routes.ts';
import predictCycles from './6-schedule/predict-cycles.ts';

export const PASSES: PassRegistry = [
  inlineBranches,
  ingestQuantized,
  expandFused,
  foldConstants,
  dropIdentities,
  cse,
  fuseNorms,
  fuseActivations,
  liftTokens,
  splitLinears,
  ropeHalves,
  deadCode,
  scaleInputs,
  pruneDepth,
  pruneChannels,
  pruneWeights,
  quantizeWeights,
  quantizeCache,
  roundActivations,
  bindLengths,
  splitStages,
  chooseRegions,
  placeSerpentine,
  assignMemory,
  planRoutes,
  predictCycles,
];
