/** Feed-forward blocks of a token graph, by structure: linear layers whose outputs meet element by element, and the layers that read what comes of it. */
import { type Linear, usersOf } from '../eval/linears.ts';
import { elementCount, isQuantized } from '../ir/constant.ts';
import type { Graph, Op } from '../ir/graph.ts';
import type { ValueId } from '../ir/ids.ts';
import { opFor } from '../ops/registry.ts';

export interface Ffn {
  /** What the last layers read, [.., channels]. */
  readonly x: ValueId;
  readonly channels: number;
  /** Layers that give the channels: one output each. */
  readonly ups: readonly Linear[];
  /** Layers that read them: one input each. */
  readonly downs: readonly Linear[];
  /** Constants of a number a channel between them. */
  readonly vectors: readonly ValueId[];
}

/** Blocks whose channels nothing else sees, in the order of the graph. Layers that share weights with others are in none. */
export function ffnsOf(graph: Graph, linears: readonly Linear[]): Ffn[] {
  const uses = usersOf(graph);
  const producers = new Map(
    graph.ops.flatMap((op) => op.outputs.flatMap((v) => (v === null ? [] : [[v, op] as const]))),
  );
  const byOp = new Map(linears.map((linear) => [graph.ops[linear.op], linear]));
  const isOwn = ({ weight, bias, constant }: Linear): boolean =>
    !isQuantized(constant) &&
    (uses.get(weight) ?? []).length === 1 &&
    (bias === null || (graph.constants.has(bias) && (uses.get(bias) ?? []).length === 1)) &&
    linears.filter((other) => other.constant === constant).length === 1;
  const found: Ffn[] = [];
  for (const x of new Set(linears.map((linear) => linear.x))) {
    const downs = linears.filter((linear) => linear.x === x);
    const channels = graph.types[x].shape.at(-1);
    const cone = coneOf(graph, x, producers, byOp);
    if (cone === undefined || cone.ups.length === 0 || typeof channels !== 'number') continue;
    const inside = new Set<Op>([...cone.ops, ...downs.map(({ op }) => graph.ops[op])]);
    const seen = [...cone.values].every(
      (v) =>
        !graph.outputs.includes(v) &&
        graph.types[v].shape.at(-1) === channels &&
        (uses.get(v) ?? []).every(({ op, input }) => inside.has(op) && (op.kind !== 'wafc.linear' || input === 0)),
    );
    if (seen && [...cone.ups, ...downs].every(isOwn) && !downs.some(({ isHead }) => isHead))
      found.push({ x, channels, ups: cone.ups, downs, vectors: [...cone.vectors] });
  }
  return found;
}

interface Cone {
  readonly ups: readonly Linear[];
  readonly ops: ReadonlySet<Op>;
  readonly values: ReadonlySet<ValueId>;
  readonly vectors: ReadonlySet<ValueId>;
}

/** What a value is computed from, element by element, back to linear layers; undefined where something else is behind it. */
function coneOf(
  graph: Graph,
  x: ValueId,
  producers: ReadonlyMap<ValueId, Op>,
  byOp: ReadonlyMap<Op, Linear>,
): Cone | undefined {
  const ups = new Set<Linear>();
  const ops = new Set<Op>();
  const [values, vectors] = [new Set<ValueId>(), new Set<ValueId>()];
  const channels = graph.types[x].shape.at(-1);
  const open = [x];
  for (let v = open.pop(); v !== undefined; v = open.pop()) {
    if (values.has(v)) continue;
    const constant = graph.constants.get(v);
    if (constant !== undefined) {
      if (elementCount(constant.shape) === 1) continue;
      if (isQuantized(constant) || constant.shape.at(-1) !== channels || elementCount(constant.shape) !== channels)
        return undefined;
      vectors.add(v);
      continue;
    }
    values.add(v);
    const op = producers.get(v);
    const linear = op && byOp.get(op);
    if (linear !== undefined) {
      ups.add(linear);
      continue;
    }
    if (op === undefined || opFor(op.kind)?.trait !== 'elementwise') return undefined;
    ops.add(op);
    for (const input of op.inputs) if (input !== null) open.push(input);
  }
  return { ups: [...ups], ops, values, vectors };
}
