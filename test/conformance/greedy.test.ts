/** Greedy generation with the reference executor, token for token as onnxruntime. Skips loudly without ../shared/models. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { constantCache, runGraph } from '../../src/exec/reference.ts';
import { importModel } from '../../src/frontend/import.ts';
import { isKnown } from '../../src/ir/dim.ts';
import { fromNumbers, type Tensor, zeros } from '../../src/tensor/tensor.ts';

const shared = join(import.meta.dirname, '../../../shared/models');
const present = existsSync(join(shared, 'greedy_generation.json'));
/** Tokens compared: enough for every head and position to have had its say, few enough for the fast project. */
const TOKENS = 128;

/** Generates from a decoder with a cache, one token a run but for the prompt. */
function generate(path: string, prompt: readonly number[], count: number): number[] {
  const { graph, roles } = importModel(path);
  const constants = constantCache();
  const tokens = [...prompt];
  const typeOf = new Map(graph.inputs.map((v) => [graph.names[v], graph.types[v]]));
  const past = new Map<string, Tensor>();
  for (const { past: name } of roles.caches) {
    const type = typeOf.get(name);
    if (type === undefined) throw new Error(`no input ${name}`);
    past.set(
      name,
      zeros(
        type.dtype,
        type.shape.map((d, axis) => (isKnown(d) ? d : axis === 0 ? 1 : 0)),
      ),
    );
  }
  let fresh = [...prompt];
  while (tokens.length < count) {
    const before = tokens.length - fresh.length;
    const row = (values: readonly number[]) => fromNumbers('i64', [1, values.length], values);
    const feeds = new Map(past);
    for (const [name, role] of roles.byName) {
      if (!typeOf.has(name)) continue;
      if (role.kind === 'tokens') feeds.set(name, row(fresh));
      if (role.kind === 'positions') feeds.set(name, row(fresh.map((_, i) => before + i)));
      if (role.kind === 'mask') feeds.set(name, row(tokens.map(() => 1)));
    }
    const outputs = runGraph(graph, feeds, { constants });
    for (const cache of roles.caches) past.set(cache.past, outputs.get(cache.present) as Tensor);
    const logits = outputs.get('logits') as Tensor;
    const last = logits.data.subarray(logits.data.length - logits.shape[2]);
    let best = 0;
    for (const [i, v] of last.entries()) if (v > last[best]) best = i;
    fresh = [best];
    tokens.push(...fresh);
  }
  return tokens;
}

describe.skipIf(!present)(`greedy generation${present ? '' : ': NOT RUN, no ../shared/models'}`, () => {
  const golden: Record<string, { prompt: number[]; greedy: number[] }> = present
    ? JSON.parse(readFileSync(join(shared, 'greedy_generation.json'), 'utf8'))
    : {};
  for (const [name, { prompt, greedy }] of Object.entries(golden)) {
    test(name, () => {
      const model = join(shared, 'models/exports/stories260K/decoder_with_past_model.ts17.onnx');
      const expected =
        greedy.length > prompt.length && prompt.every((t, i) => greedy[i] === t) ? greedy : [...prompt, ...greedy];
      const count = Math.min(TOKENS, expected.length);
      expect(generate(model, prompt, count)).toEqual(expected.slice(0, count));
    });
  }

  test('pico', () => {
    const { prompt, greedy_tokens } = JSON.parse(readFileSync(join(shared, 'pico/golden.json'), 'utf8'));
    const bytes = [...Buffer.from(prompt, 'latin1')];
    const tokens = generate(join(shared, 'pico/decoder_with_past.onnx'), bytes, bytes.length + greedy_tokens.length);
    expect(tokens.slice(bytes.length)).toEqual(greedy_tokens);
  });
});
