/** One attention in its many spellings: heads, repetition, rotations, masks, caches. Every one lifts to the same ops. */
import { describe, expect, test } from 'vitest';
import type { Scope } from '../../models/graph-builder.ts';
import type { Graph } from '../../src/ir/graph.ts';
import {
  attentionModel,
  expectSame,
  HD,
  HEADS,
  KV,
  lift,
  opsOf,
  type Parts,
  refusal,
  repeatByExpand,
  scaledScores,
  splitHeads,
  WIDTH,
} from './support.ts';

const LOWEST = -3.4028234663852886e38;
const ALL = Number.MAX_SAFE_INTEGER;

/** Lifts, compares, and gives the one attention. */
function attentionOf(
  parts: Parts,
  batch = 1,
): { attrs: Record<string, unknown>; inputs: readonly unknown[]; graph: Graph } {
  const lifted = lift(attentionModel(parts), batch);
  expectSame(lifted, batch);
  const found = opsOf(lifted.after, 'wafc.attention');
  expect(found).toHaveLength(1);
  return { attrs: { ...found[0].attrs }, inputs: found[0].inputs, graph: lifted.after };
}

/** x[.., from:to:step] */
const slice = (s: Scope, x: string, from: number, to: number, step = 1): string =>
  s.op('Slice', [x, s.ints(from), s.ints(to), s.ints(-1), s.ints(step)]);
const unsqueeze = (s: Scope, x: string, ...axes: number[]): string => s.op('Unsqueeze', [x, s.ints(...axes)]);
const extent = (s: Scope, value: string, axis: number): string =>
  s.op('Gather', [s.op('Shape', [value]), s.constant('i64', [axis], [])], { axis: 0 });
const range = (s: Scope, from: string, to: string): string => s.op('Range', [from, to, s.constant('i64', [1], [])]);

describe('heads', () => {
  test.each([1, 2])('batch %i: attributes are read off the numbers', (batch) => {
    const { attrs, inputs } = attentionOf({}, batch);
    expect(attrs).toMatchObject({ heads: HEADS, kvHeads: KV, causal: 0, window: 0, softcap: 0 });
    expect(attrs.scale).toBeCloseTo(HD ** -0.5, 6);
    expect(inputs).toHaveLength(3);
  });

  test.each<[string, Parts]>([
    [
      'Split and Concat along the heads',
      {
        split: (s, value, heads) => {
          const parts = s.many('Split', [value, s.ints(...Array<number>(heads).fill(HD))], { axis: 2 }, heads);
          return s.op(
            'Concat',
            parts.map((p) => unsqueeze(s, p, 1)),
            { axis: 1 },
          );
        },
      },
    ],
    [
      'Reshape with 0 and -1',
      {
        split: (s, value, heads) =>
          s.op('Transpose', [s.op('Reshape', [value, s.ints(0, 0, heads, -1)])], { perm: [0, 2, 1, 3] }),
      },
    ],
    [
      'heads flattened into the batch',
      {
        scores: (s, q, k) => {
          const flat = (x: string): string => s.op('Reshape', [x, s.ints(HEADS, -1, HD)]);
          const product = s.op('MatMul', [flat(q), s.op('Transpose', [flat(k)], { perm: [0, 2, 1] })]);
          const scaled = s.op('Mul', [product, s.scalar(HD ** -0.5)]);
          return unsqueeze(s, scaled, 0);
        },
      },
    ],
    [
      'a merge by slices of heads',
      {
        merge: (s, value) => {
          const parts = Array.from({ length: HEADS }, (_, h) =>
            s.op('Squeeze', [s.op('Slice', [value, s.ints(h), s.ints(h + 1), s.ints(1)]), s.ints(1)]),
          );
          return s.op('Concat', parts, { axis: -1 });
        },
      },
    ],
  ])('%s', (_, parts) => {
    expect(attentionOf(parts).attrs).toMatchObject({ heads: HEADS, kvHeads: KV });
  });

  test('a merge in another order of heads is followed', () => {
    const { graph } = attentionOf({
      merge: (s, value, { batch, length }) => {
        const turned = s.op('Gather', [value, s.ints(2, 0, 3, 1)], { axis: 1 });
        return s.reshape(s.op('Transpose', [turned], { perm: [0, 2, 1, 3] }), [batch, length, HEADS * HD]);
      },
    });
    expect(opsOf(graph, 'wafc.select').length).toBeGreaterThan(0);
  });
});

describe('keys repeated for the query heads that share them', () => {
  test.each<[string, NonNullable<Parts['repeat']>]>([
    ['Expand and Reshape', repeatByExpand],
    [
      'Concat of copies',
      (s, v) => {
        const [batch, length] = [s.extent(v, 0), s.extent(v, 2)];
        const one = unsqueeze(s, v, 2);
        return s.reshape(s.op('Concat', [one, one], { axis: 2 }), [batch, HEADS, length, HD]);
      },
    ],
    [
      'Tile',
      (s, v) => {
        const [batch, length] = [s.extent(v, 0), s.extent(v, 2)];
        const tiled = s.op('Tile', [unsqueeze(s, v, 2), s.ints(1, 1, HEADS / KV, 1, 1)]);
        return s.reshape(tiled, [batch, HEADS, length, HD]);
      },
    ],
    ['Gather of heads', (s, v) => s.op('Gather', [v, s.ints(0, 0, 1, 1)], { axis: 1 })],
  ])('%s', (_, repeat) => {
    expect(attentionOf({ repeat }).attrs).toMatchObject({ heads: HEADS, kvHeads: KV });
    expect(attentionOf({ repeat, cache: true }).attrs).toMatchObject({ heads: HEADS, kvHeads: KV });
  });

  test('an order of sharing that is no grouping is refused, or computed rightly', () => {
    const repeat: NonNullable<Parts['repeat']> = (s, v) => s.op('Gather', [v, s.ints(0, 1, 1, 0)], { axis: 1 });
    const [diagnostic] = refusal(attentionModel({ repeat }));
    expect(diagnostic).toMatchObject({ code: 'lift/not-token-wise', node: '/m/MatMul' });
    expect(diagnostic.message).toContain('query heads to key heads');
  });
});

describe('fused projections', () => {
  const widths = [HEADS * HD, KV * HD, KV * HD];
  const total = widths.reduce((a, b) => a + b);
  const fused = (s: Scope, x: string): string => s.linear('qkv', x, { from: WIDTH, to: total, bias: true });

  test.each<[string, NonNullable<Parts['project']>]>([
    [
      'Split',
      (s, x, sizes) => {
        const [q, k, v] = s.many('Split', [fused(s, x), s.ints(...widths)], { axis: -1 }, 3);
        return [splitHeads(s, q, HEADS, sizes), splitHeads(s, k, KV, sizes), splitHeads(s, v, KV, sizes)];
      },
    ],
    [
      'Slice',
      (s, x, sizes) => {
        const all = fused(s, x);
        const part = (from: number, heads: number): string =>
          splitHeads(s, slice(s, all, from, from + heads * HD), heads, sizes);
        return [part(0, HEADS), part(widths[0], KV), part(widths[0] + widths[1], KV)];
      },
    ],
    [
      'heads of all three, then slices of heads',
      (s, x, sizes) => {
        const all = splitHeads(s, fused(s, x), HEADS + 2 * KV, sizes);
        const part = (from: number, to: number): string => s.op('Slice', [all, s.ints(from), s.ints(to), s.ints(1)]);
        return [part(0, HEADS), part(HEADS, HEADS + KV), part(HEADS + KV, HEADS + 2 * KV)];
      },
    ],
  ])('%s: cut into three linear layers', (_, project) => {
    const { graph, attrs } = attentionOf({ project });
    expect(attrs).toMatchObject({ heads: HEADS, kvHeads: KV });
    expect(opsOf(graph, 'wafc.linear').map((op) => graph.types[op.outputs[0] as never].shape[2])).toEqual(
      expect.arrayContaining(widths),
    );
    expect(opsOf(graph, 'wafc.slice')).toEqual([]);
  });

  test('q, k and v of each head side by side', () => {
    const project: NonNullable<Parts['project']> = (s, x, { batch, length }) => {
      const all = s.linear('qkv', x, { from: WIDTH, to: 3 * HEADS * HD });
      const heads = s.reshape(all, [batch, length, HEADS, 3 * HD]);
      const part = (from: number): string =>
        s.op('Transpose', [slice(s, heads, from, from + HD)], { perm: [0, 2, 1, 3] });
      return [part(0), part(HD), part(2 * HD)];
    };
    expect(attentionOf({ project, repeat: (_, v) => v }).attrs).toMatchObject({ heads: HEADS, kvHeads: HEADS });
  });
});

describe('scales', () => {
  test.each<[string, NonNullable<Parts['scores']>, number]>([
    [
      'scores divided',
      (s, q, k) => s.op('Div', [s.op('MatMul', [q, s.op('Transpose', [k], { perm: [0, 1, 3, 2] })]), s.scalar(4)]),
      0.25,
    ],
    [
      'queries scaled',
      (s, q, k) => s.op('MatMul', [s.op('Mul', [q, s.scalar(0.5)]), s.op('Transpose', [k], { perm: [0, 1, 3, 2] })]),
      0.5,
    ],
    [
      'both by the root',
      (s, q, k) => {
        const half = (x: string): string => s.op('Mul', [x, s.scalar(0.5)]);
        return s.op('MatMul', [half(q), s.op('Transpose', [half(k)], { perm: [0, 1, 3, 2] })]);
      },
      0.25,
    ],
    ['none', (s, q, k) => s.op('MatMul', [q, s.op('Transpose', [k], { perm: [0, 1, 3, 2] })]), 1],
    [
      'negated twice',
      (s, q, k) => s.op('Neg', [s.op('MatMul', [s.op('Neg', [q]), s.op('Transpose', [k], { perm: [0, 1, 3, 2] })])]),
      1,
    ],
  ])('%s', (name, scores, scale) => {
    if (name === 'negated twice') {
      expect(refusal(attentionModel({ scores }))[0]).toMatchObject({ node: '/m/scores/Neg_1' });
      return;
    }
    expect(attentionOf({ scores }).attrs.scale).toBeCloseTo(scale, 6);
  });

  test('soft caps', () => {
    const scores: NonNullable<Parts['scores']> = (s, q, k) =>
      s.op('Mul', [s.op('Tanh', [s.op('Div', [scaledScores(s, q, k), s.scalar(5)])]), s.scalar(5)]);
    const { attrs } = attentionOf({ scores });
    expect(attrs.softcap).toBeCloseTo(5, 6);
    expect(attrs.scale).toBeCloseTo(HD ** -0.5, 6);
  });
});

/** [S, T] bool, true where the key is not in the future. */
function past(s: Scope, scores: string): string {
  const [queries, keys] = [extent(s, scores, 2), extent(s, scores, 3)];
  const zero = s.constant('i64', [0], []);
  const rows = unsqueeze(s, range(s, s.op('Sub', [keys, queries]), keys), 1);
  return s.op('LessOrEqual', [unsqueeze(s, range(s, zero, keys), 0), rows]);
}
const padding = (s: Scope): string => unsqueeze(s, s.cast('attention_mask', 'bool'), 1, 2);
const additive = (s: Scope, allowed: string, fill: number): string =>
  s.op('Where', [allowed, s.scalar(0), s.scalar(fill)]);

describe('masks', () => {
  const CAUSAL: readonly [string, NonNullable<Parts['mask']>][] = [
    ['an additive mask of the lowest float', (s, x) => s.op('Add', [x, additive(s, past(s, x), LOWEST)])],
    ['an additive mask of -10000', (s, x) => s.op('Add', [x, additive(s, past(s, x), -10_000)])],
    ['an additive mask of -inf', (s, x) => s.op('Add', [x, additive(s, past(s, x), Number.NEGATIVE_INFINITY)])],
    ['a mask that is subtracted', (s, x) => s.op('Sub', [x, additive(s, past(s, x), 1e9)])],
    ['Where(allowed, scores, fill)', (s, x) => s.op('Where', [past(s, x), x, s.scalar(LOWEST)])],
    ['Where(forbidden, fill, scores)', (s, x) => s.op('Where', [s.op('Not', [past(s, x)]), s.scalar(LOWEST), x])],
    [
      'a triangle cut out of a constant',
      (s, x) => {
        const n = 32;
        const triangle = s.constant(
          'f32',
          Array.from({ length: n * n }, (_, i) => (i % n <= Math.floor(i / n) ? 0 : -1e9)),
          [1, 1, n, n],
        );
        const [q, k] = [extent(s, x, 2), extent(s, x, 3)];
        const one = (v: string): string => unsqueeze(s, v, 0);
        const rows = s.op('Slice', [triangle, one(s.op('Sub', [k, q])), one(k), s.ints(2)]);
        return s.op('Add', [x, s.op('Slice', [rows, s.ints(0), one(k), s.ints(3)])]);
      },
    ],
  ];
  test.each(CAUSAL)('causal: %s', (_, mask) => {
    for (const cache of [false, true]) {
      const { attrs, inputs } = attentionOf({ mask, cache });
      expect(attrs).toMatchObject({ causal: 1, window: 0 });
      expect(inputs).toHaveLength(cache ? 5 : 3);
    }
  });

  test('Trilu, without a past', () => {
    const mask: NonNullable<Parts['mask']> = (s, x) => {
      const [q, k] = [extent(s, x, 2), extent(s, x, 3)].map((v) => unsqueeze(s, v, 0));
      const full = s.op('Expand', [s.scalar(LOWEST), s.op('Concat', [q, k], { axis: 0 })]);
      return s.op('Add', [x, s.op('Trilu', [full, s.constant('i64', [1], [])], { upper: 1 })]);
    };
    expect(attentionOf({ mask }).attrs).toMatchObject({ causal: 1 });
  });

  test('padding alone', () => {
    const { attrs, inputs, graph } = attentionOf(
      {
        inputs: ['attention_mask'],
        mask: (s, x) => s.op('Add', [x, additive(s, padding(s), LOWEST)]),
      },
      2,
    );
    expect(attrs).toMatchObject({ causal: 0 });
    expect(inputs).toHaveLength(6);
    expect(graph.names[inputs[5] as number]).toBe('attention_mask');
  });

  test.each<[string, NonNullable<Parts['mask']>]>([
    ['one And', (s, x) => s.op('Add', [x, additive(s, s.op('And', [past(s, x), padding(s)]), LOWEST)])],
    [
      'two additions',
      (s, x) =>
        s.op('Add', [s.op('Add', [x, additive(s, past(s, x), LOWEST / 2)]), additive(s, padding(s), LOWEST / 2)]),
    ],
    [
      'an addition, then Where',
      (s, x) => s.op('Where', [padding(s), s.op('Add', [x, additive(s, past(s, x), -1e9)]), s.scalar(-1e9)]),
    ],
    [
      '(1 - mask) * lowest',
      (s, x) => {
        const real = s.cast(unsqueeze(s, 'attention_mask', 1, 2), 'f32');
        const pad = s.op('Mul', [s.op('Sub', [s.scalar(1), real]), s.scalar(LOWEST / 2)]);
        return s.op('Add', [s.op('Add', [x, pad]), additive(s, past(s, x), LOWEST / 2)]);
      },
    ],
  ])('causal and padding: %s', (_, mask) => {
    for (const cache of [false, true]) {
      const { attrs, inputs } = attentionOf({ mask, cache, inputs: ['attention_mask'] }, 2);
      expect(attrs).toMatchObject({ causal: 1 });
      expect(inputs).toHaveLength(6);
    }
  });

  test('rows that are masked whole, guarded by IsNaN', () => {
    const parts: Parts = {
      inputs: ['attention_mask'],
      mask: (s, x) => s.op('Where', [s.op('And', [past(s, x), padding(s)]), x, s.scalar(Number.NEGATIVE_INFINITY)]),
      softmax: (s, x) => {
        const soft = s.op('Softmax', [x], { axis: -1 });
        return s.op('Where', [s.op('IsNaN', [soft]), s.scalar(0), soft]);
      },
    };
    expect(attentionOf(parts).attrs).toMatchObject({ causal: 1 });
  });

  test('a bias that depends on the distance stays a host value', () => {
    const mask: NonNullable<Parts['mask']> = (s, x) => {
      const [q, k] = [extent(s, x, 2), extent(s, x, 3)];
      const zero = s.constant('i64', [0], []);
      const rows = unsqueeze(s, range(s, s.op('Sub', [k, q]), k), 1);
      const distance = s.cast(s.op('Sub', [unsqueeze(s, range(s, zero, k), 0), rows]), 'f32');
      return s.op('Add', [x, s.op('Mul', [distance, s.scalar(0.125)])]);
    };
    const { attrs, inputs } = attentionOf({ mask });
    expect(attrs).toMatchObject({ causal: 0 });
    expect(inputs).toHaveLength(7);
  });

  /** Allowed where the key is at most `window` - 1 tokens back; both ways without `causal`. */
  const near = (s: Scope, x: string, window: number, causal: boolean): string => {
    const [q, k] = [extent(s, x, 2), extent(s, x, 3)];
    const zero = s.constant('i64', [0], []);
    const rows = unsqueeze(s, range(s, s.op('Sub', [k, q]), k), 1);
    const back = s.op('Sub', [rows, unsqueeze(s, range(s, zero, k), 0)]);
    const distance = causal ? back : s.op('Abs', [back]);
    const inside = s.op('Less', [distance, s.constant('i64', [window], [])]);
    return causal ? s.op('And', [inside, past(s, x)]) : inside;
  };

  // The probes of lifting have 5 and 7 positions: a longer window looks like none there.
  test.each([1, 2, 4, 12, 20])('a window of %i positions', (window) => {
    for (const cache of [false, true]) {
      const mask: NonNullable<Parts['mask']> = (s, x) =>
        s.op('Add', [x, additive(s, near(s, x, window, true), LOWEST)]);
      expect(attentionOf({ mask, cache }).attrs).toMatchObject({ causal: 1, window });
      const both: NonNullable<Parts['mask']> = (s, x) =>
        s.op('Where', [s.op('And', [near(s, x, window, true), padding(s)]), x, s.scalar(LOWEST)]);
      if (window > 1) {
        const { attrs, inputs } = attentionOf({ mask: both, cache, inputs: ['attention_mask'] }, 2);
        expect(attrs).toMatchObject({ causal: 1, window });
        expect(inputs).toHaveLength(6);
      }
    }
  });

  test.each([2, 20])('a window of %i positions to both sides stays a host value', (window) => {
    const mask: NonNullable<Parts['mask']> = (s, x) => s.op('Add', [x, additive(s, near(s, x, window, false), LOWEST)]);
    const { attrs, inputs } = attentionOf({ mask });
    expect(attrs).toMatchObject({ causal: 0, window: 0 });
    expect(inputs).toHaveLength(7);
  });

  test('a mask that no probe explains stays a host value, also beside others', () => {
    for (const window of [2, 20]) {
      const mask: NonNullable<Parts['mask']> = (s, x) =>
        s.op('Sub', [s.op('Where', [near(s, x, window, false), x, s.scalar(LOWEST)]), additive(s, padding(s), 1e4)]);
      const { attrs, inputs } = attentionOf({ mask, inputs: ['attention_mask'] });
      expect(attrs).toMatchObject({ causal: 0, window: 0 });
      expect(inputs).toHaveLength(7);
    }
  });

  test('scores that are filled with a number that masks nothing are refused', () => {
    const mask: NonNullable<Parts['mask']> = (s, x) => s.op('Where', [near(s, x, 20, false), x, s.scalar(1)]);
    const [diagnostic] = refusal(attentionModel({ mask }));
    expect(diagnostic).toMatchObject({ code: 'lift/not-token-wise', node: '/m/MatMul' });
    expect(diagnostic.message).toContain('fills attention scores with 1');
  });
});

describe('caches', () => {
  test.each([1, 2])('past and present by Concat, batch %i', (batch) => {
    const mask: NonNullable<Parts['mask']> = (s, x) => s.op('Add', [x, additive(s, past(s, x), LOWEST)]);
    const { attrs, inputs, graph } = attentionOf({ cache: true, mask }, batch);
    expect(attrs).toMatchObject({ causal: 1, heads: HEADS, kvHeads: KV });
    const [op] = opsOf(graph, 'wafc.attention');
    expect(op.outputs).toHaveLength(3);
    expect(inputs.slice(3, 5).map((v) => graph.names[v as number])).toEqual([
      'past_key_values.0.key',
      'past_key_values.0.value',
    ]);
    expect(op.outputs.slice(1).map((v) => graph.names[v as number])).toEqual(['present.0.key', 'present.0.value']);
  });
});

describe('rotations', () => {
  const frequencies = Array.from({ length: HD / 2 }, (_, i) => 100 ** (-i / (HD / 2)));
  const MOST = 64;
  const table = (f: (x: number) => number, width: number): number[] =>
    Array.from({ length: MOST * width }, (_, i) => f(Math.floor(i / width) * frequencies[i % (HD / 2)]));

  /** cos or sin [B,1,S,width] by position ids. */
  const byPositions = (s: Scope, op: 'Cos' | 'Sin', width: number): string => {
    const at = unsqueeze(s, s.cast('position_ids', 'f32'), 2);
    const half = s.op('Mul', [at, s.constant('f32', frequencies, [1, 1, HD / 2])]);
    const angles = width === HD ? s.op('Concat', [half, half], { axis: -1 }) : half;
    return unsqueeze(s, s.op(op, [angles]), 1);
  };
  /** cos or sin [1,1,S,width] from a constant table, by the length of `x` [B,n,S,HD]. */
  const byTable = (s: Scope, op: 'Cos' | 'Sin', width: number, x: string): string => {
    const rows = s.constant('f32', table(op === 'Cos' ? Math.cos : Math.sin, width), [MOST, width]);
    const length = unsqueeze(s, extent(s, x, 2), 0);
    return unsqueeze(s, s.op('Slice', [rows, s.ints(0), length, s.ints(0)]), 0, 1);
  };
  const byLookup = (s: Scope, op: 'Cos' | 'Sin', width: number): string => {
    const rows = s.constant('f32', table(op === 'Cos' ? Math.cos : Math.sin, width), [MOST, width]);
    return unsqueeze(s, s.op('Gather', [rows, 'position_ids']), 1);
  };
  const SOURCES: readonly [string, (s: Scope, op: 'Cos' | 'Sin', width: number, x: string) => string, boolean][] = [
    ['computed from positions', byPositions, true],
    ['a table, cut', byTable, false],
    ['a table, looked up', byLookup, true],
  ];

  type Rotate = (s: Scope, x: string, table: (op: 'Cos' | 'Sin', width: number) => string) => string;
  const half = (s: Scope, x: string): [string, string] => [slice(s, x, 0, HD / 2), slice(s, x, HD / 2, ALL)];
  const SPELLINGS: readonly [string, Rotate, { interleaved: number; rotary: number }][] = [
    [
      'rotate_half by Slice, Neg, Concat',
      (s, x, of) => {
        const [low, high] = half(s, x);
        const turned = s.op('Concat', [s.op('Neg', [high]), low], { axis: -1 });
        return s.op('Add', [s.op('Mul', [x, of('Cos', HD)]), s.op('Mul', [turned, of('Sin', HD)])]);
      },
      { interleaved: 0, rotary: HD },
    ],
    [
      'rotate_half by Split, sine first',
      (s, x, of) => {
        const [low, high] = s.many('Split', [x, s.ints(HD / 2, HD / 2)], { axis: 3 }, 2);
        const turned = s.op('Concat', [s.op('Mul', [high, s.scalar(-1)]), low], { axis: -1 });
        return s.op('Add', [s.op('Mul', [of('Sin', HD), turned]), s.op('Mul', [of('Cos', HD), x])]);
      },
      { interleaved: 0, rotary: HD },
    ],
    [
      'halves one by one, with half tables',
      (s, x, of) => {
        const [low, high] = half(s, x);
        const [cos, sin] = [of('Cos', HD / 2), of('Sin', HD / 2)];
        const first = s.op('Sub', [s.op('Mul', [low, cos]), s.op('Mul', [high, sin])]);
        const second = s.op('Add', [s.op('Mul', [high, cos]), s.op('Mul', [low, sin])]);
        return s.op('Concat', [first, second], { axis: -1 });
      },
      { interleaved: 0, rotary: HD },
    ],
    [
      'neighbours by strided slices, stacked',
      (s, x, of) => {
        const [even, odd] = [slice(s, x, 0, ALL, 2), slice(s, x, 1, ALL, 2)];
        const [cos, sin] = [of('Cos', HD / 2), of('Sin', HD / 2)];
        const first = s.op('Sub', [s.op('Mul', [even, cos]), s.op('Mul', [odd, sin])]);
        const second = s.op('Add', [s.op('Mul', [even, sin]), s.op('Mul', [odd, cos])]);
        const stacked = s.op('Concat', [unsqueeze(s, first, -1), unsqueeze(s, second, -1)], { axis: -1 });
        return s.op('Reshape', [stacked, s.op('Shape', [x])]);
      },
      { interleaved: 1, rotary: HD },
    ],
    [
      'complex numbers as pairs',
      (s, x, of) => {
        const shape = s.op('Shape', [x]);
        const lead = s.op('Slice', [shape, s.ints(0), s.ints(3)]);
        const pairs = s.op('Reshape', [x, s.op('Concat', [lead, s.ints(HD / 2, 2)], { axis: 0 })]);
        const one = (i: number): string => s.op('Gather', [pairs, s.constant('i64', [i], [])], { axis: 4 });
        const [re, im] = [one(0), one(1)];
        const [cos, sin] = [of('Cos', HD / 2), of('Sin', HD / 2)];
        const real = s.op('Sub', [s.op('Mul', [re, cos]), s.op('Mul', [im, sin])]);
        const imaginary = s.op('Add', [s.op('Mul', [im, cos]), s.op('Mul', [re, sin])]);
        return s.op('Reshape', [
          s.op('Concat', [unsqueeze(s, real, 4), unsqueeze(s, imaginary, 4)], { axis: 4 }),
          shape,
        ]);
      },
      { interleaved: 1, rotary: HD },
    ],
    [
      'partial: the first four features turn, the others pass',
      (s, x, of) => {
        const [turning, passing] = [slice(s, x, 0, 4), slice(s, x, 4, ALL)];
        const [low, high] = [slice(s, turning, 0, 2), slice(s, turning, 2, ALL)];
        const [cos, sin] = (['Cos', 'Sin'] as const).map((op) => {
          const two = slice(s, of(op, HD / 2), 0, 2);
          return s.op('Concat', [two, two], { axis: -1 });
        });
        const turned = s.op('Concat', [s.op('Neg', [high]), low], { axis: -1 });
        const rotated = s.op('Add', [s.op('Mul', [turning, cos]), s.op('Mul', [turned, sin])]);
        return s.op('Concat', [rotated, passing], { axis: -1 });
      },
      { interleaved: 0, rotary: 4 },
    ],
  ];

  describe.each(SOURCES)('angles %s', (_, source, positions) => {
    test.each(SPELLINGS)('%s', (__, rotate, attrs) => {
      for (const cache of positions ? [false, true] : [false]) {
        const { graph } = attentionOf({
          cache,
          inputs: positions ? ['position_ids'] : [],
          rotate: (s, x) => rotate(s, x, (op, width) => source(s, op, width, x)),
        });
        const ropes = opsOf(graph, 'wafc.rope');
        expect(ropes.map((op) => op.attrs.heads)).toEqual(expect.arrayContaining([HEADS, KV]));
        // Without a cache, halves are the canonical pairing (rope-halves).
        for (const op of ropes) expect(op.attrs).toMatchObject(cache ? attrs : { ...attrs, interleaved: 0 });
        expect(ropes).toHaveLength(2);
      }
    });
  });

  test('turned before the heads are moved to the front', () => {
    const { graph } = attentionOf({
      inputs: ['position_ids'],
      split: (s, value, heads, { batch, length }) => {
        const x = s.reshape(value, [batch, length, heads, HD]);
        if (heads === KV && s.path.endsWith('v')) return s.op('Transpose', [x], { perm: [0, 2, 1, 3] });
        const [cos, sin] = (['Cos', 'Sin'] as const).map((op) => {
          const rows = s.op('Squeeze', [byPositions(s, op, HD), s.ints(1)]);
          return unsqueeze(s, rows, 2);
        });
        const [low, high] = half(s, x);
        const turned = s.op('Concat', [s.op('Neg', [high]), low], { axis: -1 });
        const y = s.op('Add', [s.op('Mul', [x, cos]), s.op('Mul', [turned, sin])]);
        return s.op('Transpose', [y], { perm: [0, 2, 1, 3] });
      },
    });
    expect(opsOf(graph, 'wafc.rope').length).toBeGreaterThanOrEqual(2);
  });

  test('what is no rotation is refused, and the node is named', () => {
    const rotate = (s: Scope, x: string): string => {
      const [low, high] = half(s, x);
      const turned = s.op('Concat', [high, low], { axis: -1 });
      return s.op('Add', [
        s.op('Mul', [x, byPositions(s, 'Cos', HD)]),
        s.op('Mul', [turned, byPositions(s, 'Sin', HD)]),
      ]);
    };
    const [diagnostic] = refusal(attentionModel({ inputs: ['position_ids'], rotate }));
    expect(diagnostic).toMatchObject({ code: 'lift/not-token-wise' });
    expect(diagnostic.message).toContain('not a rotation');
    expect(diagnostic.node).toMatch(/^\/m\//);
  });
});

describe('what mixes tokens outside of attention', () => {
  test.each<[string, Parts, string]>([
    [
      'a mean over tokens',
      { before: (s, x) => s.op('Add', [x, s.op('ReduceMean', [x], { axes: [1] })]) },
      '/m/ReduceMean',
    ],
    ['a running sum', { before: (s, x) => s.op('CumSum', [x, s.constant('i64', [1], [])]) }, '/m/CumSum'],
    [
      'the token before',
      {
        before: (s, x) => {
          const zero = s.op('Mul', [s.op('Slice', [x, s.ints(0), s.ints(1), s.ints(1)]), s.scalar(0)]);
          const shifted = s.op('Concat', [zero, s.op('Slice', [x, s.ints(0), s.ints(-1), s.ints(1)])], { axis: 1 });
          return s.op('Add', [x, shifted]);
        },
      },
      '/m/',
    ],
    [
      'tokens in reverse',
      {
        before: (s, x) => {
          const y = s.op('Relu', [x]);
          return s.op('Add', [y, s.op('Slice', [y, s.ints(-1), s.ints(-(2 ** 40)), s.ints(1), s.ints(-1)])]);
        },
      },
      '/m/Add',
    ],
    ['a softmax over queries', { softmax: (s, x) => s.op('Softmax', [x], { axis: 2 }) }, '/m/Softmax'],
    ['a softmax over features', { before: (s, x) => s.op('Softmax', [x], { axis: -1 }) }, '/m/Softmax'],
    ['scores used as they are', { softmax: (_, x) => x }, '/m/'],
    [
      'probabilities thinned out by activations',
      {
        softmax: (s, x) => s.op('Mul', [s.op('Softmax', [x], { axis: -1 }), s.op('Sigmoid', [x])]),
      },
      '/m/',
    ],
  ])('%s', (_, parts, node) => {
    const [diagnostic] = refusal(attentionModel(parts));
    expect(diagnostic.code).toMatch(/^lift\//);
    expect(diagnostic.severity).toBe('error');
    expect(diagnostic.node).toMatch(new RegExp(`^${node}`));
    expect(diagnostic.notes?.length).toBeGreaterThan(0);
  });
});
