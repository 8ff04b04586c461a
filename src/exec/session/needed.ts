/** The ops of a graph that a session runs, what they are, and whose fault it is when one fails. */
import { Diagnosed, fail } from '../../diag/diagnostic.ts';
import type { Graph, Op } from '../../ir/graph.ts';
import type { ValueId } from '../../ir/ids.ts';
import type { OpDef } from '../../ops/op.ts';
import { opFor } from '../../ops/registry.ts';
import { capturesOf } from '../reference.ts';
import type { Step } from './step.ts';

/** What an op is. @throws Diagnosed `onnx/unsupported-op` */
export function defOf({ kind, origin }: Op): OpDef {
  const def = opFor(kind);
  return def ?? fail({ code: 'onnx/unsupported-op', message: `${kind} is not supported`, node: origin.node });
}

/** The ops that the outputs of `graph` need, in order. */
export function neededOps(graph: Graph): Op[] {
  const wanted = new Set<ValueId>(graph.outputs);
  const ids = new Map(graph.names.map((name, v) => [name, v as ValueId]));
  const needed: Op[] = [];
  for (const op of graph.ops.toReversed()) {
    if (!op.outputs.some((v) => v !== null && wanted.has(v))) continue;
    needed.push(op);
    for (const v of op.inputs) if (v !== null) wanted.add(v);
    for (const name of capturesOf(op)) {
      const v = ids.get(name);
      if (v !== undefined) wanted.add(v);
    }
  }
  return needed.reverse();
}

/** The fault of a step, with the node it came from; the step is planned anew in the next call. */
export function located(error: unknown, step: Step): Error {
  step.dirty = true;
  const { kind, origin } = step.op;
  const message = `${kind} at ${origin.node} failed`;
  // Kernels name their node themselves.
  if (error instanceof Error && error.message === message) return error;
  if (!(error instanceof Diagnosed)) return new Error(message, { cause: error });
  return new Diagnosed(error.diagnostics.map((d) => ({ node: origin.node, ...d })));
}
