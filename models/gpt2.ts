/**
 * GPT-2-like decoders: learned positions, fused query-key-value projection (Gemm and Split), LayerNorm before each
 * block, tanh GELU, tied head. As TorchScript exports Hugging Face's GPT2LMHeadModel.
 */
import type { WritableModel } from '../src/onnx/writer.ts';
import { GraphBuilder, type Scope } from './graph-builder.ts';
import { attend, causalMask, declareCache, layerNorm, mergeHeads, splitHeads, withPast } from './layers.ts';
import type { FloatType } from './weights.ts';

export interface Gpt2Config {
  readonly kind: 'gpt2';
  readonly layers: number;
  readonly hidden: number;
  readonly heads: number;
  readonly ffn: number;
  readonly vocab: number;
  readonly maxPositions: number;
  readonly dtype: FloatType;
  readonly seed: number;
  readonly eps: number;
  readonly cache: boolean;
  /** 14 to 17. */
  readonly opset: number;
}

/** The model; its weights are made when they are read. */
export function buildGpt2(config: Gpt2Config): WritableModel {
  const { layers, hidden, heads, vocab, cache, eps, opset } = config;
  const builder = new GraphBuilder(config.dtype, config.seed);
  const model = builder.scope('/transformer');
  const ids = builder.input('input_ids', 'i64', ['batch_size', 'sequence_length']);
  const total = cache ? 'total_sequence_length' : 'sequence_length';
  const mask = builder.input('attention_mask', 'i64', ['batch_size', total]);
  const positions = builder.input('position_ids', 'i64', ['batch_size', 'sequence_length']);
  builder.output('logits', ['batch_size', 'sequence_length', vocab]);
  if (cache) declareCache(model, layers, { heads, headDim: hidden / heads });

  const embedding = builder.weight('transformer.wte.weight', [vocab, hidden], hidden ** -0.5);
  const places = builder.weight('transformer.wpe.weight', [config.maxPositions, hidden], 0.25 * hidden ** -0.5);
  const tokens = model.inner('wte').op('Gather', [embedding, ids]);
  let x = model.op('Add', [tokens, model.inner('wpe').op('Gather', [places, positions])]);
  const additive = causalMask(model, ids, mask);
  for (let n = 0; n < layers; n++) x = block(model.inner(`h.${n}`), n, x, additive, config);
  x = layerNorm(model, 'ln_f', x, hidden, eps, opset);
  const head = builder.scope('/lm_head');
  head.op('MatMul', [x, head.op('Transpose', [embedding], { perm: [1, 0] })], {}, 'logits');
  return builder.finish('main_graph', opset);
}

function block(s: Scope, n: number, input: string, mask: string, config: Gpt2Config): string {
  const { hidden, heads, ffn, eps, opset, cache } = config;
  const headDim = hidden / heads;
  const attention = s.inner('attn');
  const normed = layerNorm(s, 'ln_1', input, hidden, eps, opset);
  const batch = attention.extent(normed, 0);
  const length = attention.extent(normed, 1);
  const fused = conv1d(attention, 'c_attn', normed, hidden, 3 * hidden);
  const parts = attention.many('Split', [fused, attention.ints(hidden, hidden, hidden)], { axis: 2 }, 3);
  const [q, k, v] = parts.map((part) => splitHeads(attention, part, batch, length, { heads, headDim }));
  const keys = withPast(attention, n, 'key', k, cache);
  const values = withPast(attention, n, 'value', v, cache);
  const mixed = attend(attention, q, keys, values, mask, headDim ** -0.5);
  const merged = mergeHeads(attention, mixed, batch, length, { heads, headDim });
  const x = s.op('Add', [conv1d(attention, 'c_proj', merged, hidden, hidden), input]);

  const mlp = s.inner('mlp');
  const inner = conv1d(mlp, 'c_fc', layerNorm(s, 'ln_2', x, hidden, eps, opset), hidden, ffn);
  return s.op('Add', [x, conv1d(mlp, 'c_proj', geluTanh(mlp.inner('act'), inner), ffn, hidden)]);
}

/** Hugging Face's Conv1D: rows flattened, one Gemm with bias, shape restored. */
function conv1d(parent: Scope, name: string, value: string, from: number, to: number): string {
  const s = parent.inner(name);
  const label = s.path.replaceAll('/', '.').replace(/^\./, '');
  const weight = s.builder.weight(`${label}.weight`, [from, to], from ** -0.5);
  const bias = s.builder.weight(`${label}.bias`, [to], 0.02);
  const batch = s.extent(value, 0);
  const length = s.extent(value, 1);
  const product = s.op('Gemm', [s.reshape(value, [-1, from]), weight, bias], {
    alpha: { float: 1 },
    beta: { float: 1 },
  });
  return s.reshape(product, [batch, length, to]);
}

/** x/2 (1 + tanh(sqrt(2/π) (x + 0.044715 x³))). */
function geluTanh(s: Scope, x: string): string {
  const half = s.op('Mul', [x, s.scalar(0.5)]);
  const cubed = s.op('Mul', [s.op('Pow', [x, s.scalar(3)]), s.scalar(0.044715)]);
  const inside = s.op('Mul', [s.op('Add', [x, cubed]), s.scalar(Math.sqrt(2 / Math.PI))]);
  return s.op('Mul', [half, s.op('Add', [s.op('Tanh', [inside]), s.scalar(1)])]);
}
