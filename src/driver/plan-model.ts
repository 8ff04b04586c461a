/** The model beside a plan, imported the way the plan's own was: what verify runs and check compares weights with. */
import { fail } from '../diag/diagnostic.ts';
import { isKnown } from '../ir/dim.ts';
import type { Program } from '../ir/facts.ts';
import type { Graph } from '../ir/graph.ts';
import { printTensorType } from '../ir/print.ts';
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
  const { graph, roles } = loadModelOf(plan, path);
  const program: Program = { graph, roles, target: plan.target, mode: plan.mode };
  const tokens = runPasses(program, GRAPH_STEPS, QUIET).graph;
  const constants = new Map([...tokens.constants].map(([v, c]) => [tokens.names[v], c]));
  return {
    graph,
    tokens,
    weightOf: (stage, weight) => constants.get(plan.stages[stage].weights[weight].name),
  };
}

/**
 * The model at `path` as the plan binds it.
 * @throws Diagnosed when it is no model that wafc reads, and `plan/other-model` when its inputs and outputs are not the plan's
 */
export function loadModelOf(plan: Plan, path: string): Pick<Program, 'graph' | 'roles'> {
  const loaded = loadModel(path, plan.mode.batch, bindingsOf(plan));
  const { graph } = loaded;
  const sidesOf = [
    { what: 'input', planned: plan.inputs, values: graph.inputs },
    { what: 'output', planned: plan.outputs, values: graph.outputs },
  ];
  const faults = sidesOf.flatMap(({ what, planned, values }) => {
    const types = new Map(values.map((v) => [graph.names[v], graph.types[v]]));
    return planned.flatMap(({ name, dtype, shape }): string[] => {
      const found = types.get(name);
      if (found === undefined) return [`${what} ${name}: the model has none`];
      // Lengths that the plan has bound are open in the model.
      const isSame =
        found.dtype === dtype &&
        found.shape.length === shape.length &&
        found.shape.every((d, i) => !isKnown(d) || typeof shape[i] !== 'number' || d === shape[i]);
      return isSame
        ? []
        : [`${what} ${name}: ${dtype}[${shape.join()}] in the plan, ${printTensorType(found)} in the model`];
    });
  });
  if (faults.length > 0)
    fail({
      code: 'plan/other-model',
      message: `${path} is not the model of the plan: ${faults[0]}`,
      notes: faults.slice(1, 4),
    });
  return loaded;
}

/** What `--bind` said when the plan was made. */
const bindingsOf = (plan: Plan): Record<string, number> => {
  const { bindings } = plan.options;
  return typeof bindings === 'object' && bindings !== null ? (bindings as Record<string, number>) : {};
};
