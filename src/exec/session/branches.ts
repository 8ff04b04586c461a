/** If, with a session of its own for each branch: what a branch reads of the graph around it is fed, constants stay constants. */
import type { Graph } from '../../ir/graph.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { capturesOf } from '../reference.ts';
import type { Slot } from './slot.ts';
import type { Step } from './step.ts';

/** Runs a graph prepared once. */
export type Run = (feeds: ReadonlyMap<string, Tensor>) => ReadonlyMap<string, Tensor>;

export interface Around {
  /** Prepares a graph. */
  prepare(graph: Graph): Run;
  read(slot: Slot): Tensor;
}

/** The results of the branch that the condition chooses; undefined for bodies that read past the graph around them. */
export function planIf(step: Step, around: Around): (() => readonly Tensor[]) | undefined {
  const { attrs, captured, inputs } = step;
  const [condition] = inputs;
  if (condition === null) return undefined;
  const branches = ['else_branch', 'then_branch'].map((branch) => {
    const body = attrs.graph(branch);
    const inside = new Set(body.names);
    const isWhole =
      [...body.captures.values()].every((name) => captured.has(name)) &&
      body.ops.flatMap(capturesOf).every((name) => inside.has(name));
    return isWhole ? branchOf(body, captured, around) : undefined;
  });
  const [otherwise, then] = branches;
  if (otherwise === undefined || then === undefined) return undefined;
  return () => (around.read(condition).data[0] !== 0 ? then() : otherwise());
}

function branchOf(body: Graph, captured: ReadonlyMap<string, Slot>, around: Around): () => readonly Tensor[] {
  const constants = new Map(body.constants);
  const fed = [...body.captures].flatMap(([value, name]) => {
    const slot = captured.get(name);
    if (slot === undefined) throw new Error(`${name} is not captured`);
    if (slot.constant === null) return [{ value, slot }];
    constants.set(value, slot.constant);
    return [];
  });
  const graph: Graph = { ...body, constants, inputs: fed.map(({ value }) => value), captures: new Map() };
  let run: Run | undefined;
  return () => {
    run ??= around.prepare(graph); // a branch that is never taken costs nothing
    const results = run(new Map(fed.map(({ value, slot }) => [body.names[value], around.read(slot)])));
    return body.outputs.map((value) => {
      const result = results.get(body.names[value]);
      if (result === undefined) throw new Error(`${body.names[value]} was not computed`);
      return result;
    });
  };
}
