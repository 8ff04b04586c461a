/**
 * dead-code: drops what no output depends on.
 *
 * Before  any graph.
 * After   every op and constant is used by an output, and optional outputs that nothing reads are absent, so that
 *         later passes need not ask. Ops and values are in canonical order.
 * Skips   graph inputs: the host gives them whether they are read or not.
 */
import { id } from '../../src/ir/ids.ts';
import { definePass } from '../../src/pass/pass.ts';

/** Outputs from this index on may be left out, by the ONNX and contrib definitions. */
const OPTIONAL_FROM: Readonly<Record<string, number>> = {
  Dropout: 1,
  LayerNormalization: 1,
  MaxPool: 1,
  TopK: 2,
  'com.microsoft.SkipLayerNormalization': 1,
  'com.microsoft.SkipSimplifiedLayerNormalization': 1,
  'com.microsoft.EmbedLayerNormalization': 1,
};

export default definePass({
  name: 'dead-code',
  summary: 'drop what no output depends on',
  requires: [],
  provides: [],
  preserves: [],
  numerics: 'exact',
  options: {},
  run(program, { edit: begin, count }) {
    const { graph } = program;
    const edit = begin(graph);
    for (const index of graph.ops.keys()) {
      const op = id<'op'>(index);
      const { kind, outputs } = edit.op(op);
      for (let i = OPTIONAL_FROM[kind] ?? outputs.length; i < outputs.length; i++) {
        const value = outputs[i];
        if (value === null || edit.usersOf(value).length > 0 || edit.isOutput(value)) continue;
        edit.dropOutput(op, i);
        count('optional outputs dropped');
      }
    }
    const after = edit.finish();
    count('ops dropped', graph.ops.length - after.ops.length);
    count('constants dropped', graph.constants.size - after.constants.size);
    return { ...program, graph: after };
  },
});
