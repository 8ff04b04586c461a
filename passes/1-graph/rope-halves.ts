/**
 * rope-halves: rotations of neighbouring features become rotations of halves, the one canonical pairing.
 *
 * Before  wafc.rope with interleaved=1 on queries and keys that come from linear layers (complex-number spellings, GPT-J).
 * After   interleaved=0; the columns of both projections stand in the order that makes the same pairs halves. Queries and keys
 *         meet in a dot product only, so an order that both have changes nothing. Weights are read in that order, not copied.
 * Skips   attention with a cache: its keys are the model's interface, in the model's order; rotations of anything but a
 *         linear layer; quantized projections.
 */
import type { Graph, Op } from '../../src/ir/graph.ts';
import type { OpId, ValueId } from '../../src/ir/ids.ts';
import { producersOf } from '../../src/match/cone.ts';
import { definePass } from '../../src/pass/pass.ts';
import { canPermute, permutedColumns } from '../../src/tensor/permuted.ts';

export default definePass({
  name: 'rope-halves',
  summary: 'rotate halves where neighbours were rotated',
  requires: [],
  provides: [],
  preserves: [],
  numerics: 'reassociates',
  options: {},
  run(program, { edit: begin, count, report }) {
    const { graph } = program;
    if (!graph.ops.some(isInterleaved)) return program;
    const edit = begin(graph);
    const producers = producersOf(graph);
    const moved: Op[] = [];
    for (const op of graph.ops) {
      if (op.kind !== 'wafc.attention' || hasCache(graph, op)) continue;
      const sides = [op.inputs[0], op.inputs[1]].map((v) => sideOf(graph, producers, v as ValueId, op));
      const [q, k] = sides;
      if (q === undefined || k === undefined || q.rotary !== k.rotary || q.size !== k.size) continue;
      for (const { rope, ropeAt, linear, linearAt, order } of [q, k]) {
        const inputs = linear.inputs.map((v, i) => {
          const constant = i === 0 || v === null ? undefined : graph.constants.get(v);
          if (v === null || constant === undefined) return v;
          return edit.addConstant(`${graph.names[v]} (halves)`, permutedColumns(constant, order));
        });
        edit.rewriteOp(linearAt, { inputs });
        edit.rewriteOp(ropeAt, { attrs: { ...rope.attrs, interleaved: 0 } });
        count('rotations');
        moved.push(rope);
      }
    }
    if (moved.length > 0) {
      report({
        code: 'compile/rope-halves',
        severity: 'remark',
        message: `${moved.length} rotations of neighbouring features are computed as rotations of halves`,
        node: moved[0].origin.node,
      });
    }
    return { ...program, graph: edit.finish() };
  },
});

const isInterleaved = (op: Op): boolean => op.kind === 'wafc.rope' && op.attrs.interleaved === 1;

/** Keys that come from the host or go back to it. */
const hasCache = (graph: Graph, op: Op): boolean =>
  (op.inputs[3] ?? null) !== null || op.outputs.slice(1).some((v) => v !== null && isRead(graph, v));

const isRead = (graph: Graph, v: ValueId): boolean =>
  graph.outputs.includes(v) || graph.ops.some((op) => op.inputs.includes(v));

interface Side {
  readonly rope: Op;
  readonly ropeAt: OpId;
  readonly linear: Op;
  readonly linearAt: OpId;
  readonly rotary: number;
  /** Features of a head. */
  readonly size: number;
  /** Old column at each new place. */
  readonly order: Int32Array;
}

/** linear -> rope -> attention, with nothing else reading on the way. */
function sideOf(graph: Graph, producers: ReadonlyMap<ValueId, OpId>, v: ValueId, reader: Op): Side | undefined {
  const ropeAt = producers.get(v);
  const rope = ropeAt === undefined ? undefined : graph.ops[ropeAt];
  if (ropeAt === undefined || rope === undefined || !isInterleaved(rope) || !isReadOnlyBy(graph, v, reader))
    return undefined;
  const x = rope.inputs[0] as ValueId;
  const linearAt = producers.get(x);
  const linear = linearAt === undefined ? undefined : graph.ops[linearAt];
  if (linearAt === undefined || linear?.kind !== 'wafc.linear' || !isReadOnlyBy(graph, x, rope)) return undefined;
  const constants = linear.inputs.slice(1).map((c) => (c === null ? undefined : graph.constants.get(c)));
  if (!constants.every((c) => c !== undefined && canPermute(c))) return undefined;
  const { heads, rotary } = rope.attrs;
  const width = graph.types[x].shape[2];
  if (typeof heads !== 'number' || typeof rotary !== 'number' || typeof width !== 'number') return undefined;
  const size = width / heads;
  return { rope, ropeAt, linear, linearAt, rotary, size, order: halves(width, size, rotary) };
}

const isReadOnlyBy = (graph: Graph, v: ValueId, reader: Op): boolean =>
  !graph.outputs.includes(v) && graph.ops.every((op) => op === reader || !op.inputs.includes(v));

/** In every head: the first of each pair, then the second of each, then what is not rotated. */
function halves(width: number, size: number, rotary: number): Int32Array {
  return Int32Array.from({ length: width }, (_, i) => {
    const d = i % size;
    if (d >= rotary) return i;
    const half = rotary / 2;
    return i - d + (d < half ? 2 * d : 2 * (d - half) + 1);
  });
}
