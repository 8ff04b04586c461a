/** MatMulNBits with g_idx: groups in the order of the columns are blocks, others are refused by name. */
import { expect, test } from 'vitest';
import { Diagnosed } from '../../src/diag/diagnostic.ts';
import { parseGraph } from '../../src/ir/parse.ts';
import { printGraph } from '../../src/ir/print.ts';
import { QUIET, runPasses } from '../../src/pass/manager.ts';
import { step } from '../../src/pass/pass.ts';
import { loadTarget } from '../../src/target/load.ts';
import ingestQuantized from '../../passes/1-graph/ingest-quantized.ts';

function ingested(groups: readonly number[]): string {
  const graph = parseGraph(`graph g opset 17 (%x: f32[S,64]) -> %y {
  %b = const u8[40,2,16] @"b"
  %s = const f32[80] @"s"
  %g = const i32[64] [${groups.join(', ')}]
  %y: f32[S,40] = com.microsoft.MatMulNBits %x, %b, %s, _, %g {K=64, N=40, bits=4, block_size=32}  // node /fc/MatMul
}
`);
  const mode = { kind: 'whole', batch: 1, context: 8 } as const;
  const start = { graph, roles: new Map(), target: loadTarget('mesh-8x8'), mode };
  return printGraph(runPasses(start, [step(ingestQuantized, {})], QUIET).graph);
}

const blocks = Array.from({ length: 64 }, (_, k) => Math.floor(k / 32));

test('in order', () => {
  expect(ingested(blocks)).toContain('stored u4 scales(f32[2,40] @"s" strides(1,2)) zeros(8) block(32,1)');
});

test('in another order', () => {
  let found: unknown;
  try {
    ingested(blocks.with(5, 1));
  } catch (error) {
    found = error;
  }
  expect(found).toBeInstanceOf(Diagnosed);
  expect(found instanceof Diagnosed && found.diagnostics).toEqual([
    {
      severity: 'error',
      code: 'todo/group-order',
      message: 'MatMulNBits has g_idx: column 5 is expected in group 0, found in 1',
      node: '/fc/MatMul',
      notes: ['quantize again with static groups (desc_act off, or act-order with static_groups): they need no g_idx'],
    },
  ]);
});
