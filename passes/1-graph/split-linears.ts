/**
 * split-linears: a slice of a linear layer's features is a smaller linear layer.
 *
 * Before  wafc.slice of wafc.linear (a fused QKV projection, a fused gate and up).
 * After   one wafc.linear per slice, whose weight is a view of the same bytes: each part can have its own layout,
 *         and nothing is cut out of activations.
 * Skips   slices of anything else; slices of layers whose whole output is used too.
 */
import { type Constant, sliceConstant } from '../../src/ir/constant.ts';
import type { ValueId } from '../../src/ir/ids.ts';
import { definePass } from '../../src/pass/pass.ts';

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
    const isWhole = (v: ValueId): boolean =>
      graph.outputs.includes(v) || graph.ops.some((op) => op.kind !== 'wafc.slice' && op.inputs.includes(v));
    for (const op of graph.ops) {
      const linear = op.kind === 'wafc.slice' ? linears.get(op.inputs[0] as ValueId) : undefined;
      if (linear === undefined || isWhole(op.inputs[0] as ValueId)) continue;
      const [x, weight, bias] = linear.inputs as ValueId[];
      const w = graph.constants.get(weight);
      const b = bias === undefined ? undefined : graph.constants.get(bias);
      const { start, end } = op.attrs;
      if (
        w === undefined ||
        typeof start !== 'number' ||
        typeof end !== 'number' ||
        (bias !== undefined && b === undefined)
      )
        continue;
      const cut = (v: ValueId, c: Constant, axis: number): ValueId =>
        edit.addConstant(`${graph.names[v]}[${start}:${end}]`, sliceConstant(c, axis, start, end));
      const [out] = edit.addOp({
        ...linear,
        inputs: [x, cut(weight, w, 1), ...(b ? [cut(bias, b, 0)] : [])],
        outputs: [{ type: graph.types[op.outputs[0] as ValueId], name: graph.names[op.outputs[0] as ValueId] }],
      });
      edit.replaceUses(op.outputs[0] as ValueId, out);
      count('parts cut');
    }
    return { ...program, graph: edit.finish() };
  },
});
