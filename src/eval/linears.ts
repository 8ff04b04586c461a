/** The linear layers of a token graph, found by structure: what they read, what they are for. */
import type { Constant } from '../ir/constant.ts';
import type { Graph, Op } from '../ir/graph.ts';
import type { OpId, ValueId } from '../ir/ids.ts';

export interface Linear {
  /** Index into the graph's ops. */
  readonly op: OpId;
  /** Name of its output: unique in the graph. */
  readonly name: string;
  /** ONNX node it came from; parts of a fused projection share one. */
  readonly node: string;
  readonly x: ValueId;
  readonly weight: ValueId;
  /** [inputs, outputs]. */
  readonly constant: Constant;
  readonly bias: ValueId | null;
  readonly out: ValueId;
  /** Its outputs are the model's own: the logits of a language model. */
  readonly isHead: boolean;
  /** Its outputs are queries or keys, seen by nothing but scores. */
  readonly feedsScores: boolean;
}

/** Linear layers whose weight is a constant, in the order of the graph. */
export function linearsOf(graph: Graph): Linear[] {
  const uses = usersOf(graph);
  return graph.ops.flatMap((op, index) => {
    const [x, weight, bias = null] = op.inputs;
    const out = op.outputs[0];
    const constant = weight === null ? undefined : graph.constants.get(weight);
    if (op.kind !== 'wafc.linear' || x === null || weight === null || out === null || constant === undefined) return [];
    const isHead = reachesOnly(graph, uses, out, 'output');
    const feedsScores = reachesOnly(graph, uses, out, 'scores');
    return [
      {
        op: index as OpId,
        name: graph.names[out],
        node: op.origin.node,
        x,
        weight,
        constant,
        bias,
        out,
        isHead,
        feedsScores,
      },
    ];
  });
}

/** Ops that read a value, and where. */
export interface Use {
  readonly op: Op;
  readonly input: number;
}

export function usersOf(graph: Graph): ReadonlyMap<ValueId, readonly Use[]> {
  const uses = new Map<ValueId, Use[]>();
  for (const op of graph.ops) {
    for (const [input, value] of op.inputs.entries()) {
      if (value === null) continue;
      const known = uses.get(value);
      if (known === undefined) uses.set(value, [{ op, input }]);
      else known.push({ op, input });
    }
  }
  return uses;
}

/** Attention reads queries and keys here. */
const SCORE_INPUTS = 2;

/** Whether all ways from a value, through ops with one activation, end in outputs of the model, or in scores of attention. */
function reachesOnly(
  graph: Graph,
  uses: ReadonlyMap<ValueId, readonly Use[]>,
  value: ValueId,
  end: 'output' | 'scores',
): boolean {
  const isOutput = graph.outputs.includes(value);
  const users = uses.get(value) ?? [];
  if (isOutput !== (end === 'output') && (isOutput || users.length === 0)) return false;
  return users.every(({ op, input }) => {
    if (op.kind === 'wafc.attention') return end === 'scores' && input < SCORE_INPUTS;
    if (op.kind === 'wafc.linear') return false;
    const activations = op.inputs.filter((v) => v !== null && !graph.constants.has(v));
    if (activations.length > 1 && op.kind !== 'wafc.rope') return false;
    return op.outputs.every((v) => v === null || reachesOnly(graph, uses, v, end));
  });
}
