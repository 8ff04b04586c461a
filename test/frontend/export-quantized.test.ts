/** Quantized constants as ONNX, and back: the same values bit for bit, the same codes, the same names. */
import { describe, expect, test } from 'vitest';
import { runGraph } from '../../src/exec/reference.ts';
import { exportModel } from '../../src/frontend/export.ts';
import { importOnnx } from '../../src/frontend/import.ts';
import { isQuantized } from '../../src/ir/constant.ts';
import type { Graph } from '../../src/ir/graph.ts';
import { printConstant } from '../../src/ir/print.ts';
import { openModelBytes } from '../../src/onnx/reader.ts';
import { encodeModelBytes } from '../../src/onnx/writer.ts';
import { QUIET, runPasses } from '../../src/pass/manager.ts';
import { step } from '../../src/pass/pass.ts';
import { loadTarget } from '../../src/target/load.ts';
import { readConstant } from '../../src/tensor/read.ts';
import { randomStream } from '../../src/util/rng.ts';
import foldConstants from '../../passes/1-graph/fold-constants.ts';
import ingestQuantized from '../../passes/1-graph/ingest-quantized.ts';
import { randomFeeds } from '../support/numerics.ts';
import { graphOf, QUANTIZED_CASES } from './quantized-graphs.ts';

function ingested(graph: Graph): Graph {
  const start = { graph, roles: new Map(), target: loadTarget('mesh-8x8') };
  const mode = { kind: 'whole', batch: 1, context: 8 } as const;
  return runPasses({ ...start, mode }, [step(foldConstants, {}), step(ingestQuantized, {})], QUIET).graph;
}

/** What the constant is, wherever its bytes are: type, groups, and hashes of codes, scales and zero points. */
function portrait(graph: Graph): string {
  const c = [...graph.constants.values()].find(isQuantized);
  if (c === undefined) return 'nothing quantized';
  const { scales, zeros, block, phase, rounded } = c.quantization;
  const numbers = (of: typeof scales | number): string =>
    typeof of === 'number' ? String(of) : `${of.stored} ${readConstant(of).data.join()}`;
  const groups = block.map((b, d) => Math.min(b, c.shape[d] + phase[d]));
  return [
    c.dtype,
    c.shape,
    c.stored,
    groups,
    phase,
    rounded,
    readConstant(c).data,
    numbers(scales),
    numbers(zeros),
  ].join(' ');
}

describe('export', () => {
  test.each(QUANTIZED_CASES)('$name', (drawn) => {
    const graph = graphOf(drawn);
    const model = exportModel(graph, 'test');
    expect(model.graph.nodes.map((n) => n.opType).join(' ')).toBe(drawn.ops);
    const { graph: read } = importOnnx(openModelBytes(encodeModelBytes(model)));
    const back = ingested(read);
    const feeds = randomFeeds(graph, randomStream(1, 'feeds'), 1);
    const expected = runGraph(graph, feeds);
    expect(runGraph(read, feeds)).toEqual(expected);
    expect(runGraph(back, feeds)).toEqual(expected);
    expect(back.ops.map((op) => op.kind)).toEqual(graph.ops.map((op) => op.kind));
    expect([...back.constants.keys()].map((v) => back.names[v])).toEqual(['w']);
    if (drawn.back === undefined) expect(portrait(back)).toBe(portrait(graph));
    else expect([...back.constants.values()].map((c) => c.stored)).toEqual([drawn.back]);
  });

  test('codes that are in the order of MatMulNBits are the bytes of the file', () => {
    const [graph] = [QUANTIZED_CASES[0]].map(graphOf);
    const [c] = graph.constants.values();
    const [codes] = exportModel(graph, 'test').graph.initializers;
    expect('chunks' in codes.source).toBe(false);
    expect([codes.dtype, codes.shape]).toEqual(['u8', [40, 2, 16]]);
    expect(printConstant(c)).toContain('strides(1,64) stored u4');
  });
});
