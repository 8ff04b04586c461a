/** A decoder in a session against the same graph run anew for every call, on the model that comes with the repository. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runGraph } from '../../src/exec/reference.ts';
import { importModel } from '../../src/frontend/import.ts';
import { type Decoder, type DecoderInterface, graphDecoder, sessionDecoder } from '../../src/generate/decoder.ts';
import { generateGreedy } from '../../src/generate/generate.ts';

const pico = join(import.meta.dirname, '../../models/pico');

function open(file: string): { io: DecoderInterface; graph: ReturnType<typeof importModel>['graph'] } {
  const { graph, roles } = importModel(join(pico, file));
  const io = (v: (typeof graph.inputs)[number]) => ({
    name: graph.names[v],
    ...graph.types[v],
    role: roles.byName.get(graph.names[v]) ?? { kind: 'plain' as const },
  });
  return { io: { inputs: graph.inputs.map(io), outputs: graph.outputs.map(io), context: 256 }, graph };
}

async function expectSame(a: Decoder, b: Decoder, ids: readonly number[]): Promise<void> {
  const [found, expected] = [await a.extend(ids), await b.extend(ids)];
  for (const i of ids.keys()) {
    const row = expected.row(i);
    for (const [v, logit] of found.row(i).entries()) expect(Math.abs(logit - row[v])).toBeLessThan(1e-4);
  }
  expect(a.length).toBe(b.length);
}

test('the same logits, whatever is taken and taken back', async () => {
  const { io, graph } = open('decoder_with_past.onnx');
  const [a, b] = [sessionDecoder(io, graph), graphDecoder(io, (feeds) => runGraph(graph, feeds))];
  for (const [ids, kept] of [
    [[102, 117, 110], 3],
    [[40], 4],
    [[97, 98, 99, 100, 101], 6],
    [[41, 32], 8],
    [[59], 0],
    [[10, 10], 2],
  ] as const) {
    await expectSame(a, b, ids);
    for (const decoder of [a, b]) decoder.rewind(kept);
  }
});

test('golden tokens, with and without a cache', async () => {
  const { prompt, greedy_tokens } = JSON.parse(readFileSync(join(pico, 'golden.json'), 'utf8'));
  const bytes = [...Buffer.from(prompt, 'latin1')];
  for (const file of ['decoder_with_past.onnx', 'decoder.onnx']) {
    const { io, graph } = open(file);
    const count = file === 'decoder.onnx' ? 6 : 40;
    expect(await generateGreedy(sessionDecoder(io, graph), bytes, count)).toEqual(greedy_tokens.slice(0, count));
  }
});
