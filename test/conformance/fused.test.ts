/** Fused ops of onnxruntime, taken apart: the plain ops give what the fused op gives, in every form that has a plain spelling. */
import { describe, expect, test } from 'vitest';
import expandFused from '../../passes/1-graph/expand-fused.ts';
import type { Diagnostic } from '../../src/diag/diagnostic.ts';
import { runGraph } from '../../src/exec/reference.ts';
import { importOnnx } from '../../src/frontend/import.ts';
import { openModelBytes } from '../../src/onnx/reader.ts';
import { QUIET, runPasses } from '../../src/pass/manager.ts';
import { step } from '../../src/pass/pass.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { TINY } from '../support/program.ts';
import { difference } from './compare.ts';
import { microsoftCases } from './microsoft-cases.ts';
import { encodeSingle, type SingleOp } from './single-op.ts';

const FUSED = new Set(
  `SkipLayerNormalization SkipSimplifiedLayerNormalization EmbedLayerNormalization Gelu BiasGelu FastGelu QuickGelu
   FusedMatMul FusedGemm Attention MultiHeadAttention GroupQueryAttention RotaryEmbedding`.split(/\s+/),
);

/** Forms without a plain spelling, by what is said of them. */
const KEPT: Readonly<Record<string, RegExp>> = {
  'a quantized cache': /-bit cache/,
  smooth_softmax: /smooth/,
  head_sink: /sink/,
};
/** Rows of a batch that are not all as long as the cache: such calls are outside of what a plan is made for. */
const RAGGED = /two lengths|later positions too, 1/;

function expanded(single: SingleOp) {
  const { graph, roles } = importOnnx(openModelBytes(encodeSingle(single)));
  const remarks: Diagnostic[] = [];
  const start = { graph, roles: roles.byName, target: TINY, mode: { kind: 'stream', batch: 1, context: 8 } } as const;
  const after = runPasses(start, [step(expandFused, {})], { ...QUIET, report: (d) => remarks.push(d) }).graph;
  return { graph, after, remarks };
}

describe('fused ops taken apart', () => {
  const cases = microsoftCases.filter(({ op, domain, name }) => domain !== '' && FUSED.has(op) && !RAGGED.test(name));
  for (const single of cases) {
    test(`${single.op}: ${single.name}`, () => {
      const { graph, after, remarks } = expanded(single);
      const kept = Object.entries(KEPT).find(([, names]) => names.test(single.name));
      const message = `com.microsoft.${single.op} is not taken apart: ${kept?.[0]} has no plain spelling here`;
      const exact = { code: 'compile/full-cache' };
      const expected = kept ? [{ code: 'compile/fused-op', message }] : single.op.startsWith('Group') ? [exact] : [];
      expect(remarks).toMatchObject(expected);
      expect(after.ops.some(({ kind }) => kind.startsWith('com.microsoft.'))).toBe(kept !== undefined);
      const feeds = new Map(single.inputs.flatMap((t, i): [string, Tensor][] => (t ? [[`x${i}`, t]] : [])));
      const found = runGraph(after, feeds);
      for (const [name, value] of runGraph(graph, feeds))
        expect(difference(value, found.get(name) as Tensor)).toBeUndefined();
    });
  }
});
