/** Lifting of ONNX's own fused ops: Attention (opset 23) and RotaryEmbedding (opset 23). */
import type { ValueId } from '../ir/ids.ts';
import { emitAttention, operand } from './attention.ts';
import { elementCount } from '../ir/constant.ts';
import { type Base, concatInts, type Form, formOf, pick, sizeOfBase, type Terms } from './form.ts';
import type { Lifter } from './lifter.ts';
import { classifyMask, type MaskStep } from './mask.ts';

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

/** ai.onnx RotaryEmbedding: X, cos_cache, sin_cache, with a row of angles a token (expand-fused looks rows up by position). */
export function liftFusedRotary(l: Lifter): void {
  const { op } = l;
  const given = l.data(op.inputs[0] as ValueId);
  const isPlain = given.terms.length === 1 && given.terms[0].control.every((c) => c < 0);
  const form = isPlain ? given : plainForm(l, given);
  const heads = form.shape.length === 4 ? form.shape[1] : intAttr(l, 'num_heads', 0);
  const angles = [op.inputs[1] as ValueId, op.inputs[2] as ValueId] as const;
  if (!angles.every((v) => l.isControl(v))) l.refuse('has angles that depend on activations');
  const turned = turnedForm(l, form, heads, angles);
  // Part of the features (those that are turned were cut out before): what they are joined with completes them.
  if (elementCount(form.shape) < sizeOfBase(form.base)) return l.setData(turned);
  l.setData(plainForm(l, turned));
}

function plainForm(l: Lifter, form: Form): Form {
  const { base, index } = l.plain(form);
  return formOf(base, form.shape, index);
}

/** x cos + partner sin, as the plain spelling of a rotation comes out. */
function turnedForm(l: Lifter, form: Form, heads: number, [cos, sin]: readonly [ValueId, ValueId]): Form {
  const { shape } = form;
  const [batch, , queries] = shape;
  const [tokens, size] = shape.length === 4 ? [queries, shape[3]] : [shape[1], shape[2] / heads];
  const rotary = intAttr(l, 'rotary_embedding_dim', 0) || size;
  const isInterleaved = intAttr(l, 'interleaved', 0) === 1;
  const half = rotary / 2;
  const [rowsBatch, , width] = l.probe.shapeOf(cos);
  const [source] = form.terms;
  const n = source.index.length;
  const own: Terms = { ...source, control: new Int32Array(n).fill(-1), controlIndex: new Int32Array(n).fill(-1) };
  const other: Terms = {
    index: new Int32Array(n).fill(-1),
    scale: new Float64Array(n),
    control: new Int32Array(n).fill(-1),
    controlIndex: new Int32Array(n).fill(-1),
  };
  for (let i = 0; i < n; i++) {
    const d = i % size;
    if (d >= rotary) continue;
    const t = Math.floor(i / (shape.length === 4 ? size : size * heads)) % tokens;
    const b = Math.floor(i / (n / batch));
    const isSecond = isInterleaved ? d % 2 === 1 : d >= half;
    const partner = i + (isSecond ? -1 : 1) * (isInterleaved ? 1 : half);
    const angle = ((rowsBatch === 1 ? 0 : b) * tokens + t) * width + (isInterleaved ? Math.floor(d / 2) : d % half);
    own.control[i] = cos;
    own.controlIndex[i] = angle;
    other.index[i] = source.index[partner];
    other.scale[i] = source.scale[partner] * (isSecond ? 1 : -1);
    other.control[i] = sin;
    other.controlIndex[i] = angle;
  }
  return { ...form, terms: [own, other] };
}
