/** Lifting of ONNX's own fused ops: Attention (opset 23) and RotaryEmbedding (opset 23). */
import type { ValueId } from '../ir/ids.ts';
import { emitAttention, operand } from './attention.ts';
import { type Base, concatInts, type Form, formOf, pick } from './form.ts';
import type { Lifter } from './lifter.ts';
import { classifyMask, type MaskStep } from './mask.ts';
import { asAngles } from './positions.ts';
import { controlRows } from './rotary.ts';

const intAttr = (l: Lifter, name: string, fallback: number): number => {
  const v = l.op.attrs[name];
  return typeof v === 'number' ? v : fallback;
};

/** A [B, S, H*d] operand as [B, H, S, d]; one of rank 4 as it is. */
function asHeads(form: Form, heads: number): Form {
  if (form.shape.length === 4) return form;
  const [batch, tokens, features] = form.shape;
  const d = features / heads;
  const from = new Int32Array(batch * tokens * features);
  let i = 0;
  for (let b = 0; b < batch; b++)
    for (let h = 0; h < heads; h++)
      for (let t = 0; t < tokens; t++) for (let e = 0; e < d; e++) from[i++] = (b * tokens + t) * features + h * d + e;
  return pick(form, from, [batch, heads, tokens, d]);
}

/** [B, H, S, d] repeated for the query heads that share a key head. */
function repeated(form: Form, heads: number): Form {
  const [batch, kvHeads, tokens, d] = form.shape;
  const from = new Int32Array(batch * heads * tokens * d);
  let i = 0;
  for (let b = 0; b < batch; b++)
    for (let h = 0; h < heads; h++) {
      const g = Math.floor((h * kvHeads) / heads);
      for (let e = 0; e < tokens * d; e++) from[i++] = (b * kvHeads + g) * tokens * d + e;
    }
  return pick(form, from, [batch, heads, tokens, d]);
}

/** Past and new keys as one cache form, like a Concat along the positions. */
function withPast(l: Lifter, past: Form, fresh: Form): Form {
  const { base, index, scale } = l.scaledPlain(fresh);
  if (past.base.kind !== 'past' || base.kind !== 'value' || scale !== 1 || base.features !== past.base.features)
    l.refuse('has a past that is not a graph input of matching heads');
  const [batch, heads, fromTokens, d] = past.shape;
  const tokens = fromTokens + base.tokens;
  const cache: Base = { ...past.base, kind: 'cache', value: base.value, tokens, tokenDim: l.probe.size.past };
  const shifted = (i: number, own: number, by: number): number => {
    const t = Math.floor(i / base.features);
    return (Math.floor(t / own) * tokens + (t % own) + by) * base.features + (i % base.features);
  };
  const whole = concatInts([
    past.terms[0].index.map((i) => shifted(i, fromTokens, 0)),
    index.map((i) => shifted(i, base.tokens, fromTokens)),
  ]);
  const all = formOf(cache, [whole.length], whole);
  const from = new Int32Array(batch * heads * tokens * d);
  let i = 0;
  for (let b = 0; b < batch; b++)
    for (let h = 0; h < heads; h++)
      for (let t = 0; t < tokens; t++)
        for (let e = 0; e < d; e++) {
          const old = ((b * heads + h) * fromTokens + t) * d + e;
          const now = past.terms[0].index.length + ((b * heads + h) * base.tokens + t - fromTokens) * d + e;
          from[i++] = t < fromTokens ? old : now;
        }
  return pick(all, from, [batch, heads, tokens, d]);
}

/** ai.onnx Attention: Q, K, V, attn_mask?, past_key?, past_value? -> Y, present_key?, present_value?. */
export function liftFusedAttention(l: Lifter): void {
  const { op } = l;
  const at = (i: number): ValueId | null => op.inputs[i] ?? null;
  const [qIn, kIn, vIn] = [0, 1, 2].map((i) => l.data(at(i) as ValueId));
  if (at(6) !== null) l.refuse('has nonpad_kv_seqlen, which is not supported yet');
  if (intAttr(l, 'qk_matmul_output_mode', 0) !== 0 || op.outputs[3])
    l.refuse('returns its scores, which are not computed in one place');
  const q = asHeads(qIn, intAttr(l, 'q_num_heads', 0));
  let k = asHeads(kIn, intAttr(l, 'kv_num_heads', 0));
  let v = asHeads(vIn, intAttr(l, 'kv_num_heads', 0));
  const pastKey = at(4);
  if (pastKey !== null) {
    k = withPast(l, l.data(pastKey), k);
    v = withPast(l, l.data(at(5) as ValueId), v);
  }
  const heads = q.shape[1];
  const [batch, , queries, width] = q.shape;
  const keys = k.shape[2];
  const qo = operand(l, q, q.shape);
  const ko = operand(l, repeated(k, heads), [batch, heads, keys, width]);
  const vo = operand(l, repeated(v, heads), [batch, heads, keys, v.shape[3]]);
  const masks: MaskStep[] = [];
  const maskIn = at(3);
  const shape = [batch, heads, queries, keys];
  if (maskIn !== null) {
    const isBool = l.graph.types[maskIn].dtype === 'bool';
    masks.push(
      isBool
        ? { kind: 'where', value: maskIn, keepTrue: true, fill: Number.NEGATIVE_INFINITY, shape }
        : { kind: 'add', value: maskIn, sign: 1, shape },
    );
  }
  const scale = (typeof op.attrs.scale === 'number' ? op.attrs.scale : 1 / Math.sqrt(width)) * qo.scale * ko.scale;
  const softcap = typeof op.attrs.softcap === 'number' ? op.attrs.softcap : 0;
  const scores = { q: qo, k: ko, rows: batch * heads, queries, keys, width, scale, softcap, masks };
  const read = classifyMask(l, scores);
  const mask = { ...read, causal: read.causal || intAttr(l, 'is_causal', 0) === 1 };
  const out = emitAttention(l, {
    ...scores,
    v: vo,
    valueWidth: v.shape[3],
    mask,
    shape: [batch, heads, queries, v.shape[3]],
  });
  const flat = qIn.shape.length === 3 ? formOf(out.base, [batch, queries, out.base.features]) : out;
  l.setData(flat);
  l.set({ kind: 'data', form: k }, 1);
  l.set({ kind: 'data', form: v }, 2);
}

/** ai.onnx RotaryEmbedding: X, cos_cache, sin_cache, position_ids?. */
export function liftFusedRotary(l: Lifter): void {
  const { op } = l;
  const form = l.data(op.inputs[0] as ValueId);
  const { base, index } = l.plain(form);
  const heads = form.shape.length === 4 ? form.shape[1] : intAttr(l, 'num_heads', 0);
  const hd = base.features / heads;
  const rotary = intAttr(l, 'rotary_embedding_dim', 0) || hd;
  const caches = [op.inputs[1] as ValueId, op.inputs[2] as ValueId];
  const rows =
    (op.inputs[3] ? undefined : plainAngles(l, caches, base, rotary / 2)) ??
    caches.map((cache) => angleRows(l, cache, op.inputs[3] ?? null, base, rotary / 2));
  const attrs = { heads, interleaved: intAttr(l, 'interleaved', 0), rotary };
  l.setData(formOf(l.emitLike(base, 'wafc.rope', [base.value, ...rows], attrs, 1), form.shape, index));
}

/** Caches [B, S, R] that are cosines and sines of positions, as one wafc.angles. */
function plainAngles(l: Lifter, [cos, sin]: readonly ValueId[], base: Base, half: number): ValueId[] | undefined {
  const starts = new Map(Array.from({ length: base.tokens }, (_, t) => [t, t * half]));
  const offsets = Array.from({ length: half }, (_, i) => i);
  return asAngles(l, { value: cos, offsets, starts }, { value: sin, offsets, starts }, base);
}

/** Rows of a cache [max, R] by position, or [B, S, R] as they are. */
function angleRows(l: Lifter, cache: ValueId, positions: ValueId | null, base: Base, half: number): ValueId {
  if (positions !== null) {
    const table = l.control(cache);
    const { dtype, shape } = l.builder.typeOf(table);
    const at = l.control(positions);
    const key = `${table}@${at}`;
    const known = l.rowCache.get(key);
    if (known !== undefined) return known;
    const [out] = l.builder.op({
      kind: 'Gather',
      version: 13,
      inputs: [table, at],
      attrs: { axis: 0 },
      types: [{ dtype, shape: [...l.builder.typeOf(at).shape, shape[1]] }],
      names: [`${l.graph.names[cache]}.row`],
      origin: { node: l.op.origin.node, by: ['lift-tokens'] },
    });
    l.rowCache.set(key, out);
    return out;
  }
  const starts = new Map<number, number>();
  for (let t = 0; t < base.tokens * base.batch; t++) starts.set(t, (t % base.tokens) * half);
  return controlRows(
    l,
    cache,
    base,
    starts,
    Array.from({ length: half }, (_, i) => i),
  );
}
