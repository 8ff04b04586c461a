/**
 * Weights full of zeros while regions are searched. The search takes tiles to be as full as the whole weight; the tiles of the layouts it
 * chooses are then counted, in one streamed pass over those weights, and where the fullest core turns out too full the search is told by how much.
 */
import { sparseEstimate, tileElements } from '../cost/tile.ts';
import type { Constant } from '../ir/constant.ts';
import type { Stages } from '../ir/facts.ts';
import type { Graph } from '../ir/graph.ts';
import type { ValueId } from '../ir/ids.ts';
import type { ProgramTensor, RegionProgram } from '../ir/program.ts';
import { densityOf, mayBeSparse, sparsityOf } from '../plan/sparse-count.ts';
import type { Densities } from './stage-context.ts';

/** By template and weight, standard deviations by which the fullest tile exceeds its share. */
export type Spreads = ReadonlyMap<ValueId, number>;

/** The constants of weight `w` of a template, one a stage. */
function constantsOf({ stages }: Stages, graph: Graph, template: number, w: number): Constant[] {
  return stages.flatMap((stage) => {
    const constant = stage.template === template ? graph.constants.get(stage.weights[w]) : undefined;
    return constant === undefined ? [] : [constant];
  });
}

/** Weights of exemplars that have zeros worth leaving out. */
export function densitiesOf(graph: Graph, stages: Stages, spreads: Spreads): Densities {
  const found = new Map(
    stages.templates.flatMap(({ exemplar }, t) =>
      stages.stages[exemplar].weights.flatMap((v, w) => {
        const constants = constantsOf(stages, graph, t, w);
        const density = constants.every(mayBeSparse) ? densityOf(constants, spreads.get(v) ?? 0) : null;
        return density === null ? [] : [[v, density] as const];
      }),
    ),
  );
  return found;
}

export interface CountedPrograms {
  readonly programs: readonly RegionProgram[];
  /** Of weights whose fullest tile is fuller than the search took it to be. */
  readonly spreads: Spreads;
}

/** Programs with tiles as they are: sparse where that is smaller. */
export function countPrograms(
  programs: readonly RegionProgram[],
  graph: Graph,
  stages: Stages,
  before: Spreads,
): CountedPrograms {
  const spreads = new Map(before);
  const made = programs.map((program, t): RegionProgram => {
    const { shape, weights, weightSources } = program;
    if (program.tensors.every(({ density }) => density === undefined)) return program;
    const tensors = program.tensors.map((tensor, at): ProgramTensor => {
      const { density, ...dense } = tensor;
      if (density === undefined) return tensor;
      const source = weightSources[weights.indexOf(at)];
      const v = stages.stages[stages.templates[t].exemplar].weights[source];
      const sparsity = sparsityOf(constantsOf(stages, graph, t, source), dense, shape);
      const estimate = sparseEstimate(tensor, shape);
      const values = sparsity?.nonZeros.max ?? tileElements(dense, shape);
      if (estimate !== undefined && values > estimate.values)
        spreads.set(v, Math.max(spreads.get(v) ?? 0, deviations(values, tileElements(dense, shape), density.share)));
      return sparsity === undefined ? dense : { ...dense, sparsity };
    });
    return { ...program, tensors };
  });
  return { programs: made, spreads };
}

/** How far `values` of `elements` are above their share, in standard deviations of chance. */
const deviations = (values: number, elements: number, share: number): number =>
  (values - elements * share) / Math.sqrt(Math.max(Number.EPSILON, elements * share * (1 - share)));
