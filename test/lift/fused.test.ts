/** Attention as onnxruntime fuses it becomes the attention of the plain export. */
import { expect, test } from 'vitest';
import { GraphBuilder, type Scope } from '../../models/graph-builder.ts';
import type { WritableAttribute, WritableModel } from '../../src/onnx/writer.ts';
import { expectSame, HD, HEADS, KV, lift, opsOf, refusal, VOCAB, WIDTH } from './support.ts';

const int = (value: number): WritableAttribute => ({ kind: 'int', value });
const PRESENT = ['key', 'value'].map((what) => `present.0.${what}`);
const PAST = ['key', 'value'].map((what) => `past_key_values.0.${what}`);

/** A decoder with a mask; `attend` adds the fused op, from x to [B, S, HEADS * HD]. */
function decoder(kvHeads: number, cache: boolean, attend: (s: Scope, x: string) => string): WritableModel {
  const b = new GraphBuilder('f32', 7);
  const s = b.scope('/m');
  b.input('input_ids', 'i64', ['batch', 'seq']);
  b.input('attention_mask', 'i64', ['batch', cache ? 'total' : 'seq']);
  for (const [i, past] of (cache ? PAST : []).entries()) {
    b.input(past, 'f32', ['batch', kvHeads, 'past', HD]);
    b.output(PRESENT[i], ['batch', kvHeads, 'total', HD]);
  }
  b.output('logits', ['batch', 'seq', VOCAB]);
  const x = s.op('Gather', [b.weight('embed', [VOCAB, WIDTH], 1), 'input_ids']);
  const out = s.op('Add', [x, s.linear('o', attend(s, x), { from: HEADS * HD, to: WIDTH })]);
  b.scope('/head').op('MatMul', [out, b.weight('head', [WIDTH, VOCAB], 0.3)], {}, 'logits');
  return {
    ...b.finish('fused', 17),
    opsets: new Map([
      ['', 17],
      ['com.microsoft', 1],
    ]),
  };
}

function fused(s: Scope, opType: string, inputs: string[], outputs: string[], attrs: Record<string, number>): string {
  const attributes = new Map(Object.entries(attrs).map(([name, value]) => [name, int(value)]));
  s.builder.addNode({
    name: `/m/${opType}`,
    domain: 'com.microsoft',
    opType,
    inputs,
    outputs: ['mixed', ...outputs],
    attributes,
  });
  return 'mixed';
}

const project = (s: Scope, x: string, name: string, heads: number): string =>
  s.linear(name, x, { from: WIDTH, to: heads * HD, bias: true });

test('GroupQueryAttention: angles by position, a window, one cache', () => {
  const model = decoder(KV, true, (s, x) => {
    const [q, k, v] = [project(s, x, 'q', HEADS), project(s, x, 'k', KV), project(s, x, 'v', KV)];
    const tables = ['cos', 'sin'].map((name) => {
      const data = Array.from({ length: 64 * (HD / 2) }, (_, i) => {
        const angle = Math.floor(i / (HD / 2)) * 100 ** (-(i % (HD / 2)) / (HD / 2));
        return name === 'cos' ? Math.cos(angle) : Math.sin(angle);
      });
      return s.constant('f32', data, [64, HD / 2]);
    });
    const length = s.op('ReduceSum', ['attention_mask', s.ints(1)], { keepdims: 1 });
    const last = s.cast(s.op('Sub', [length, s.ints(1)]), 'i32');
    const total = s.cast(
      s.op('Gather', [s.op('Shape', ['attention_mask']), s.constant('i64', [1], [])], { axis: 0 }),
      'i32',
    );
    const attrs = { num_heads: HEADS, kv_num_heads: KV, do_rotary: 1, local_window_size: 4 };
    return fused(s, 'GroupQueryAttention', [q, k, v, ...PAST, last, total, ...tables], PRESENT, attrs);
  });
  const lifted = lift(model);
  expect(opsOf(lifted.after, 'wafc.attention').map(({ attrs }) => attrs)).toEqual([
    { heads: HEADS, kvHeads: KV, scale: 1 / Math.sqrt(HD), causal: 1, window: 4, softcap: 0 },
  ]);
  expect(opsOf(lifted.after, 'wafc.rope')).toHaveLength(2);
  expect(opsOf(lifted.after, 'wafc.angles')).toHaveLength(1);
  expect(lifted.after.ops.some(({ kind }) => kind.startsWith('com.microsoft.'))).toBe(false);
});

test('MultiHeadAttention: a packed bias, a mask of keys', () => {
  const model = decoder(HEADS, false, (s, x) => {
    const parts = ['q', 'k', 'v'].map((name) => s.linear(name, x, { from: WIDTH, to: HEADS * HD }));
    const bias = s.builder.weight('bias', [3 * HEADS * HD], 0.5);
    const mask = s.cast('attention_mask', 'i32');
    return fused(s, 'MultiHeadAttention', [...parts, bias, mask], [], { num_heads: HEADS, unidirectional: 1 });
  });
  const lifted = lift(model);
  const [attention] = opsOf(lifted.after, 'wafc.attention');
  expect(attention).toMatchObject({ attrs: { heads: HEADS, kvHeads: HEADS, causal: 1, window: 0 } });
  expect(attention.inputs).toHaveLength(6);
  expect(opsOf(lifted.after, 'wafc.linear').filter(({ inputs }) => inputs.length === 3)).toHaveLength(3);
  expectSame(lifted);
});

test('Attention: projections inside become three linear layers', () => {
  const model = decoder(HEADS, false, (s, x) => {
    const weight = s.builder.weight('qkv', [WIDTH, 3 * HEADS * HD], 0.3);
    const bias = s.builder.weight('bias', [3 * HEADS * HD], 0.5);
    const mask = s.cast('attention_mask', 'i32');
    return fused(s, 'Attention', [x, weight, bias, mask], [], { num_heads: HEADS, unidirectional: 1 });
  });
  const lifted = lift(model);
  expect(opsOf(lifted.after, 'wafc.attention')).toMatchObject([{ attrs: { causal: 1, window: 0 } }]);
  expect(opsOf(lifted.after, 'wafc.linear').map((op) => lifted.after.types[op.inputs[1] ?? 0].shape[1])).toEqual([
    ...new Array<number>(3).fill(HEADS * HD),
    WIDTH,
    VOCAB,
  ]);
  expectSame(lifted);
});

test('keys and values stacked in one past are refused by name', () => {
  const b = new GraphBuilder('f32', 7);
  const s = b.scope('/m');
  b.input('input_ids', 'i64', ['batch', 'seq']);
  b.input('past_0', 'f32', [2, 'batch', HEADS, 'past', HD]);
  b.output('y', ['batch', 'seq', WIDTH]);
  const x = s.op('Gather', [b.weight('embed', [VOCAB, WIDTH], 1), 'input_ids']);
  b.scope('/head').op('MatMul', [x, b.weight('w', [WIDTH, WIDTH], 1)], {}, 'y');
  expect(refusal(b.finish('stacked', 17))).toMatchObject([
    { code: 'lift/stacked-past', message: 'input past_0 holds keys and values in one tensor', node: 'past_0' },
  ]);
});
