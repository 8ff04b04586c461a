/** The model beside a plan, imported the way the plan's own was: what verify runs and check compares weights with. */
import type { Program } from '../ir/facts.ts';
import type { Graph } from '../ir/graph.ts';
import { QUIET, runPasses } from '../pass/manager.ts';
import type { Plan } from '../plan/types.ts';
import type { WeightOf } from '../verify/coverage.ts';
import { loadModel } from './compile.ts';
import { GRAPH_STEPS } from './pipeline.ts';

export interface PlanModel {
  /** As imported: no pass has run on it. */
  readonly graph: Graph;
  /** What the plan's stages are made of: after the graph passes. */
  readonly tokens: Graph;
  /** The constants of `tokens`, as the plan's stages name them. */
  readonly weightOf: WeightOf;
}

/** @throws Diagnosed when the file at `path` is no model that wafc reads */
export function openPlanModel(plan: Plan, path: string): PlanModel {
  const { graph, roles } = loadModel(path, plan.mode.batch, bindingsOf(plan));
  const program: Program = { graph, roles, target: plan.target, mode: plan.mode };
  const tokens = runPasses(program, GRAPH_STEPS, QUIET).graph;
  const constants = new Map([...tokens.constants].map(([v, c]) => [tokens.names[v], c]));
  return {
    graph,
    tokens,
    weightOf: (stage, weight) => constants.get(plan.stages[stage].weights[weight].name),
  };
}

/** What `--bind` said when the plan was made. */
export const bindingsOf = (plan: Plan): Record<string, number> => {
  const { bindings } = plan.options;
  return typeof bindings === 'object' && bindings !== null ? (bindings as Record<string, number>) : {};
};
