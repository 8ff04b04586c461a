/** Keys and values in few bits (src/ops/support/rounded-cache.ts) against their definition, call by call against all at once, and in ONNX's own ops. */
import { describe, expect, test } from 'vitest';
import { runGraph } from '../../src/exec/reference.ts';
import { inferTypes } from '../../src/frontend/infer.ts';
import { lowerGraph } from '../../src/frontend/lower.ts';
import { parseGraph } from '../../src/ir/parse.ts';
import type { Graph } from '../../src/ir/graph.ts';
import { BLOCK, kiviKeys, kiviValues } from '../../src/ops/support/rounded-cache.ts';
import { fromNumbers, type Tensor } from '../../src/tensor/tensor.ts';
import { normalStream, randomStream } from '../../src/util/rng.ts';

const normal = normalStream(randomStream(1, 'caches'));
const floats = (...shape: number[]): Tensor =>
  fromNumbers('f32', shape, Array.from({ length: shape.reduce((a, b) => a * b, 1) }, normal));

/** Attention of 4 query heads over 2 of keys, 5 features a head and 3 a value, with a past. */
function attentionOf(format: string): Graph {
  const scales = format === 'int8' ? ', %ks, %vs' : '';
  const given = format === 'int8' ? ', _, _, %ks, %vs' : '';
  return inferTypes(
    parseGraph(`graph g opset 17 (%q: f32[1,S,20], %k: f32[1,S,10], %v: f32[1,S,6], %pk: f32[1,2,P,5], %pv: f32[1,2,P,3]${scales.replaceAll('%ks', '%ks: f32[10]').replaceAll('%vs', '%vs: f32[6]')}) -> %o, %key, %value {
  %o: f32[1,S,12], %key: f32[1,2,S+P,5], %value: f32[1,2,S+P,3] = wafc.attention %q, %k, %v, %pk, %pv${given} {heads=4, kvHeads=2, scale=0.5, causal=1, window=0, softcap=0.0, cache="${format}"}
}`),
  );
}

interface Call {
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
  readonly pk: Tensor;
  readonly pv: Tensor;
}
const scales = {
  ks: floats(10).data.map((x) => 0.01 + Math.abs(x) / 100),
  vs: floats(6).data.map((x) => 0.01 + Math.abs(x) / 50),
};
const run = (graph: Graph, call: Call): Tensor[] => {
  const all = { ...call, ks: fromNumbers('f32', [10], [...scales.ks]), vs: fromNumbers('f32', [6], [...scales.vs]) };
  return [
    ...runGraph(
      graph,
      new Map(Object.entries(all).filter(([name]) => graph.inputs.some((v) => graph.names[v] === name))),
    ).values(),
  ];
};
const sliced = ({ shape, data }: Tensor, from: number, to: number): Tensor =>
  fromNumbers('f32', [1, to - from, shape[2]], [...data.subarray(from * shape[2], to * shape[2])]);
const close = (found: Tensor, expected: Tensor, bound: number): void => {
  expect(found.shape).toEqual(expected.shape);
  for (const [i, x] of found.data.entries()) expect(Math.abs(Number(x) - Number(expected.data[i]))).toBeLessThan(bound);
};

describe.each(['fp16', 'int8', 'int4:kivi32'])('%s', (format) => {
  const graph = attentionOf(format);
  const tokens = 70;
  const whole: Call = {
    q: floats(1, tokens, 20),
    k: floats(1, tokens, 10),
    v: floats(1, tokens, 6),
    pk: floats(1, 2, 0, 5),
    pv: floats(1, 2, 0, 3),
  };

  test('token by token, on what earlier calls left, is all at once', () => {
    const [expected, keys, values] = run(graph, whole);
    let [pk, pv] = [whole.pk, whole.pv];
    for (let at = 0; at < tokens; ) {
      const next = Math.min(tokens, at + 1 + (at % 11));
      const [o, key, value] = run(graph, {
        q: sliced(whole.q, at, next),
        k: sliced(whole.k, at, next),
        v: sliced(whole.v, at, next),
        pk,
        pv,
      });
      close(o, sliced(expected, at, next), 1e-6);
      [pk, pv, at] = [key, value, next];
    }
    expect([pk.data, pv.data]).toEqual([keys.data, values.data]);
  });

  test("in ONNX's own ops", () => {
    const lowered = lowerGraph(graph);
    for (const [sequence, past] of [
      [tokens, 0],
      [3, 61],
      [1, 31],
      [1, 32],
    ]) {
      const call: Call = {
        q: sliced(whole.q, 0, sequence),
        k: sliced(whole.k, 0, sequence),
        v: sliced(whole.v, 0, sequence),
        pk: floats(1, 2, past, 5),
        pv: floats(1, 2, past, 3),
      };
      const expected = run(graph, call);
      for (const [i, found] of run(lowered, call).entries()) close(found, expected[i], 2e-6);
    }
  });
});

test('int8: codes of each feature by its scale, cut off at the ends', () => {
  const graph = attentionOf('int8');
  const k = fromNumbers(
    'f32',
    [1, 1, 10],
    [0, 0.5, 1.5, -2.5, 127.4, 200, -127.6, -200, 1e9, -1e9].map((u, i) => Math.fround(u * scales.ks[i])),
  );
  const [, key] = run(graph, {
    q: floats(1, 1, 20),
    k,
    v: floats(1, 1, 6),
    pk: floats(1, 2, 0, 5),
    pv: floats(1, 2, 0, 3),
  });
  const codes = [...key.data].map((x, i) => Math.round(Number(x) / scales.ks[i]));
  for (const [i, code] of [0, undefined, undefined, undefined, 127, 127, -128, -128, 127, -128].entries())
    if (code !== undefined) expect(codes[i]).toBe(code);
});

test('int4:kivi32: 16 levels a group, its own extremes among them; rounding again changes nothing', () => {
  const keys = floats(1, 2, 2 * BLOCK + 5, 7);
  const found = kiviKeys(keys);
  for (let d = 0; d < 7; d++) {
    const group = Array.from({ length: BLOCK }, (_, t) => Number(found.data[t * 7 + d]));
    expect(new Set(group).size).toBeLessThanOrEqual(16);
    const given = Array.from({ length: BLOCK }, (_, t) => Number(keys.data[t * 7 + d]));
    const step = (Math.max(...given) - Math.min(...given)) / 15;
    for (const [t, x] of group.entries()) expect(Math.abs(x - given[t])).toBeLessThanOrEqual(0.51 * step);
  }
  // The open block is as it was.
  expect([...found.data.subarray(2 * BLOCK * 7, (2 * BLOCK + 5) * 7)]).toEqual([
    ...keys.data.subarray(2 * BLOCK * 7, (2 * BLOCK + 5) * 7),
  ]);
  expect(kiviKeys(found).data).toEqual(found.data);
  const values = kiviValues(floats(1, 1, BLOCK, 80));
  expect(kiviValues(values).data).toEqual(values.data);
});
