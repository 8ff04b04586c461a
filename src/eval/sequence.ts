/** A token graph run on whole sequences: feeds for ids without a past, and the logits it gives. */
import { fail } from '../diag/diagnostic.ts';
import { Session } from '../exec/session/session.ts';
import { bindDim, isKnown } from '../ir/dim.ts';
import type { IoRole } from '../ir/facts.ts';
import type { Graph } from '../ir/graph.ts';
import type { ValueId } from '../ir/ids.ts';
import { allocate, sizeOf, type Tensor, tensor } from '../tensor/tensor.ts';

/** A graph and what its inputs are. */
export interface Model {
  readonly graph: Graph;
  readonly roles: ReadonlyMap<string, IoRole>;
}

/** Feeds for one sequence of ids on an empty past; the batch of the graph must be 1. */
export function sequenceFeeds({ graph, roles }: Model, ids: ArrayLike<number>): Map<string, Tensor> {
  let isFirst = true;
  return new Map(
    graph.inputs.map((input) => {
      const name = graph.names[input];
      const { dtype, shape } = graph.types[input];
      const dims = shape.map((d) => {
        const bound = bindDim(d, { B: 1, S: ids.length, P: 0 });
        if (isKnown(bound)) return bound;
        return fail({ code: 'eval/input', message: `input ${name} has a dim that a sequence does not bind` });
      });
      const data = allocate(dtype, sizeOf(dims));
      const kind = roles.get(name)?.kind ?? 'plain';
      if (kind === 'tokens') {
        // Further inputs of this role are token types: all 0.
        if (isFirst) data.set(Array.from(ids));
        isFirst = false;
      } else if (kind === 'positions') for (let i = 0; i < data.length; i++) data[i] = i % (dims.at(-1) ?? 1);
      else if (kind === 'mask') data.fill(1);
      else if (kind === 'plain' && data.length > 0)
        fail({
          code: 'eval/input',
          message: `input ${name} is neither ids, positions, mask nor past`,
          notes: ['only language models over token ids are calibrated and evaluated'],
        });
      return [name, tensor(dtype, dims, data)];
    }),
  );
}

/** The output that holds a number for each word of the vocabulary, [1, S, V]. @throws Diagnosed `eval/no-logits`. */
export function logitsOf({ graph, roles }: Model): ValueId {
  const found = graph.outputs.find(
    (v) => roles.get(graph.names[v])?.kind !== 'present' && graph.types[v].shape.length === 3,
  );
  return found ?? fail({ code: 'eval/no-logits', message: `${graph.name} has no output of logits for each token` });
}

/** Sessions live as long as their graphs: weights are packed once for all sequences. */
const sessions = new WeakMap<Graph, Session>();

/** Logits [S, V] of a sequence. */
export function runSequence(model: Model, ids: ArrayLike<number>): Tensor {
  const { graph } = model;
  const name = graph.names[logitsOf(model)];
  const session = sessions.get(graph) ?? new Session(graph);
  sessions.set(graph, session);
  const logits = session.run(sequenceFeeds(model, ids), [name]).get(name);
  if (logits === undefined) throw new Error(`${name} was not computed`);
  return { ...logits, shape: logits.shape.slice(1) };
}

/** Shows values of the graph for every window of ids, from an empty past. */
export function runValues(
  model: Model,
  windows: readonly Int32Array[],
  values: readonly ValueId[],
  visit: (value: ValueId, found: Tensor) => void,
): void {
  const { graph } = model;
  const distinct = [...new Set(values)];
  const session = new Session({ ...graph, outputs: distinct });
  for (const ids of windows) {
    const found = session.run(sequenceFeeds(model, ids));
    for (const v of distinct) {
      const value = found.get(graph.names[v]);
      if (value === undefined) throw new Error(`${graph.names[v]} was not computed`);
      visit(v, value);
    }
  }
}
