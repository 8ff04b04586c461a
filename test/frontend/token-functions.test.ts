/** Token graphs as ONNX files: calls of functions that come back as the ops they were. */
import { expect, test } from 'vitest';
import { exportModel } from '../../src/frontend/export.ts';
import { importOnnx } from '../../src/frontend/import.ts';
import { parseGraph } from '../../src/ir/parse.ts';
import { openModelBytes } from '../../src/onnx/reader.ts';
import { encodeModelBytes } from '../../src/onnx/writer.ts';

test('attributes come back as they were, also numbers that are no f32', () => {
  const scale = 1 / Math.sqrt(8);
  const graph = parseGraph(
    `graph g (%x: f32[1,3,16]) -> %y {
       %y: f32[1,3,16] = wafc.attention %x, %x, %x {causal=1, heads=2, kvHeads=2, scale=${scale}, softcap=0.1, window=0}
     }`,
  );
  const model = exportModel(graph, 'test');
  expect(model.functions?.map(({ name, domain }) => `${domain}.${name}`)).toEqual(['wafc.attention']);
  const { graph: read } = importOnnx(openModelBytes(encodeModelBytes(model)));
  expect(read.ops.map(({ kind, attrs }) => ({ kind, attrs }))).toEqual([
    { kind: 'wafc.attention', attrs: graph.ops[0].attrs },
  ]);
});
