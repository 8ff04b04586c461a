/**
 * expand-fused: onnxruntime's fused ops become the plain ops they stand for.
 *
 * Before  com.microsoft norms, embeddings, activations, products and attention, as its optimizer and its model
 *         builder write them; RotaryEmbedding of ai.onnx with position ids; Einsum of two operands.
 * After   Add, MatMul, Gelu, LayerNormalization, RMSNormalization, RotaryEmbedding and Attention of ai.onnx, so that a
 *         fused export lowers to the graph of the plain one.
 * Skips   forms without a plain spelling (sinks, quantized caches, scores as outputs): a remark names each.
 */
import type { Graph, Op } from '../../src/ir/graph.ts';
import type { OpId, ValueId } from '../../src/ir/ids.ts';
import { inferTypes } from '../../src/frontend/infer.ts';
import { groupQuery, multiHead, packedAttention, rotary, rotaryByPosition } from '../../src/match/fused/attention.ts';
import { einsum, productOf } from '../../src/match/fused/einsum.ts';
import { Expansion, NotExpanded } from '../../src/match/fused/expansion.ts';
import {
  embedNorm,
  fusedGemm,
  fusedMatMul,
  gelu,
  quickGelu,
  skipLayerNorm,
  skipRmsNorm,
} from '../../src/match/fused/norms.ts';
import { definePass } from '../../src/pass/pass.ts';

/** By op kind. */
export const EXPANDED: Readonly<Record<string, (x: Expansion) => void>> = {
  'com.microsoft.SkipLayerNormalization': skipLayerNorm,
  'com.microsoft.SkipSimplifiedLayerNormalization': skipRmsNorm,
  'com.microsoft.EmbedLayerNormalization': embedNorm,
  'com.microsoft.Gelu': gelu('none'),
  'com.microsoft.BiasGelu': gelu('none'),
  'com.microsoft.FastGelu': gelu('tanh'),
  'com.microsoft.QuickGelu': quickGelu,
  'com.microsoft.FusedMatMul': fusedMatMul,
  'com.microsoft.FusedGemm': fusedGemm,
  'com.microsoft.Attention': packedAttention,
  'com.microsoft.MultiHeadAttention': multiHead,
  'com.microsoft.GroupQueryAttention': groupQuery,
  'com.microsoft.RotaryEmbedding': rotary,
  RotaryEmbedding: rotaryByPosition,
  Einsum: einsum,
};

/** What is left as it is: the plain rotation that this pass makes, and sums that are no product (angles of the host, most often). */
function isPlain(graph: Graph, op: Op): boolean {
  if (op.kind === 'RotaryEmbedding') return (op.inputs[3] ?? null) === null;
  if (op.kind !== 'Einsum') return false;
  const ranks = op.inputs.map((v) => graph.types[v as ValueId].shape.length);
  return productOf(op, ranks) === undefined;
}

export default definePass({
  name: 'expand-fused',
  summary: "take onnxruntime's fused ops apart",
  requires: [],
  provides: [],
  preserves: [],
  numerics: 'reassociates',
  options: {},
  run(program, { edit: begin, count, report }) {
    const { graph } = program;
    const fused = graph.ops.flatMap((op, at) =>
      Object.hasOwn(EXPANDED, op.kind) && !isPlain(graph, op) ? [{ op, at: at as OpId }] : [],
    );
    if (fused.length === 0) return program;
    const edit = begin(graph);
    let grouped = false;
    for (const { at } of fused) {
      // As edited so far: its inputs may come from an op that was taken apart before it.
      const op = edit.op(at);
      try {
        EXPANDED[op.kind](new Expansion(edit, op));
        count('ops taken apart');
        if (op.kind === 'com.microsoft.GroupQueryAttention' && !grouped) {
          grouped = true;
          report({
            code: 'compile/full-cache',
            severity: 'remark',
            message: 'GroupQueryAttention is placed for caches that hold exactly the past: seqlens_k is not read',
            node: op.origin.node,
          });
        }
      } catch (error) {
        if (!(error instanceof NotExpanded)) throw error;
        report({
          code: 'compile/fused-op',
          severity: 'remark',
          message: `${op.kind} is not taken apart: ${error.message} has no plain spelling here`,
          node: op.origin.node,
        });
      }
    }
    return { ...program, graph: inferTypes(edit.finish()) };
  },
});
