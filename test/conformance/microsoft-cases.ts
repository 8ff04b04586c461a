/** Calls of com.microsoft ops on random inputs, every form of mask, cache and packing that wafc claims to have. */
import type { DType } from '../../src/ir/types.ts';
import { fromNumbers, sizeOf, type Tensor } from '../../src/tensor/tensor.ts';
import { normalStream, randomStream } from '../../src/util/rng.ts';
import type { SingleOp } from './single-op.ts';

const random = randomStream(1, 'microsoft-cases');
const normal = normalStream(random);

const floats = (...shape: number[]): Tensor =>
  fromNumbers(
    'f32',
    shape,
    Array.from({ length: sizeOf(shape) }, () => normal() * 0.7),
  );
const integers = (dtype: DType, low: number, high: number, ...shape: number[]): Tensor =>
  fromNumbers(
    dtype,
    shape,
    Array.from({ length: sizeOf(shape) }, () => low + Math.floor(random() * (high - low + 1))),
  );
/** onnxruntime's AVX2 kernels add two u8 x i8 products in 16 bits and saturate; with 7 bits of weight they cannot. */
const SEVEN_BITS = [-64, 55] as const;
const ints = (dtype: DType, shape: readonly number[], values: readonly number[]): Tensor =>
  fromNumbers(dtype, shape, values);
const half = (t: Tensor): Tensor => ({ ...t, dtype: 'f16', data: t.data.map((v) => Math.round(v * 64) / 64) });

type Case = Omit<SingleOp, 'domain'> & { readonly name: string; readonly domain?: string };
const F = 'f32' as const;

const norms: Case[] = [
  {
    name: 'skip',
    op: 'SkipLayerNormalization',
    inputs: [floats(2, 3, 8), floats(2, 3, 8), floats(8), floats(8)],
    outputs: [F],
  },
  {
    name: 'skip, bias and sum',
    op: 'SkipLayerNormalization',
    attrs: { epsilon: { float: 1e-5 } },
    inputs: [floats(2, 3, 8), floats(3, 8), floats(8), floats(8), floats(8)],
    outputs: [F, '', '', F],
  },
  {
    name: 'skip rms',
    op: 'SkipSimplifiedLayerNormalization',
    attrs: { epsilon: { float: 1e-6 } },
    inputs: [floats(2, 3, 8), floats(2, 3, 8), floats(8), floats(8)],
    outputs: [F, '', '', F],
  },
  {
    name: 'rms',
    op: 'SimplifiedLayerNormalization',
    domain: '',
    version: 17,
    attrs: { axis: -1, epsilon: { float: 1e-6 }, stash_type: 1 },
    inputs: [floats(2, 3, 8), floats(8)],
    outputs: [F],
  },
  {
    name: 'embed',
    op: 'EmbedLayerNormalization',
    inputs: [
      integers('i32', 0, 9, 2, 4),
      integers('i32', 0, 1, 2, 4),
      floats(10, 6),
      floats(7, 6),
      floats(2, 6),
      floats(6),
      floats(6),
      ints('i32', [2, 4], [1, 1, 1, 0, 1, 1, 0, 0]),
    ],
    attrs: { mask_index_type: 1 },
    outputs: [F, 'i32'],
  },
  {
    name: 'embed with positions and sum',
    op: 'EmbedLayerNormalization',
    inputs: [
      integers('i32', 0, 9, 2, 4),
      undefined,
      floats(10, 6),
      floats(7, 6),
      undefined,
      floats(6),
      floats(6),
      undefined,
      integers('i32', 0, 6, 2, 4),
    ],
    outputs: [F, 'i32', F],
  },
];

const activations: Case[] = [
  { name: 'gelu', op: 'Gelu', inputs: [floats(3, 9)], outputs: [F] },
  { name: 'bias gelu', op: 'BiasGelu', inputs: [floats(3, 9), floats(9)], outputs: [F] },
  { name: 'fast gelu', op: 'FastGelu', inputs: [floats(3, 9)], outputs: [F] },
  { name: 'fast gelu, bias', op: 'FastGelu', inputs: [floats(3, 9), floats(9)], outputs: [F] },
  { name: 'quick gelu', op: 'QuickGelu', attrs: { alpha: { float: 1.5 } }, inputs: [floats(3, 9)], outputs: [F] },
];

const matmuls: Case[] = [
  {
    name: 'fused',
    op: 'FusedMatMul',
    attrs: { transA: 1, alpha: { float: 0.5 } },
    inputs: [floats(2, 5, 3), floats(2, 5, 4)],
    outputs: [F],
  },
  {
    name: 'fused, both flipped',
    op: 'FusedMatMul',
    attrs: { transA: 1, transB: 1 },
    inputs: [floats(2, 5, 3), floats(4, 5)],
    outputs: [F],
  },
  {
    name: 'fused, batch flipped',
    op: 'FusedMatMul',
    attrs: { transBatchA: 1, transBatchB: 1, transB: 1 },
    inputs: [floats(3, 2, 5), floats(4, 2, 5)],
    outputs: [F],
  },
  {
    name: 'gemm and leaky relu',
    op: 'FusedGemm',
    attrs: { transB: 1, alpha: { float: 0.5 }, activation: 'LeakyRelu', activation_alpha: { float: 0.2 } },
    inputs: [floats(3, 5), floats(4, 5), floats(4)],
    outputs: [F],
  },
  {
    name: 'dynamic u8',
    op: 'DynamicQuantizeMatMul',
    inputs: [floats(3, 8), integers('u8', 0, 255, 8, 5), floats(5), integers('u8', 0, 255, 5), floats(5)],
    outputs: [F],
  },
  {
    name: 'dynamic i8',
    op: 'DynamicQuantizeMatMul',
    inputs: [floats(2, 3, 8), integers('i8', ...SEVEN_BITS, 8, 5), floats(1)],
    outputs: [F],
  },
  {
    name: 'integer to float',
    op: 'MatMulIntegerToFloat',
    inputs: [
      integers('u8', 0, 255, 3, 8),
      integers('i8', ...SEVEN_BITS, 8, 5),
      floats(1),
      floats(5),
      integers('u8', 0, 255, 1),
      integers('i8', -9, 9, 5),
      floats(5),
    ],
    outputs: [F],
  },
];

/** bits, N, K, block: the padded last block included. */
const nbits: Case[] = [4, 8, 2].flatMap((bits) =>
  [
    [5, 32, 16],
    [3, 40, 32],
  ].map(([n, k, block]): Case => {
    const blocks = Math.ceil(k / block);
    const zeros = integers('u8', 0, 255, n * Math.ceil((blocks * bits) / 8));
    return {
      name: `${bits} bits, ${n} x ${k} by ${block}`,
      op: 'MatMulNBits',
      attrs: { bits, N: n, K: k, block_size: block },
      inputs: [
        floats(2, 3, k),
        integers('u8', 0, 255, n, blocks, (block * bits) / 8),
        floats(n * blocks),
        ...(k === 40 ? [zeros] : []),
      ],
      outputs: [F],
    };
  }),
);
/**
 * Columns that take the scale of another block than the one they lie in. onnxruntime on a CPU has this for 4 bits, and
 * passes over zero points in bytes; the other forms are in test/ops/microsoft/nbits.test.ts.
 */
const regrouped: Case[] = [['', undefined] as const, [', float zero points', floats(5, 4)] as const].map(
  ([name, zeros]) => ({
    name: `4 bits, columns in any group${name}`,
    op: 'MatMulNBits',
    attrs: { bits: 4, N: 5, K: 64, block_size: 16 },
    inputs: [floats(2, 3, 64), integers('u8', 0, 255, 5, 4, 8), floats(20), zeros, integers('i32', 0, 3, 64)],
    outputs: [F],
  }),
);
const gathers: Case[] = [
  {
    name: 'rows of u8 pairs',
    op: 'GatherBlockQuantized',
    attrs: { bits: 4, block_size: 16, gather_axis: 0, quantize_axis: 1 },
    inputs: [integers('u8', 0, 255, 6, 24), integers('i64', -6, 5, 2, 3), floats(6, 3), integers('u8', 0, 255, 6, 2)],
    outputs: [F],
  },
  {
    name: 'rows of bytes, no zero points',
    op: 'GatherBlockQuantized',
    attrs: { bits: 8, block_size: 16, gather_axis: 0, quantize_axis: 1 },
    inputs: [integers('u8', 0, 255, 6, 32), integers('i64', 0, 5, 4), floats(6, 2)],
    outputs: [F],
  },
];

const attention = (name: string, more: Partial<Case>, inputs: readonly (Tensor | undefined)[]): Case => ({
  name,
  op: 'Attention',
  attrs: { num_heads: 2 },
  inputs: [floats(2, 3, 8), floats(8, 24), floats(24), ...inputs],
  outputs: [F],
  ...more,
});
const causal = { num_heads: 2, unidirectional: 1 };
const attentions: Case[] = [
  attention('plain', {}, []),
  attention('causal', { attrs: causal }, []),
  attention('scaled', { attrs: { num_heads: 2, scale: { float: 0.3 } } }, []),
  attention('lengths', {}, [ints('i32', [2], [3, 2])]),
  attention('ends and starts', {}, [ints('i32', [4], [3, 2, 1, 0])]),
  attention('flags', {}, [ints('i32', [2, 3], [1, 1, 0, 0, 1, 1])]),
  attention('flags by query', {}, [integers('i32', 0, 1, 2, 3, 3)]),
  attention('causal with flags', { attrs: { ...causal, mask_filter_value: { float: -3.4028234663852886e38 } } }, [
    ints('i32', [2, 3], [1, 1, 0, 1, 1, 1]),
  ]),
  attention('past', { attrs: causal, outputs: [F, F] }, [undefined, floats(2, 2, 2, 5, 4)]),
  attention('bias', {}, [undefined, undefined, floats(1, 2, 3, 3)]),
  attention(
    'three widths',
    { attrs: { num_heads: 2, qkv_hidden_sizes: [8, 8, 12] }, inputs: [floats(2, 3, 8), floats(8, 28), floats(28)] },
    [],
  ),
];

const multi = (name: string, inputs: readonly (Tensor | undefined)[], more: Partial<Case> = {}): Case => ({
  name,
  op: 'MultiHeadAttention',
  attrs: { num_heads: 2 },
  inputs,
  outputs: [F],
  ...more,
});
const [q, k, v] = [floats(2, 3, 8), floats(2, 5, 8), floats(2, 5, 8)];
const multis: Case[] = [
  multi('cross', [q, k, v]),
  multi('wide values', [q, k, floats(2, 5, 12)]),
  multi('bias', [q, k, v, floats(24)]),
  multi('lengths', [q, k, v, undefined, ints('i32', [2], [5, 2])]),
  multi('flags', [q, k, v, undefined, integers('i32', 0, 1, 2, 5)]),
  multi('scores', [q, k, v, undefined, undefined, floats(2, 2, 3, 5)]),
  multi('causal', [q, floats(2, 3, 8), floats(2, 3, 8)], { attrs: causal }),
  multi(
    'past',
    [q, floats(2, 3, 8), floats(2, 3, 8), undefined, undefined, undefined, floats(2, 2, 4, 4), floats(2, 2, 4, 4)],
    {
      outputs: [F, F, F],
    },
  ),
  multi('keys by head', [q, floats(2, 2, 5, 4), floats(2, 2, 5, 4)]),
];

/** onnxruntime wants heads of a multiple of 16 here. */
const rope = [floats(16, 8), floats(16, 8)];
const grouped = (
  name: string,
  sizes: { past: number; fresh: number; valid: readonly number[]; total: number; packed?: boolean },
  attrs: SingleOp['attrs'] = {},
  more: readonly (Tensor | undefined)[] = [],
): Case => {
  const { past, fresh, valid, total, packed } = sizes;
  const cache = () => floats(2, 2, past, 16);
  const rotary = 'do_rotary' in (attrs ?? {}) ? rope : [undefined, undefined];
  const qkv = packed
    ? [floats(2, fresh, 128), undefined, undefined]
    : [floats(2, fresh, 64), floats(2, fresh, 32), floats(2, fresh, 32)];
  return {
    name,
    op: 'GroupQueryAttention',
    attrs: { num_heads: 4, kv_num_heads: 2, ...attrs },
    inputs: [...qkv, cache(), cache(), ints('i32', [2], valid), ints('i32', [1], [total]), ...rotary, ...more],
    outputs: [F, F, F],
  };
};
const groups: Case[] = [
  grouped('prompt', { past: 0, fresh: 5, valid: [4, 4], total: 5 }),
  grouped('prompt, rotary', { past: 0, fresh: 5, valid: [4, 4], total: 5 }, { do_rotary: 1 }),
  grouped(
    'prompt, interleaved',
    { past: 0, fresh: 5, valid: [4, 4], total: 5 },
    { do_rotary: 1, rotary_interleaved: 1 },
  ),
  grouped('step', { past: 6, fresh: 1, valid: [6, 6], total: 7 }, { do_rotary: 1 }),
  grouped('step, rows of two lengths', { past: 6, fresh: 1, valid: [6, 3], total: 7 }, { do_rotary: 1 }),
  grouped('packed', { past: 6, fresh: 1, valid: [6, 6], total: 7, packed: true }, { do_rotary: 1 }),
  grouped('window', { past: 6, fresh: 1, valid: [6, 6], total: 7 }, { local_window_size: 3 }),
  grouped('prompt, window', { past: 0, fresh: 7, valid: [6, 6], total: 7 }, { local_window_size: 2 }),
  grouped('softcap', { past: 6, fresh: 1, valid: [6, 6], total: 7 }, { softcap: { float: 0.5 } }),
  grouped('smooth softmax', { past: 6, fresh: 1, valid: [6, 6], total: 7 }, { smooth_softmax: 1 }),
  grouped('sink', { past: 6, fresh: 1, valid: [6, 6], total: 7 }, {}, [undefined, undefined, floats(4)]),
  grouped('bias', { past: 6, fresh: 1, valid: [6, 6], total: 7 }, {}, [undefined, floats(2, 4, 1, 7)]),
];

/** A cache of codes: `grouped`, with its past drawn as integers and the scales behind it. */
const coded = (
  name: string,
  bits: 4 | 8,
  kinds: readonly [key: string, value: string],
  sizes: Parameters<typeof grouped>[1],
  attrs: SingleOp['attrs'] = {},
  more: readonly (Tensor | undefined)[] = [],
): Case => {
  const base = grouped(name, sizes, {
    kv_cache_bit_width: bits,
    k_quant_type: kinds[0],
    v_quant_type: kinds[1],
    ...attrs,
  });
  const dtype = bits === 4 ? 'u8' : 'i8';
  const past = () =>
    bits === 4 ? integers(dtype, 0, 255, 2, 2, sizes.past, 8) : integers(dtype, -128, 127, 2, 2, sizes.past, 16);
  const scale = (kind: string): Tensor =>
    fromNumbers(
      'f32',
      kind === 'PER_TENSOR' ? [1] : [1, 2, 1, 16],
      Array.from({ length: kind === 'PER_TENSOR' ? 1 : 32 }, () => (bits === 4 ? 0.15 : 0.012) * (0.5 + random())),
    );
  const inputs = [...base.inputs.slice(0, 3), past(), past(), ...base.inputs.slice(5, 9), ...more];
  while (inputs.length < 12) inputs.push(undefined);
  return { ...base, inputs: [...inputs, scale(kinds[0]), scale(kinds[1])], outputs: [F, dtype, dtype] };
};
const [T, C] = ['PER_TENSOR', 'PER_CHANNEL'];
const prompt = { past: 0, fresh: 5, valid: [4, 4], total: 5 };
const step = { past: 6, fresh: 1, valid: [6, 6], total: 7 };
/** onnxruntime on a CPU wants the same kind for keys and values; two kinds are in test/ops/microsoft/gqa.test.ts. */
const codedGroups: Case[] = ([4, 8] as const).flatMap((bits) => [
  ...[T, C].flatMap((kind) => [
    coded(`${bits}-bit cache ${kind}, prompt`, bits, [kind, kind], prompt, { do_rotary: 1 }),
    coded(`${bits}-bit cache ${kind}, step`, bits, [kind, kind], step, { do_rotary: 1 }),
  ]),
  coded(`${bits}-bit cache, rows of two lengths`, bits, [C, C], { ...step, valid: [6, 3] }),
  coded(`${bits}-bit cache, packed`, bits, [C, C], { ...step, packed: true }, { do_rotary: 1 }),
  coded(`${bits}-bit cache, window`, bits, [T, T], step, { local_window_size: 3 }),
  coded(`${bits}-bit cache, softcap`, bits, [T, T], step, { softcap: { float: 0.5 } }),
  coded(`${bits}-bit cache, sink`, bits, [T, T], step, {}, [undefined, undefined, floats(4)]),
  coded(`${bits}-bit cache, bias`, bits, [C, C], step, {}, [undefined, floats(2, 4, 1, 7)]),
  coded(`${bits}-bit cache, room left`, bits, [C, C], { past: 9, fresh: 1, valid: [6, 3], total: 7 }),
]);
const halfCoded: Case[] = ([4, 8] as const).map((bits) => {
  const base = coded(`half, ${bits}-bit cache`, bits, [C, C], step);
  const inputs = base.inputs.map((t, i) => (t?.dtype === 'f32' && i < 3 ? half(t) : t));
  return { ...base, inputs, outputs: ['f16', ...base.outputs.slice(1)] };
});
const bothWays: Case[] = [prompt, { ...step, valid: [6, 3] }].map((sizes, i) =>
  grouped(`later positions too, ${i}`, sizes, { causal: 0, do_rotary: 1 }),
);

const rotaries: Case[] = [
  {
    name: 'one offset',
    op: 'RotaryEmbedding',
    inputs: [floats(2, 3, 8), ints('i64', [1], [2]), floats(9, 2), floats(9, 2)],
    outputs: [F],
  },
  {
    name: 'ids, interleaved',
    op: 'RotaryEmbedding',
    attrs: { interleaved: 1 },
    inputs: [floats(2, 2, 3, 4), integers('i64', 0, 8, 2, 3), floats(9, 2), floats(9, 2)],
    outputs: [F],
  },
  {
    name: 'part of the head',
    op: 'RotaryEmbedding',
    attrs: { rotary_embedding_dim: 4, num_heads: 2 },
    inputs: [floats(2, 3, 16), integers('i64', 0, 8, 2, 3), floats(9, 2), floats(9, 2)],
    outputs: [F],
  },
];

/** Four experts of 16 to 32 and back; `fused` doubles the first layer. */
const moe = (name: string, attrs: SingleOp['attrs'], fused = 1): Case => ({
  name,
  op: 'MoE',
  attrs: { k: 2, ...attrs },
  inputs: [
    floats(3, 16),
    floats(3, 4),
    floats(4, fused * 32, 16),
    floats(4, fused * 32),
    floats(4, 16, 32),
    floats(4, 16),
  ],
  outputs: [F],
});
const qmoe = (
  name: string,
  bits: number,
  attrs: SingleOp['attrs'],
  fused: number,
  more: readonly (Tensor | undefined)[] = [],
): Case => ({
  name,
  op: 'QMoE',
  attrs: { k: 2, expert_weight_bits: bits, normalize_routing_weights: 1, ...attrs },
  inputs: [
    floats(3, 32),
    floats(3, 4),
    integers('u8', 0, 255, 4, fused * 64, (32 * bits) / 8),
    scales(4, fused * 64),
    floats(4, fused * 64),
    integers('u8', 0, 255, 4, 32, (64 * bits) / 8),
    scales(4, 32),
    floats(4, 32),
    ...more,
  ],
  outputs: [F],
});
const scales = (...shape: number[]): Tensor =>
  fromNumbers(
    'f32',
    shape,
    Array.from({ length: sizeOf(shape) }, () => 0.01 * (1 + random())),
  );
const glu = {
  activation_type: 'swiglu',
  swiglu_fusion: 1,
  activation_alpha: { float: 1.702 },
  activation_beta: { float: 1 },
};
const zeroPoints = [undefined, undefined, undefined];
const mixtures: Case[] = [
  ...['relu', 'gelu', 'silu', 'identity'].map((activation_type) => moe(activation_type, { activation_type })),
  moe('normalized', { activation_type: 'silu', normalize_routing_weights: 1 }),
  moe('swiglu', { ...glu, swiglu_limit: { float: 0.7 }, normalize_routing_weights: 1 }, 2),
  qmoe('4 bits, swiglu', 4, glu, 2),
  qmoe('8 bits, swiglu', 8, glu, 2),
  qmoe('4 bits, zero points', 4, glu, 2, [...zeroPoints, integers('u8', 0, 255, 4, 64), integers('u8', 0, 255, 4, 16)]),
];

const halves: Case[] = [
  { name: 'half gelu', op: 'Gelu', inputs: [half(floats(3, 9))], outputs: ['f16'] },
  {
    name: 'half bits',
    op: 'MatMulNBits',
    attrs: { bits: 4, N: 3, K: 32, block_size: 16 },
    inputs: [half(floats(2, 32)), integers('u8', 0, 255, 3, 2, 8), half(floats(6))],
    outputs: ['f16'],
  },
];

const quantizers: Case[] = [
  {
    name: 'per axis',
    op: 'QuantizeLinear',
    attrs: { axis: 0 },
    inputs: [floats(3, 4), ints('f32', [3], [0.1, 0.2, 0.05]), integers('u8', 100, 140, 3)],
    outputs: ['u8'],
  },
  {
    name: 'per axis',
    op: 'DequantizeLinear',
    attrs: { axis: 1 },
    inputs: [integers('i8', -128, 127, 3, 4), floats(4), integers('i8', -9, 9, 4)],
    outputs: [F],
  },
];

/** All of them. */
export const microsoftCases: readonly (SingleOp & { readonly name: string })[] = [
  ...norms,
  ...activations,
  ...matmuls,
  ...nbits,
  ...regrouped,
  ...gathers,
  ...attentions,
  ...multis,
  ...groups,
  ...codedGroups,
  ...halfCoded,
  ...bothWays,
  ...rotaries,
  ...mixtures,
  ...halves,
  ...quantizers,
].map((c) => ({ domain: 'com.microsoft', ...c }));
