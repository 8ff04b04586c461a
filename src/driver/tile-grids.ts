/**
 * `--prune ..:tile`: masks are balanced over the tiles that cores will hold, which the mapper chooses for the pruned model. So the plan is
 * rehearsed: with masks by magnitude and codes rounded to nearest, which take the same bytes as those of any method, the search finds its
 * regions; what it cuts each layer into is where the real masks are balanced.
 */
import pruneWeights from '../../passes/2-compress/prune-weights.ts';
import quantizeWeights from '../../passes/2-compress/quantize-weights.ts';
import scaleInputs from '../../passes/2-compress/scale-inputs.ts';
import type { Diagnostic } from '../diag/diagnostic.ts';
import { Diagnosed } from '../diag/diagnostic.ts';
import { linearsOf } from '../eval/linears.ts';
import type { Program } from '../ir/facts.ts';
import { axisSize } from '../ir/program.ts';
import type { SearchGoal } from '../map/search.ts';
import { QUIET, runPasses } from '../pass/manager.ts';
import { type Step, step } from '../pass/pass.ts';
import { BIND_STEP, GRAPH_STEPS, planSteps } from './pipeline.ts';

/** Stages and regions. */
const PLANNED = 2;

/** Whether any step balances tiles. */
export const balancesTiles = (steps: readonly Step[]): boolean => steps.some((s) => structureOf(s) === 'tile');

const structureOf = ({ pass, options }: Step): unknown =>
  pass.name === pruneWeights.name ? new Map<string, unknown>(Object.entries(options)).get('structure') : undefined;

/**
 * `layer=rows x cols` for prune-weights, from a rehearsal of `steps`; none where the rehearsal finds no regions: why is said when the plan is
 * made in earnest.
 */
export function rehearsedGrids(start: Program, steps: readonly Step[], goal: SearchGoal): readonly string[] {
  const quick = steps.flatMap((s): Step[] => {
    if (s.pass.name === scaleInputs.name) return [];
    if (s.pass.name === pruneWeights.name)
      return [
        step(pruneWeights, { ...s.options, method: 'magnitude', structure: 'layer', owl: false, format: 'keep' }),
      ];
    return s.pass.name === quantizeWeights.name
      ? [step(quantizeWeights, { ...s.options, algorithm: 'rtn', correctBias: false })]
      : [s];
  });
  try {
    const planned = [...GRAPH_STEPS, ...quick, BIND_STEP, ...planSteps(goal).slice(0, PLANNED)];
    return gridsOf(runPasses(start, planned, QUIET));
  } catch (error) {
    if (error instanceof Diagnosed) return [];
    throw error;
  }
}

/** How the regions of a plan cut each linear layer: sizes of the axes that cut its outputs and its inputs, outermost first. */
export function gridsOf({ graph, stages, mapping }: Program): readonly string[] {
  if (stages === undefined || mapping === undefined) return [];
  const linears = new Map(linearsOf(graph).map((linear) => [linear.weight, linear.name]));
  return stages.stages.flatMap(({ template, weights: held }) => {
    const { shape, tensors, weights, weightSources } = mapping.programs[template];
    return weightSources.flatMap((source, w) => {
      const name = linears.get(held[source]);
      const { dims, woven } = tensors[weights[w]].layout;
      if (name === undefined || dims.length !== 2) return [];
      const [inputs, outputs] = dims.map((axes, d) => {
        const cuts = axes.map((axis) => axisSize(shape, axis)).join('.') || '1';
        return woven?.dim === d ? `${cuts}~${woven.runs}.${woven.lanes}` : cuts;
      });
      return [`${name}=${outputs}x${inputs}`];
    });
  });
}

/** Says when the plan cuts layers otherwise than their masks are balanced for. */
export function balanceRemark(grids: readonly string[], program: Program): Diagnostic[] {
  const actual = new Set(gridsOf(program));
  const others = grids.filter((grid) => !actual.has(grid));
  if (others.length === 0 && grids.length > 0) return [];
  return [
    {
      code: 'compress/tiles',
      severity: 'remark',
      message:
        grids.length === 0
          ? 'no rehearsal of the plan found regions: masks are balanced over blocks of 16 x 16 weights'
          : `${others.length} of ${grids.length} layers are cut otherwise than their masks are balanced for`,
    },
  ];
}
