/** What the three architectures share: masks, attention over heads, LayerNorm. Names follow the exporters. */
import type { Scope } from './graph-builder.ts';

/** The most negative finite value of each type: what Hugging Face models mask with. */
const LOWEST = { f32: -3.4028234663852886e38, f16: -65504, bf16: -3.3895313892515355e38 } as const;

export interface HeadShape {
  readonly heads: number;
  readonly headDim: number;
}

/** [B,S,heads*headDim] -> [B,heads,S,headDim]. */
export function splitHeads(
  s: Scope,
  value: string,
  batch: string,
  length: string,
  { heads, headDim }: HeadShape,
): string {
  return s.op('Transpose', [s.reshape(value, [batch, length, heads, headDim])], { perm: [0, 2, 1, 3] });
}

/** [B,heads,S,headDim] -> [B,S,heads*headDim]. */
export function mergeHeads(
  s: Scope,
  value: string,
  batch: string,
  length: string,
  { heads, headDim }: HeadShape,
): string {
  return s.reshape(s.op('Transpose', [value], { perm: [0, 2, 1, 3] }), [batch, length, heads * headDim]);
}

/** softmax(q kᵀ scale + mask) v; the softmax in f32 as `torch.softmax(dtype=float32)` exports. */
export function attend(s: Scope, q: string, k: string, v: string, mask: string, scale: number): string {
  const keys = s.op('Transpose', [k], { perm: [0, 1, 3, 2] });
  const scores = s.op('Mul', [s.op('MatMul', [q, keys]), s.scalar(scale)]);
  const masked = s.op('Add', [scores, mask]);
  const { dtype } = s.builder;
  if (dtype === 'f32') return s.op('MatMul', [s.op('Softmax', [masked], { axis: -1 }), v]);
  const soft = s.op('Softmax', [s.cast(masked, 'f32')], { axis: -1 });
  return s.op('MatMul', [s.cast(soft, dtype), v]);
}

/**
 * Additive mask [B,1,S,T] of a decoder: position `past + i` sees positions up to itself that are not padding.
 * `mask` is [B,T]; the past is what T exceeds S by.
 */
export function causalMask(s: Scope, ids: string, mask: string): string {
  const zero = s.constant('i64', [0], []);
  const one = s.constant('i64', [1], []);
  const length = s.op('Gather', [s.op('Shape', [ids]), one], { axis: 0 });
  const total = s.op('Gather', [s.op('Shape', [mask]), one], { axis: 0 });
  const past = s.op('Sub', [total, length]);
  const keys = s.op('Unsqueeze', [s.op('Range', [zero, total, one]), s.ints(0)]);
  const queries = s.op('Unsqueeze', [s.op('Range', [past, total, one]), s.ints(1)]);
  const causal = s.op('LessOrEqual', [keys, queries]);
  const real = s.op('Unsqueeze', [s.cast(mask, 'bool'), s.ints(1, 2)]);
  return s.op('Where', [s.op('And', [causal, real]), s.scalar(0), s.scalar(LOWEST[s.builder.dtype])]);
}

/** Additive mask [B,1,1,T] of an encoder. */
export function paddingMask(s: Scope, mask: string): string {
  const real = s.cast(s.op('Unsqueeze', [mask, s.ints(1, 2)]), s.builder.dtype);
  return s.op('Mul', [s.op('Sub', [s.scalar(1), real]), s.scalar(LOWEST[s.builder.dtype])]);
}

/** LayerNorm over the last axis: one op from opset 17 on, primitives before, as exporters do. */
export function layerNorm(s: Scope, name: string, value: string, hidden: number, eps: number, opset: number): string {
  const inner = s.inner(name);
  const label = inner.path.replaceAll('/', '.').replace(/^\./, '');
  const gain = s.builder.weight(`${label}.weight`, [hidden], 0.1, 1);
  const bias = s.builder.weight(`${label}.bias`, [hidden], 0.02);
  if (opset >= 17) return inner.op('LayerNormalization', [value, gain, bias], { axis: -1, epsilon: { float: eps } });
  const centred = inner.op('Sub', [value, inner.op('ReduceMean', [value], { axes: [-1] })]);
  const squares = inner.op('Pow', [centred, inner.scalar(2)]);
  const variance = inner.op('ReduceMean', [squares], { axes: [-1] });
  const deviation = inner.op('Sqrt', [inner.op('Add', [variance, inner.scalar(eps)])]);
  return inner.op('Add', [inner.op('Mul', [inner.op('Div', [centred, deviation]), gain]), bias]);
}

/** Past and present of one layer's keys or values; without a cache the new ones are all there is. */
export function withPast(s: Scope, layer: number, what: 'key' | 'value', now: string, cached: boolean): string {
  if (!cached) return now;
  return s.op('Concat', [`past_key_values.${layer}.${what}`, now], { axis: -2 }, `present.${layer}.${what}`);
}

/** Declares the cache of all layers: inputs now, outputs to be made by {@link withPast}. */
export function declareCache(s: Scope, layers: number, { heads, headDim }: HeadShape): void {
  for (let n = 0; n < layers; n++)
    for (const what of ['key', 'value']) {
      const { builder } = s;
      builder.input(`past_key_values.${n}.${what}`, builder.dtype, [
        'batch_size',
        heads,
        'past_sequence_length',
        headDim,
      ]);
      builder.output(`present.${n}.${what}`, ['batch_size', heads, 'total_sequence_length', headDim]);
    }
}
