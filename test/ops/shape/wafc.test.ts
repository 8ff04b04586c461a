/** wafc's own ops against their definition, and against the ONNX ops that say the same. */
import { describe, expect, test } from 'vitest';
import { attrReader } from '../../../src/ops/attrs.ts';
import { opFor } from '../../../src/ops/registry.ts';
import type { AttrValue } from '../../../src/ir/graph.ts';
import { fromNumbers, sizeOf, type Tensor } from '../../../src/tensor/tensor.ts';
import { normalStream, randomStream } from '../../../src/util/rng.ts';

const normal = normalStream(randomStream(1, 'wafc-ops'));
const floats = (...shape: number[]): Tensor => fromNumbers('f32', shape, Array.from({ length: sizeOf(shape) }, normal));

function run(
  kind: string,
  inputs: readonly (Tensor | undefined)[],
  attrs: Record<string, AttrValue> = {},
  outputCount = 1,
): readonly Tensor[] {
  const def = opFor(kind);
  if (def === undefined) throw new Error(`no op ${kind}`);
  const runGraph = () => {
    throw new Error('no bodies here');
  };
  const reader = attrReader({ kind, attrs, origin: { node: kind, by: [] } });
  return def.run({ version: def.since[def.since.length - 1], attrs: reader, inputs, outputCount, runGraph });
}

function expectClose(found: Tensor, expected: Tensor): void {
  expect(found.shape).toEqual(expected.shape);
  for (const [i, v] of found.data.entries()) expect(v).toBeCloseTo(expected.data[i], 5);
}

describe('wafc.attention', () => {
  const [q, k, v] = [floats(2, 3, 16), floats(2, 3, 8), floats(2, 3, 8)];
  const attrs = { heads: 4, kvHeads: 2, scale: 0.5, causal: 1 };
  const past = [floats(2, 2, 5, 4), floats(2, 2, 5, 4)];

  test('is Attention with grouped heads and a past', () => {
    const onnx = { q_num_heads: 4, kv_num_heads: 2, scale: 0.5, is_causal: 1, softcap: 0 };
    const expected = run('Attention', [q, k, v, undefined, ...past], onnx, 3);
    const found = run('wafc.attention', [q, k, v, ...past], attrs, 3);
    for (const [i, t] of found.entries()) expectClose(t, expected[i]);
  });

  test('a key mask of 0 is a bias of -Infinity', () => {
    const keep = [1, 1, 0, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 0, 1];
    const mask = fromNumbers('i64', [2, 8], keep);
    const bias = fromNumbers(
      'f32',
      [2, 1, 3, 8],
      Array.from({ length: 48 }, (_, i) => (keep[Math.floor(i / 24) * 8 + (i % 8)] ? 0 : Number.NEGATIVE_INFINITY)),
    );
    const [expected] = run('wafc.attention', [q, k, v, ...past, undefined, bias], attrs);
    expectClose(run('wafc.attention', [q, k, v, ...past, mask], attrs)[0], expected);
  });

  test('a window of 1 sees its own key only', () => {
    const [found] = run('wafc.attention', [q, k, v], { ...attrs, window: 1 });
    const copied = Array.from({ length: 96 }, (_, i) => {
      const [token, feature] = [Math.floor(i / 16), i % 16];
      return v.data[token * 8 + Math.floor(feature / 8) * 4 + (feature % 4)];
    });
    expectClose(found, fromNumbers('f32', [2, 3, 16], copied));
  });

  test('a row without any allowed key gives zeros', () => {
    const mask = fromNumbers('bool', [2, 3], [0, 1, 1, 1, 1, 1]);
    const [found] = run('wafc.attention', [q, k, v, undefined, undefined, mask], attrs);
    expect(Array.from(found.data.subarray(0, 16))).toEqual(new Array(16).fill(0));
    expect(found.data.subarray(16).every((x) => Number.isFinite(x) && x !== 0)).toBe(true);
  });

  test('an empty past is no past', () => {
    const empty = [floats(2, 2, 0, 4), floats(2, 2, 0, 4)];
    expectClose(run('wafc.attention', [q, k, v, ...empty], attrs)[0], run('wafc.attention', [q, k, v], attrs)[0]);
  });
});

describe('wafc.rope', () => {
  const x = floats(2, 3, 16);
  const [cos, sin] = [floats(2, 3, 2), floats(2, 3, 2)];
  test.each([0, 1])('is RotaryEmbedding of part of the head, interleaved %i', (interleaved) => {
    const [expected] = run('RotaryEmbedding', [x, cos, sin], { num_heads: 2, rotary_embedding_dim: 4, interleaved });
    expectClose(run('wafc.rope', [x, cos, sin], { heads: 2, rotary: 4, interleaved })[0], expected);
  });
  test('one row of angles serves all batches', () => {
    const row = (t: Tensor) => ({ ...t, shape: [1, 3, 2], data: t.data.slice(0, 6) });
    const all = (t: Tensor) => fromNumbers('f32', [2, 3, 2], [...t.data.slice(0, 6), ...t.data.slice(0, 6)]);
    const attrs = { heads: 2, rotary: 4, interleaved: 0 };
    expectClose(
      run('wafc.rope', [x, row(cos), row(sin)], attrs)[0],
      run('wafc.rope', [x, all(cos), all(sin)], attrs)[0],
    );
  });
});

describe('norms', () => {
  const x = floats(2, 3, 8);
  const [gamma, beta] = [floats(8), floats(8)];
  test('wafc.rmsnorm', () => {
    const [expected] = run('RMSNormalization', [x, gamma], { epsilon: 1e-3 });
    expectClose(run('wafc.rmsnorm', [x, gamma], { epsilon: 1e-3 })[0], expected);
  });
  test('wafc.layernorm', () => {
    const [expected] = run('LayerNormalization', [x, gamma, beta], { epsilon: 1e-3 });
    expectClose(run('wafc.layernorm', [x, gamma, beta], { epsilon: 1e-3 })[0], expected);
  });
  test('groups are normalised by themselves', () => {
    const small = { ...gamma, shape: [4], data: gamma.data.slice(0, 4) };
    const heads = { ...x, shape: [2, 3, 2, 4] };
    const [expected] = run('RMSNormalization', [heads, small], { epsilon: 1e-3 });
    const [found] = run('wafc.rmsnorm', [x, small], { epsilon: 1e-3, groups: 2 });
    expectClose({ ...found, shape: [2, 3, 2, 4] }, expected);
  });
});

test('wafc.linear is a product plus a bias', () => {
  const [x, w, b] = [floats(2, 3, 5), floats(5, 4), floats(4)];
  const [product] = run('MatMul', [x, w]);
  expectClose(run('wafc.linear', [x, w, b])[0], run('Add', [product, b])[0]);
});

test('features and tokens are picked', () => {
  const x = fromNumbers('f32', [1, 2, 4], [0, 1, 2, 3, 4, 5, 6, 7]);
  const values = (kind: string, attrs: Record<string, AttrValue>) => Array.from(run(kind, [x], attrs)[0].data);
  expect(values('wafc.slice', { start: 1, end: 3 })).toEqual([1, 2, 5, 6]);
  expect(values('wafc.select', { indices: [3, 0, 0] })).toEqual([3, 0, 0, 7, 4, 4]);
  expect(values('wafc.tokens', { index: -1 })).toEqual([4, 5, 6, 7]);
  expect(Array.from(run('wafc.concat', [x, x])[0].data)).toEqual([0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7, 4, 5, 6, 7]);
  const [rows] = run('wafc.embedding', [
    fromNumbers('f32', [3, 2], [0, 1, 2, 3, 4, 5]),
    fromNumbers('i64', [1, 2], [2, 0]),
  ]);
  expect([rows.shape, Array.from(rows.data)]).toEqual([
    [1, 2, 2],
    [4, 5, 0, 1],
  ]);
});
