/**
 * split-linears: some of the features of a linear layer are a smaller linear layer.
 *
 * Before  wafc.slice or wafc.select of wafc.linear (a fused QKV projection, one with q, k and v of each head side by side, a fused gate and up).
 * After   one wafc.linear per part, whose weight is a view of the same bytes: each part can have its own layout,
 *         and nothing is cut out of activations.
 * Skips   parts of anything else; parts of layers whose whole output is used too; scattered features of quantized layers.
 */
import { type Constant, sliceConstant } from '../../src/ir/constant.ts';
import type { Graph, Op } from '../../src/ir/graph.ts';
import type { ValueId } from '../../src/ir/ids.ts';
import { definePass } from '../../src/pass/pass.ts';
import { canPermute, permutedColumns } from '../../src/tensor/permuted.ts';

const PARTS: ReadonlySet<string> = new Set(['wafc.slice', 'wafc.select']);

export default definePass({
  name: 'split-linears',
  summary: 'cut fused projections into their parts',
  requires: [],
  provides: [],
  preserves: [],
  numerics: 'exact',
  options: {},
  run(program, { edit: begin, count }) {
    const { graph } = program;
    const edit = begin(graph);
    const linears = new Map(
      graph.ops.filter((op) => op.kind === 'wafc.linear').map((op) => [op.outputs[0] as ValueId, op]),
    );
    for (const [whole, linear] of linears) {
      const parts = partsOf(graph, whole);
      const constants = linear.inputs.slice(1).map((v) => (v === null ? undefined : graph.constants.get(v)));
      if (parts === undefined || constants.some((c) => c === undefined)) continue;
      const columns = parts.map((op) => columnsOf(op));
      if (!columns.every((part) => constants.every((c) => part.canTake(c as Constant)))) continue;
      for (const [i, op] of parts.entries()) {
        const out = op.outputs[0] as ValueId;
        const views = linear.inputs
          .slice(1)
          .map((v, k) =>
            edit.addConstant(
              `${graph.names[v as ValueId]}[${columns[i].label}]`,
              columns[i].take(constants[k] as Constant),
            ),
          );
        const [smaller] = edit.addOp({
          ...linear,
          inputs: [linear.inputs[0], ...views],
          outputs: [{ type: graph.types[out], name: graph.names[out] }],
        });
        edit.replaceUses(out, smaller);
        count('parts cut');
      }
    }
    return { ...program, graph: edit.finish() };
  },
});

/** What reads a layer, when each of them reads a part; features that several read would be computed as often. */
function partsOf(graph: Graph, whole: ValueId): readonly Op[] | undefined {
  if (graph.outputs.includes(whole)) return undefined;
  const readers = graph.ops.filter(({ inputs }) => inputs.includes(whole));
  const width = graph.types[whole].shape.at(-1);
  const taken = readers.reduce((n, { outputs }) => n + Number(graph.types[outputs[0] as ValueId].shape.at(-1)), 0);
  return readers.length > 0 && readers.every(({ kind }) => PARTS.has(kind)) && taken <= Number(width)
    ? readers
    : undefined;
}

/** Columns of a weight, or elements of a bias. */
interface Columns {
  readonly label: string;
  canTake(c: Constant): boolean;
  take(c: Constant): Constant;
}

function columnsOf({ kind, attrs }: Op): Columns {
  if (kind === 'wafc.slice') {
    const [start, end] = [Number(attrs.start), Number(attrs.end)];
    const take = (c: Constant): Constant => sliceConstant(c, c.shape.length - 1, start, end);
    return { label: `${start}:${end}`, canTake: () => true, take };
  }
  const indices = Int32Array.from(attrs.indices as readonly number[]);
  return { label: `${indices[0]}..`, canTake: canPermute, take: (c) => permutedColumns(c, indices) };
}
