/** Decoders as published ones differ: norms, positions, projections, residuals, masks. Small, and each part spelled as its exporter does. */
import { GraphBuilder, type Scope } from '../../models/graph-builder.ts';
import type { WritableModel } from '../../src/onnx/writer.ts';
import { VOCAB } from './support.ts';

export interface DecoderParts {
  readonly layers?: number;
  readonly heads?: number;
  readonly kvHeads?: number;
  readonly headDim?: number;
  readonly hidden?: number;
  readonly norm?: 'rms' | 'rms1p' | 'layer' | 'layer-no-bias';
  /** `sandwich`: norms before and after (Gemma 2); `post`: after only (OLMo 2); `parallel`: one norm for both (Falcon), `parallel2`: two (GPT-NeoX). */
  readonly residual?: 'pre' | 'sandwich' | 'post' | 'parallel' | 'parallel2';
  readonly positions?: 'rope' | 'interleaved' | 'learned' | 'alibi' | 't5' | 'none';
  /** Share of a head that is turned. */
  readonly partial?: number;
  readonly qkNorm?: 'head' | 'full';
  /** `fused`: q, k and v side by side; `by head`: q, k and v of each head side by side (BLOOM, GPT-NeoX); `by group`: the query heads of a group, then its k and v (Falcon 40B). */
  readonly qkv?: 'separate' | 'fused' | 'by head' | 'by group' | 'conv1d';
  readonly mlp?: 'silu' | 'gelu' | 'gelu-tanh' | 'fused silu' | 'relu2' | 'plain gelu';
  readonly bias?: boolean;
  readonly softcap?: number;
  readonly logitsCap?: number;
  readonly logitsScale?: number;
  /** Of each layer, in turn; 0: none. */
  readonly windows?: readonly number[];
  readonly embedScale?: number;
  readonly residualScale?: number;
  readonly scale?: number;
  readonly tied?: boolean;
  readonly cache?: boolean;
  readonly padding?: boolean;
  /** How masks reach the scores. */
  readonly mask?: 'add' | 'where' | 'clamped';
}

export type Decoder = Required<DecoderParts>;

const USUAL = {
  layers: 2,
  heads: 4,
  kvHeads: 2,
  headDim: 6,
  hidden: 20,
  norm: 'rms',
  residual: 'pre',
  positions: 'rope',
  partial: 1,
  qkNorm: undefined,
  qkv: 'separate',
  mlp: 'silu',
  bias: false,
  softcap: 0,
  logitsCap: 0,
  logitsScale: 1,
  windows: [0],
  embedScale: 1,
  residualScale: 1,
  scale: 0,
  tied: false,
  cache: true,
  padding: true,
  mask: 'add',
} as const;

const LOWEST = -3.4028234663852886e38;
const FFN = 28;

/** A decoder of the given parts; what is left out is as in Llama. */
export function decoder(parts: DecoderParts): WritableModel {
  const c = { ...USUAL, ...parts } as Decoder;
  const builder = new GraphBuilder('f32', 11);
  const s = builder.scope('/model');
  const ids = builder.input('input_ids', 'i64', ['batch', 'seq']);
  const total = c.cache ? 'total' : 'seq';
  if (c.padding) builder.input('attention_mask', 'i64', ['batch', total]);
  builder.input('position_ids', 'i64', ['batch', 'seq']);
  builder.output('logits', ['batch', 'seq', VOCAB]);
  if (c.cache)
    for (let n = 0; n < c.layers; n++)
      for (const what of ['key', 'value']) {
        builder.input(`past_key_values.${n}.${what}`, 'f32', ['batch', c.kvHeads, 'past', c.headDim]);
        builder.output(`present.${n}.${what}`, ['batch', c.kvHeads, total, c.headDim]);
      }
  const table = builder.weight('embed', [VOCAB, c.hidden], 0.5);
  let x = s.op('Gather', [table, ids]);
  if (c.embedScale !== 1) x = s.op('Mul', [x, s.scalar(c.embedScale)]);
  if (c.positions === 'learned')
    x = s.op('Add', [x, s.op('Gather', [builder.weight('positions', [64, c.hidden], 0.5), 'position_ids'])]);
  const shared = prepare(s, ids, c);
  for (let n = 0; n < c.layers; n++) x = layer(s.inner(`layers.${n}`), n, x, shared, c);
  x = norm(s, 'norm', x, c.hidden, c);
  const head = builder.scope('/lm_head');
  const matrix = c.tied
    ? head.op('Transpose', [table], { perm: [1, 0] })
    : builder.weight('lm_head.weight', [c.hidden, VOCAB], 0.3);
  const isPlain = c.logitsCap === 0 && c.logitsScale === 1;
  let logits = head.op('MatMul', [x, matrix], {}, isPlain ? 'logits' : undefined);
  if (c.logitsScale !== 1)
    logits = head.op('Div', [logits, head.scalar(c.logitsScale)], {}, c.logitsCap === 0 ? 'logits' : undefined);
  if (c.logitsCap !== 0)
    head.op(
      'Mul',
      [head.op('Tanh', [head.op('Div', [logits, head.scalar(c.logitsCap)])]), head.scalar(c.logitsCap)],
      {},
      'logits',
    );
  return builder.finish('decoder', 17);
}

interface Shared {
  readonly queries: string;
  readonly keys: string;
  readonly distance: string;
  readonly cos: string;
  readonly sin: string;
}

function prepare(s: Scope, ids: string, c: Decoder): Shared {
  const zero = s.constant('i64', [0], []);
  const one = s.constant('i64', [1], []);
  const length = s.op('Gather', [s.op('Shape', [ids]), one], { axis: 0 });
  const past = c.cache
    ? s.op('Gather', [s.op('Shape', ['past_key_values.0.key']), s.constant('i64', [2], [])], { axis: 0 })
    : zero;
  const total = s.op('Add', [past, length]);
  const queries = s.op('Unsqueeze', [s.op('Range', [past, total, one]), s.ints(1)]);
  const keys = s.op('Unsqueeze', [s.op('Range', [zero, total, one]), s.ints(0)]);
  const rotary = rotaryOf(c);
  const frequencies = s.constant(
    'f32',
    Array.from({ length: rotary / 2 }, (_, i) => 100 ** ((-2 * i) / rotary)),
    [1, 1, rotary / 2],
  );
  const angles = s.op('Mul', [s.op('Unsqueeze', [s.cast('position_ids', 'f32'), s.ints(2)]), frequencies]);
  const both = c.positions === 'interleaved' ? angles : s.op('Concat', [angles, angles], { axis: -1 });
  const [cos, sin] = ['Cos', 'Sin'].map((kind) => s.op('Unsqueeze', [s.op(kind, [both]), s.ints(1)]));
  return { queries, keys, distance: s.op('Sub', [keys, queries]), cos, sin };
}

const rotaryOf = (c: Decoder): number => Math.max(2, c.headDim * c.partial);

function layer(s: Scope, n: number, input: string, shared: Shared, c: Decoder): string {
  const add = (x: string, y: string): string =>
    s.op('Add', [x, c.residualScale === 1 ? y : s.op('Mul', [y, s.scalar(c.residualScale)])]);
  const before = (name: string, x: string): string => (c.residual === 'post' ? x : norm(s, name, x, c.hidden, c));
  const after = (name: string, x: string): string =>
    c.residual === 'post' || c.residual === 'sandwich' ? norm(s, name, x, c.hidden, c) : x;
  const first = before('input_layernorm', input);
  const attended = after('post_attention', attention(s.inner('attn'), n, first, shared, c));
  if (c.residual === 'parallel') return s.op('Add', [s.op('Add', [attended, mlp(s.inner('mlp'), first, c)]), input]);
  if (c.residual === 'parallel2')
    return s.op('Add', [s.op('Add', [mlp(s.inner('mlp'), before('norm2', input), c), attended]), input]);
  const x = add(input, attended);
  return add(x, after('post_mlp', mlp(s.inner('mlp'), before('norm2', x), c)));
}

function attention(s: Scope, n: number, x: string, shared: Shared, c: Decoder): string {
  const { heads, kvHeads, headDim } = c;
  const batch = s.extent(x, 0);
  const length = s.extent(x, 1);
  let [q, k, v] = project(s, x, batch, length, c);
  if (c.positions === 'rope' || c.positions === 'interleaved')
    [q, k] = [q, k].map((part, i) => rotate(s.inner(`rope${i}`), part, shared, c));
  if (c.cache)
    [k, v] = [k, v].map((fresh, i) => {
      const what = ['key', 'value'][i];
      return s.op('Concat', [`past_key_values.${n}.${what}`, fresh], { axis: 2 }, `present.${n}.${what}`);
    });
  const repeat = (value: string): string => {
    if (heads === kvHeads) return value;
    const [b, t] = [s.extent(value, 0), s.extent(value, 2)];
    const wide = s.op('Concat', [b, s.ints(kvHeads), s.ints(heads / kvHeads), t, s.ints(headDim)], { axis: 0 });
    return s.reshape(s.op('Expand', [s.op('Unsqueeze', [value, s.ints(2)]), wide]), [b, heads, t, headDim]);
  };
  const scale = c.scale === 0 ? headDim ** -0.5 : c.scale;
  let scores = s.op('MatMul', [q, s.op('Transpose', [repeat(k)], { perm: [0, 1, 3, 2] })]);
  if (scale !== 1) scores = s.op('Mul', [scores, s.scalar(scale)]);
  if (c.softcap !== 0)
    scores = s.op('Mul', [s.op('Tanh', [s.op('Div', [scores, s.scalar(c.softcap)])]), s.scalar(c.softcap)]);
  const soft = s.op('Softmax', [masked(s.inner('mask'), scores, n, shared, c)], { axis: -1 });
  const mixed = s.op('Transpose', [s.op('MatMul', [soft, repeat(v)])], { perm: [0, 2, 1, 3] });
  return s.linear('o', s.reshape(mixed, [batch, length, heads * headDim]), {
    from: heads * headDim,
    to: c.hidden,
    bias: c.bias,
  });
}

function masked(s: Scope, given: string, n: number, shared: Shared, c: Decoder): string {
  let scores = given;
  const { queries, keys, distance } = shared;
  const window = c.windows[n % c.windows.length];
  let allowed = s.op('LessOrEqual', [keys, queries]);
  if (window > 0) allowed = s.op('And', [allowed, s.op('Greater', [distance, s.constant('i64', [-window], [])])]);
  if (c.padding) allowed = s.op('And', [allowed, s.op('Unsqueeze', [s.cast('attention_mask', 'bool'), s.ints(1, 2)])]);
  let bias: string | undefined;
  if (c.positions === 'alibi') {
    const slopes = s.constant(
      'f32',
      Array.from({ length: c.heads }, (_, h) => 2 ** -(h + 1)),
      [1, c.heads, 1, 1],
    );
    bias = s.op('Mul', [slopes, s.cast(s.op('Unsqueeze', [keys, s.ints(0, 1)]), 'f32')]);
  }
  if (c.positions === 't5') {
    const far = s.op('Min', [
      s.op('Neg', [s.op('Min', [distance, s.constant('i64', [0], [])])]),
      s.constant('i64', [7], []),
    ]);
    const rows = s.op('Gather', [s.builder.weight('relative_bias', [8, c.heads], 1), far]);
    bias = s.op('Unsqueeze', [s.op('Transpose', [rows], { perm: [2, 0, 1] }), s.ints(0)]);
  }
  const additive = (): string => s.op('Where', [allowed, s.scalar(0), s.scalar(LOWEST)]);
  if (c.mask === 'where') {
    if (bias !== undefined) scores = s.op('Add', [scores, bias]);
    return s.op('Where', [allowed, scores, s.scalar(LOWEST)]);
  }
  if (c.mask === 'clamped') {
    const sum = s.op('Add', [bias === undefined ? scores : s.op('Add', [scores, bias]), additive()]);
    return s.op('Max', [sum, s.scalar(LOWEST)]);
  }
  return s.op('Add', [scores, bias === undefined ? additive() : s.op('Add', [bias, additive()])]);
}

function project(s: Scope, x: string, batch: string, length: string, c: Decoder): [string, string, string] {
  const { heads, kvHeads, headDim, hidden, bias } = c;
  const toFront = (v: string): string => s.op('Transpose', [v], { perm: [0, 2, 1, 3] });
  const split = (v: string, count: number, name?: string): string => {
    const apart = s.reshape(v, [batch, length, count, headDim]);
    return toFront(name === undefined || c.qkNorm !== 'head' ? apart : norm(s, name, apart, headDim, c));
  };
  const full = (name: string, v: string, width: number): string =>
    c.qkNorm === 'full' ? norm(s, name, v, width, c) : v;
  const widths = [heads, kvHeads, kvHeads].map((count) => count * headDim);
  const sum = widths.reduce((a, b) => a + b, 0);
  if (c.qkv === 'separate') {
    const [q, k, v] = widths.map((to, i) => s.linear('qkv'[i], x, { from: hidden, to, bias }));
    return [
      split(full('q_norm', q, widths[0]), heads, 'q_norm'),
      split(full('k_norm', k, widths[1]), kvHeads, 'k_norm'),
      split(v, kvHeads),
    ];
  }
  if (c.qkv === 'conv1d') {
    const flat = s.reshape(x, [-1, hidden]);
    const product = s.op('Gemm', [
      flat,
      s.builder.weight(`${s.path}.c_attn`, [hidden, sum], 0.2),
      s.builder.weight(`${s.path}.c_attn.bias`, [sum], 0.1),
    ]);
    const parts = s.many('Split', [s.reshape(product, [batch, length, sum]), s.ints(...widths)], { axis: 2 }, 3);
    return [split(parts[0], heads), split(parts[1], kvHeads), split(parts[2], kvHeads)];
  }
  const all = s.linear('qkv', x, { from: hidden, to: sum, bias });
  const cut = (v: string, axis: number, start: number, end: number): string =>
    s.op('Slice', [v, s.ints(start), s.ints(end), s.ints(axis), s.ints(1)]);
  if (c.qkv === 'fused') {
    const [a, b] = [widths[0], widths[0] + widths[1]];
    return [
      split(cut(all, 2, 0, a), heads, 'q_norm'),
      split(cut(all, 2, a, b), kvHeads, 'k_norm'),
      split(cut(all, 2, b, sum), kvHeads),
    ];
  }
  if (c.qkv === 'by head') {
    const apart = s.reshape(all, [batch, length, heads, 3 * headDim]);
    return [0, 1, 2].map((i) => toFront(cut(apart, 3, i * headDim, (i + 1) * headDim))) as [string, string, string];
  }
  const group = heads / kvHeads;
  const apart = s.reshape(all, [batch, length, kvHeads, group + 2, headDim]);
  const q = s.reshape(cut(apart, 3, 0, group), [batch, length, heads, headDim]);
  const [k, v] = [group, group + 1].map((i) => s.op('Squeeze', [cut(apart, 3, i, i + 1), s.ints(3)]));
  return [toFront(q), toFront(k), toFront(v)];
}

function rotate(s: Scope, x: string, { cos, sin }: Shared, c: Decoder): string {
  const rotary = rotaryOf(c);
  const cut = (v: string, from: number, to: number, step = 1): string =>
    s.op('Slice', [v, s.ints(from), s.ints(to), s.ints(3), s.ints(step)]);
  const turning = rotary === c.headDim ? x : cut(x, 0, rotary);
  let turned: string;
  if (c.positions === 'interleaved') {
    const [even, odd] = [cut(turning, 0, 2 ** 31, 2), cut(turning, 1, 2 ** 31, 2)];
    const times = (a: string, b: string): string => s.op('Mul', [a, b]);
    const parts = [s.op('Sub', [times(even, cos), times(odd, sin)]), s.op('Add', [times(odd, cos), times(even, sin)])];
    const pairs = s.op(
      'Concat',
      parts.map((p) => s.op('Unsqueeze', [p, s.ints(4)])),
      { axis: 4 },
    );
    turned = s.reshape(pairs, [s.extent(x, 0), s.extent(x, 1), s.extent(x, 2), rotary]);
  } else {
    const half = s.op('Concat', [s.op('Neg', [cut(turning, rotary / 2, 2 ** 31)]), cut(turning, 0, rotary / 2)], {
      axis: -1,
    });
    turned = s.op('Add', [s.op('Mul', [turning, cos]), s.op('Mul', [half, sin])]);
  }
  return rotary === c.headDim ? turned : s.op('Concat', [turned, cut(x, rotary, 2 ** 31)], { axis: -1 });
}

function mlp(s: Scope, x: string, c: Decoder): string {
  const { hidden, bias } = c;
  const linear = (name: string, value: string, from: number, to: number): string =>
    s.linear(name, value, { from, to, bias });
  const gelu = (v: string): string => {
    const erf = s.op('Erf', [s.op('Div', [v, s.scalar(Math.SQRT2)])]);
    return s.op('Mul', [s.op('Mul', [v, s.op('Add', [erf, s.scalar(1)])]), s.scalar(0.5)]);
  };
  const tanh = (v: string): string => {
    const cube = s.op('Pow', [v, s.scalar(3)]);
    const inner = s.op('Mul', [
      s.op('Add', [v, s.op('Mul', [cube, s.scalar(0.044715)])]),
      s.scalar(Math.sqrt(2 / Math.PI)),
    ]);
    return s.op('Mul', [s.op('Mul', [v, s.scalar(0.5)]), s.op('Add', [s.op('Tanh', [inner]), s.scalar(1)])]);
  };
  const silu = (v: string): string => s.op('Mul', [v, s.op('Sigmoid', [v])]);
  switch (c.mlp) {
    case 'plain gelu':
      return linear('down', gelu(linear('up', x, hidden, FFN)), FFN, hidden);
    case 'relu2': {
      const relu = s.op('Relu', [linear('up', x, hidden, FFN)]);
      return linear('down', s.op('Mul', [relu, relu]), FFN, hidden);
    }
    case 'fused silu': {
      const [gate, up] = s.many('Split', [linear('gate_up', x, hidden, 2 * FFN), s.ints(FFN, FFN)], { axis: -1 }, 2);
      return linear('down', s.op('Mul', [up, silu(gate)]), FFN, hidden);
    }
    default: {
      const f = c.mlp === 'silu' ? silu : c.mlp === 'gelu' ? gelu : tanh;
      return linear(
        'down',
        s.op('Mul', [f(linear('gate', x, hidden, FFN)), linear('up', x, hidden, FFN)]),
        FFN,
        hidden,
      );
    }
  }
}

function norm(parent: Scope, name: string, x: string, width: number, c: Decoder): string {
  const s = parent.inner(name);
  const gain = s.builder.weight(`${s.path}.weight`, [width], 0.1, c.norm === 'rms1p' ? 0 : 1);
  const mean = (v: string): string => s.op('ReduceMean', [v], { axes: [-1] });
  const inverse = (v: string): string => s.op('Div', [s.scalar(1), s.op('Sqrt', [s.op('Add', [v, s.scalar(1e-5)])])]);
  if (c.norm === 'layer')
    return s.op('LayerNormalization', [x, gain, s.builder.weight(`${s.path}.bias`, [width], 0.1)], {
      axis: -1,
      epsilon: { float: 1e-5 },
    });
  if (c.norm === 'layer-no-bias') {
    const centred = s.op('Sub', [x, mean(x)]);
    return s.op('Mul', [gain, s.op('Mul', [centred, inverse(mean(s.op('Pow', [centred, s.scalar(2)])))])]);
  }
  const normed = s.op('Mul', [x, inverse(mean(s.op('Pow', [x, s.scalar(2)])))]);
  return s.op('Mul', c.norm === 'rms1p' ? [normed, s.op('Add', [gain, s.scalar(1)])] : [gain, normed]);
}
