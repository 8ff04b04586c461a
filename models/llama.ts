/**
 * Llama-like decoders: RMSNorm as primitive ops, rotary positions (rotate-half), grouped-query attention by
 * repetition of keys and values, SwiGLU. As TorchScript exports Hugging Face's LlamaForCausalLM.
 */
import type { WritableModel } from '../src/onnx/writer.ts';
import { GraphBuilder, type Scope } from './graph-builder.ts';
import { attend, causalMask, declareCache, mergeHeads, splitHeads, withPast } from './layers.ts';
import type { FloatType } from './weights.ts';

export interface LlamaConfig {
  readonly kind: 'llama';
  readonly layers: number;
  readonly hidden: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly ffn: number;
  readonly vocab: number;
  readonly dtype: FloatType;
  readonly seed: number;
  readonly ropeTheta: number;
  readonly eps: number;
  /** The head is the transposed embedding. */
  readonly tied: boolean;
  /** past_key_values in, present out. */
  readonly cache: boolean;
  /** 14 to 17. */
  readonly opset: number;
  /** 1/sqrt(x) as Div(1, Sqrt) (exporters) or Reciprocal(Sqrt) (hand-made graphs). */
  readonly rsqrt: 'div' | 'reciprocal';
}

/** The model; its weights are made when they are read. */
export function buildLlama(config: LlamaConfig): WritableModel {
  const { layers, hidden, vocab, dtype, cache, tied } = config;
  const builder = new GraphBuilder(dtype, config.seed);
  const model = builder.scope('/model');
  const ids = builder.input('input_ids', 'i64', ['batch_size', 'sequence_length']);
  const total = cache ? 'total_sequence_length' : 'sequence_length';
  const mask = builder.input('attention_mask', 'i64', ['batch_size', total]);
  const positions = builder.input('position_ids', 'i64', ['batch_size', 'sequence_length']);
  builder.output('logits', ['batch_size', 'sequence_length', vocab]);
  if (cache) declareCache(model, layers, { heads: config.kvHeads, headDim: config.headDim });

  const embedding = builder.weight('model.embed_tokens.weight', [vocab, hidden], hidden ** -0.5);
  let x = model.inner('embed_tokens').op('Gather', [embedding, ids]);
  const additive = causalMask(model, ids, mask);
  const rotary = rotaryTables(model.inner('rotary_emb'), positions, config);
  for (let n = 0; n < layers; n++) x = layer(model.inner(`layers.${n}`), n, x, additive, rotary, config);
  x = rmsNorm(model, 'norm', x, config);

  const head = builder.scope('/lm_head');
  const matrix = tied
    ? head.op('Transpose', [embedding], { perm: [1, 0] })
    : builder.weight('lm_head.MatMul.weight', [hidden, vocab], hidden ** -0.5);
  head.op('MatMul', [x, matrix], {}, 'logits');
  return builder.finish('main_graph', config.opset);
}

interface Rotary {
  readonly cos: string;
  readonly sin: string;
}

function layer(s: Scope, n: number, input: string, mask: string, rotary: Rotary, config: LlamaConfig): string {
  const { hidden, heads, kvHeads, headDim, ffn } = config;
  const attention = s.inner('self_attn');
  const normed = rmsNorm(s, 'input_layernorm', input, config);
  const project = (name: string, to: number): string => attention.linear(name, normed, { from: hidden, to });
  const batch = attention.extent(normed, 0);
  const length = attention.extent(normed, 1);
  const split = (value: string, count: number): string =>
    splitHeads(attention, value, batch, length, { heads: count, headDim });
  const q = rotate(attention, split(project('q_proj', heads * headDim), heads), rotary, headDim);
  const k = rotate(attention, split(project('k_proj', kvHeads * headDim), kvHeads), rotary, headDim);
  const v = split(project('v_proj', kvHeads * headDim), kvHeads);
  const keys = repeatHeads(attention, withPast(attention, n, 'key', k, config.cache), config);
  const values = repeatHeads(attention, withPast(attention, n, 'value', v, config.cache), config);
  const mixed = attend(attention, q, keys, values, mask, headDim ** -0.5);
  const merged = mergeHeads(attention, mixed, batch, length, { heads, headDim });
  const x = s.op('Add', [input, attention.linear('o_proj', merged, { from: heads * headDim, to: hidden })]);

  const mlp = s.inner('mlp');
  const y = rmsNorm(s, 'post_attention_layernorm', x, config);
  const gate = mlp.linear('gate_proj', y, { from: hidden, to: ffn });
  const act = mlp.inner('act_fn');
  const silu = act.op('Mul', [gate, act.op('Sigmoid', [gate])]);
  const product = mlp.op('Mul', [silu, mlp.linear('up_proj', y, { from: hidden, to: ffn })]);
  return s.op('Add', [x, mlp.linear('down_proj', product, { from: ffn, to: hidden })]);
}

/** x / sqrt(mean x² + eps) * gain, computed in f32 whatever the model's type. */
function rmsNorm(parent: Scope, name: string, input: string, { hidden, eps, dtype, rsqrt }: LlamaConfig): string {
  const s = parent.inner(name);
  const label = s.path.replaceAll('/', '.').replace(/^\./, '');
  const x = dtype === 'f32' ? input : s.cast(input, 'f32');
  const squares = s.op('Pow', [x, s.scalar(2, 'f32')]);
  const mean = s.op('ReduceMean', [squares], { axes: [-1] });
  const root = s.op('Sqrt', [s.op('Add', [mean, s.scalar(eps, 'f32')])]);
  const inverse = rsqrt === 'div' ? s.op('Div', [s.scalar(1, 'f32'), root]) : s.op('Reciprocal', [root]);
  const normed = s.op('Mul', [x, inverse]);
  const back = dtype === 'f32' ? normed : s.cast(normed, dtype);
  return s.op('Mul', [s.builder.weight(`${label}.weight`, [hidden], 0.1, 1), back]);
}

/** cos and sin [B,1,S,headDim] of position times inverse frequency. */
function rotaryTables(s: Scope, positions: string, { headDim, ropeTheta, dtype }: LlamaConfig): Rotary {
  const half = headDim / 2;
  const inverse = Array.from({ length: half }, (_, i) => ropeTheta ** (-i / half));
  const frequencies = s.constant('f32', inverse, [1, half, 1]);
  const batch = s.extent(positions, 0);
  const shape = s.op('Concat', [batch, s.ints(half), s.ints(1)], { axis: 0 });
  const expanded = s.op('Expand', [frequencies, shape]);
  const at = s.cast(s.op('Unsqueeze', [positions, s.ints(1)]), 'f32');
  const angles = s.op('Transpose', [s.op('MatMul', [expanded, at])], { perm: [0, 2, 1] });
  const both = s.op('Concat', [angles, angles], { axis: -1 });
  const table = (op: 'Cos' | 'Sin'): string => {
    const value = s.op(op, [both]);
    return s.op('Unsqueeze', [dtype === 'f32' ? value : s.cast(value, dtype), s.ints(1)]);
  };
  return { cos: table('Cos'), sin: table('Sin') };
}

/** x cos + rotate_half(x) sin. */
function rotate(s: Scope, x: string, { cos, sin }: Rotary, headDim: number): string {
  const half = headDim / 2;
  const slice = (from: number, to: number): string =>
    s.op('Slice', [x, s.ints(from), s.ints(to), s.ints(3), s.ints(1)]);
  const low = slice(0, half);
  const turned = s.op('Concat', [s.op('Neg', [slice(half, 2 ** 63)]), low], { axis: -1 });
  return s.op('Add', [s.op('Mul', [x, cos]), s.op('Mul', [turned, sin])]);
}

/** [B,kv,T,D] -> [B,heads,T,D]: each head of keys serves heads/kv heads of queries. */
function repeatHeads(s: Scope, value: string, { heads, kvHeads, headDim }: LlamaConfig): string {
  if (heads === kvHeads) return value;
  const batch = s.extent(value, 0);
  const length = s.extent(value, 2);
  const groups = s.op('Unsqueeze', [value, s.ints(2)]);
  const parts = [batch, s.ints(kvHeads), s.ints(heads / kvHeads), length, s.ints(headDim)];
  const expanded = s.op('Expand', [groups, s.op('Concat', parts, { axis: 0 })]);
  return s.reshape(expanded, [batch, heads, length, headDim]);
}
