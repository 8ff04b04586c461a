/** com.microsoft Attention, MultiHeadAttention, GroupQueryAttention and RotaryEmbedding as ai.onnx's ops of these names. */
import type { ValueId } from '../../ir/ids.ts';
import type { Expansion } from './expansion.ts';

/** Number of heads. */
const headsOf = (x: Expansion): number => x.number('num_heads', 0);

function knownWidth(x: Expansion, v: ValueId): number {
  const width = x.typeOf(v).shape.at(-1);
  return typeof width === 'number' ? width : x.refuse('a width that is not known');
}

interface Parts {
  /** [B, S, heads * size], or [B, heads, L, size]. */
  readonly q: ValueId;
  readonly k: ValueId;
  readonly v: ValueId;
  readonly heads: number;
  readonly kvHeads: number;
  /** Booleans, or what is added to scores, that broadcast to [B, heads, S, T]. */
  readonly allowed: ValueId | null;
  /** Added to scores. */
  readonly bias: ValueId | null;
  readonly past: readonly [ValueId, ValueId] | null;
  readonly causal: boolean;
  readonly softcap?: number;
}

/** Result [B, S, heads * size], present keys and values [B, kvHeads, T, size]. */
function attention(x: Expansion, parts: Parts): ValueId[] {
  const { q, k, v, heads, kvHeads, allowed, bias, past, causal, softcap = 0 } = parts;
  const mask = allowed === null || bias === null ? (allowed ?? bias) : x.op('Add', [bias, additive(x, allowed)]);
  const scale = x.number('scale', 0);
  const inputs = [q, k, v, mask, past?.[0] ?? null, past?.[1] ?? null];
  while (inputs.at(-1) === null) inputs.pop();
  const attrs = {
    q_num_heads: heads,
    kv_num_heads: kvHeads,
    is_causal: causal ? 1 : 0,
    softcap,
    ...(scale === 0 ? {} : { scale }),
  };
  return x.many('Attention', inputs, attrs, 3);
}

/** Booleans as what is added to scores: 0, or the op's fill, so that a row without any allowed key still sums to one. */
function additive(x: Expansion, allowed: ValueId): ValueId {
  if (x.typeOf(allowed).dtype !== 'bool') return allowed;
  const { dtype } = x.typeOf(x.input(0));
  return x.op('Where', [allowed, x.float(0, dtype), x.float(x.number('mask_filter_value', -10000), dtype)]);
}

/** Key mask in any of its forms as what is added to scores [B, 1, 1|S, T]: lengths [B], ends and starts [2B], flags [B, T] or [B, S, T]. */
function keyMask(x: Expansion, mask: ValueId | null, total: () => ValueId): ValueId | null {
  if (mask === null) return null;
  const { shape } = x.typeOf(mask);
  const flags = (v: ValueId): ValueId => additive(x, x.castTo(v, 'bool'));
  if (shape.length === 2 && shape[1] !== 1) return x.unsqueeze(flags(mask), 1, 2);
  if (shape.length === 3) return x.unsqueeze(flags(mask), 1);
  if (shape.length !== 1) return x.refuse(`a key mask of rank ${shape.length}`);
  const [batch] = x.typeOf(x.input(0)).shape;
  if (typeof shape[0] !== 'number' || typeof batch !== 'number' || shape[0] % batch !== 0)
    return x.refuse('a key mask whose length does not say what it holds');
  const key = x.unsqueeze(x.countTo(total()), 0);
  const bound = (start: number): ValueId =>
    x.unsqueeze(x.castTo(x.op('Slice', [mask, x.ints(start), x.ints(start + batch), x.ints(0)]), 'i64'), 1);
  const before = x.truth('Less', key, bound(0));
  const inside = shape[0] === batch ? before : x.truth('And', before, x.truth('GreaterOrEqual', key, bound(batch)));
  return x.unsqueeze(additive(x, inside), 1, 2);
}

/** past + new positions, as an i64 scalar. */
const totalOf = (x: Expansion, fresh: ValueId, past: ValueId | null) => (): ValueId =>
  past === null ? x.extent(fresh, 1) : x.op('Add', [x.extent(fresh, 1), x.extent(past, 2)]);

/** com.microsoft.Attention: projections inside, keys and values of the past stacked. */
export function packedAttention(x: Expansion): void {
  if (x.number('do_rotary', 0) !== 0) x.refuse('do_rotary');
  if (x.optional(6) !== null) x.refuse('past_sequence_length');
  const heads = headsOf(x);
  const bias = x.optional(2);
  const product = x.op('MatMul', [x.input(0), x.input(1)]);
  const all = bias === null ? product : x.op('Add', [product, bias]);
  const total = knownWidth(x, x.input(1));
  const given = x.source.attrs.qkv_hidden_sizes;
  const widths = Array.isArray(given) && given.length === 3 ? given.map(Number) : [total / 3, total / 3, total / 3];
  const starts = [0, widths[0], widths[0] + widths[1]];
  const [q, k, v] = starts.map((start, i) => x.columns(all, start, start + widths[i]));
  const stacked = x.optional(4);
  const half = (i: number): ValueId => x.op('Gather', [stacked, x.int(i)], { axis: 0 });
  const past: [ValueId, ValueId] | null = stacked === null ? null : [half(0), half(1)];
  const [out, key, value] = attention(x, {
    q,
    k,
    v,
    heads,
    kvHeads: heads,
    allowed: keyMask(x, x.optional(3), totalOf(x, x.input(0), past?.[0] ?? null)),
    bias: x.optional(5),
    past,
    causal: x.number('unidirectional', 0) === 1,
  });
  x.gives(0, out);
  if (x.isUsed(1)) x.gives(1, x.op('Concat', [x.unsqueeze(key, 0), x.unsqueeze(value, 0)], { axis: 0 }));
}

/** [B, L, heads, count, size] -> part `index` as [B, L, heads * size]. */
function unpacked(x: Expansion, v: ValueId, index: number): ValueId {
  const [, , heads, , size] = x.typeOf(v).shape;
  if (typeof heads !== 'number' || typeof size !== 'number') x.refuse('packed heads of unknown size');
  return x.op('Reshape', [x.op('Gather', [v, x.int(index)], { axis: 3 }), x.ints(0, 0, heads * size)]);
}

export function multiHead(x: Expansion): void {
  if (x.optional(9) !== null) x.refuse('cache_indirection');
  if (x.isUsed(3)) x.refuse('the scores as an output');
  const heads = headsOf(x);
  const [query, key, value, bias] = [x.input(0), x.optional(1), x.optional(2), x.optional(3)];
  let parts: ValueId[];
  if (key === null) parts = [0, 1, 2].map((i) => unpacked(x, query, i));
  else if (value === null) parts = [query, unpacked(x, key, 0), unpacked(x, key, 1)];
  else parts = [query, key, value];
  const starts = [0, knownWidth(x, parts[0]), 2 * knownWidth(x, parts[0])];
  const [q, k, v] = parts.map((part, i) => {
    if (bias === null || x.rank(part) === 4) return part;
    const width = i < 2 ? starts[1] : knownWidth(x, bias) - starts[2];
    return x.op('Add', [part, x.part(bias, starts[i], width)]);
  });
  const [pastKey, pastValue] = [x.optional(6), x.optional(7)];
  if (x.optional(8) !== null && pastKey !== null) x.refuse('past_sequence_length');
  const past: [ValueId, ValueId] | null = pastKey === null || pastValue === null ? null : [pastKey, pastValue];
  const length = (): ValueId => {
    const own = x.rank(k) === 4 ? x.extent(k, 2) : x.extent(k, 1);
    return past === null ? own : x.op('Add', [own, x.extent(past[0], 2)]);
  };
  const results = attention(x, {
    q,
    k,
    v,
    heads,
    kvHeads: heads,
    allowed: keyMask(x, x.optional(4), length),
    bias: x.optional(5),
    past,
    causal: x.number('unidirectional', 0) === 1,
  });
  for (const [i, result] of results.entries()) x.gives(i, result);
}

/** Rows of the angle tables by position, and x turned by them. */
function turned(
  x: Expansion,
  v: ValueId,
  positions: ValueId,
  tables: readonly [ValueId, ValueId],
  heads: number,
): ValueId {
  const rows = tables.map((table) => x.op('Gather', [table, positions], { axis: 0 }));
  const interleaved = x.number('rotary_interleaved', x.number('interleaved', 0));
  const attrs = { interleaved, num_heads: heads, rotary_embedding_dim: 2 * knownWidth(x, tables[0]) };
  return x.op('RotaryEmbedding', [v, ...rows], attrs);
}

/** ai.onnx RotaryEmbedding with position ids: the same with a row of angles a token. */
export function rotaryByPosition(x: Expansion): void {
  const rows = [x.input(1), x.input(2)].map((table) => x.op('Gather', [table, x.input(3)], { axis: 0 }));
  x.gives(0, x.op('RotaryEmbedding', [x.input(0), ...rows], x.source.attrs));
}

/** com.microsoft.RotaryEmbedding: positions before the tables, one number meaning "from here on". */
export function rotary(x: Expansion): void {
  if (x.number('scale', 1) !== 1) x.refuse('a scale');
  const [v, given] = [x.input(0), x.input(1)];
  const tables: [ValueId, ValueId] = [x.input(2), x.input(3)];
  const rotated = x.number('rotary_embedding_dim', 0);
  if (rotated !== 0 && rotated !== 2 * knownWidth(x, tables[0])) x.refuse('tables that are wider than what is turned');
  const length = (): ValueId => x.extent(v, x.rank(v) === 4 ? 2 : 1);
  const positions = x.rank(given) === 2 ? given : x.unsqueeze(x.op('Add', [x.countTo(length()), given]), 0);
  const heads = headsOf(x) || (x.rank(v) === 3 ? knownWidth(x, v) / (2 * knownWidth(x, tables[0])) : 0);
  x.gives(0, turned(x, v, positions, tables, heads));
}

/**
 * GroupQueryAttention over a cache that holds exactly the past: `seqlens_k` is past + new - 1 in every row, so all
 * positions are valid and keys are appended at the end.
 */
export function groupQuery(x: Expansion): void {
  if (x.optional(12) !== null || x.optional(13) !== null) x.refuse('a quantized cache');
  const form = ['smooth_softmax', 'sliding_window_cache'].find((name) => x.number(name, 0) > 0);
  if (form !== undefined) x.refuse(form);
  if (x.optional(11) !== null) x.refuse('head_sink');
  if (x.optional(14) !== null || x.optional(15) !== null) x.refuse('norms of queries and keys inside');
  if (x.isUsed(3)) x.refuse('the scores as an output');
  const [heads, kvHeads] = [headsOf(x), x.number('kv_num_heads', 0)];
  const [query, key, value] = [x.input(0), x.optional(1), x.optional(2)];
  let parts: [ValueId, ValueId, ValueId];
  if (key !== null && value !== null) parts = [query, key, value];
  else {
    const size = knownWidth(x, query) / (heads + 2 * kvHeads);
    const [k, v, end] = [heads * size, (heads + kvHeads) * size, (heads + 2 * kvHeads) * size];
    parts = [x.columns(query, 0, k), x.columns(query, k, v), x.columns(query, v, end)];
  }
  const [pastKey, pastValue] = [x.optional(3), x.optional(4)];
  const past: [ValueId, ValueId] | null = pastKey === null || pastValue === null ? null : [pastKey, pastValue];
  const fresh = x.countTo(x.extent(query, 1));
  const now = past === null ? fresh : x.op('Add', [fresh, x.extent(past[0], 2)]);
  if (x.number('do_rotary', 0) !== 0) {
    const positions = x.optional(9) ?? x.unsqueeze(now, 0);
    const tables: [ValueId, ValueId] = [x.input(7), x.input(8)];
    parts = [turned(x, parts[0], positions, tables, heads), turned(x, parts[1], positions, tables, kvHeads), parts[2]];
  }
  const causal = x.number('causal', 1) === 1;
  const window = x.number('local_window_size', -1);
  if (window > 0 && !causal) x.refuse('a window over later positions');
  const [q, k, v] = parts;
  const results = attention(x, {
    q,
    k,
    v,
    heads,
    kvHeads,
    allowed: window > 0 ? windowMask(x, now, totalOf(x, query, past?.[0] ?? null)(), window) : null,
    bias: x.optional(10),
    past,
    causal: causal && window <= 0,
    softcap: x.number('softcap', 0),
  });
  for (const [i, result] of results.entries()) x.gives(i, result);
}

/** [1, 1, S, T]: a query sees itself and the `window` - 1 positions before it. */
function windowMask(x: Expansion, now: ValueId, total: ValueId, window: number): ValueId {
  const query = x.unsqueeze(now, 1);
  const key = x.unsqueeze(x.countTo(total), 0);
  const recent = x.truth('Greater', key, x.op('Sub', [query, x.int(window)]));
  return x.unsqueeze(x.truth('And', x.truth('LessOrEqual', key, query), recent), 0, 1);
}
