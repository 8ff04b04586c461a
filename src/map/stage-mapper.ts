/** One stage -> one region program: the one of least predicted cycles that the rules and the search give. */
import type { IoRole, Stage } from '../ir/facts.ts';
import type { Graph } from '../ir/graph.ts';
import type { RegionProgram, RegionShape } from '../ir/program.ts';
import type { Target } from '../ir/target.ts';
import { bestLayouts } from './layout-search.ts';
import { ALL_REWRITES, type MapOptions } from './rewrites.ts';
import { StageContext, type StepSize } from './stage-context.ts';

export { hasRegionRule } from './rules/index.ts';
export type { MapOptions } from './rewrites.ts';
export type { StepSize } from './stage-context.ts';

/** The region program of a stage on `shape`. Throws Diagnosed `map/..` for an op that has no rule. */
export function mapStage(
  graph: Graph,
  roles: ReadonlyMap<string, IoRole>,
  stage: Stage,
  shape: RegionShape,
  size: StepSize,
  target: Target,
  options: MapOptions = ALL_REWRITES,
): RegionProgram {
  return bestLayouts(new StageContext({ graph, roles, stage, shape, size, target, options })).program;
}
