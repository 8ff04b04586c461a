/** Rotations and attention of the token graph in ONNX's own ops. */
import type { ValueId } from '../ir/ids.ts';
import { KEY_SCALES, VALUE_SCALES } from '../ops/wafc-attention.ts';
import { isCacheFormat } from '../ops/support/rounded-cache.ts';
import type { Lowering } from './lower.ts';
import { type LoweredCache, readsRounded, roundedCache } from './lower-cache.ts';

/** wafc.rope: each head's first `rotary` features turned by pairs, in halves or interleaved. */
export function lowerRope(l: Lowering): void {
  const x = l.input(0);
  const [heads, rotary] = [l.number('heads'), l.number('rotary')];
  const isInterleaved = l.number('interleaved', 0) === 1;
  const size = l.width(x) / heads;
  const pairs = rotary / 2;
  const split = l.reshape(x, [0, 0, heads, size]);
  const turned = rotary === size ? split : l.slice(split, -1, 0, rotary);
  // [B, S, 1, pairs]: the same for all heads.
  const [cos, sin] = [1, 2].map((i) => l.unsqueeze(l.input(i), 2));
  const pairwise = isInterleaved ? l.reshape(turned, [0, 0, heads, pairs, 2]) : turned;
  const part = (half: number): ValueId =>
    isInterleaved
      ? l.add('Gather', [pairwise, l.scalar('i64', half)], { axis: 4 })
      : l.slice(turned, -1, half * pairs, (half + 1) * pairs);
  const [a, b] = [part(0), part(1)];
  const times = (v: ValueId, w: ValueId): ValueId => l.add('Mul', [v, w]);
  const halves = [l.add('Sub', [times(a, cos), times(b, sin)]), l.add('Add', [times(b, cos), times(a, sin)])];
  const joined = isInterleaved
    ? l.reshape(
        l.add(
          'Concat',
          halves.map((h) => l.unsqueeze(h, 4)),
          { axis: 4 },
        ),
        [0, 0, heads, rotary],
      )
    : l.add('Concat', halves, { axis: -1 });
  const whole = rotary === size ? joined : l.add('Concat', [joined, l.slice(split, -1, rotary, size)], { axis: -1 });
  l.become('Reshape', [whole, l.ints([0, 0, heads * size])]);
}

/** wafc.attention: heads apart, keys and values after their past, masked softmax, heads side by side again. */
export function lowerAttention(l: Lowering): void {
  const [heads, kvHeads] = [l.number('heads'), l.number('kvHeads')];
  const [pastKey, pastValue] = [l.optional(3), l.optional(4)];
  const q = headsOf(l, l.input(0), heads);
  const key = cacheOf(l, after(l, pastKey, headsOf(l, l.input(1), kvHeads)), true);
  const value = cacheOf(l, after(l, pastValue, headsOf(l, l.input(2), kvHeads)), false);
  const repeats = heads / kvHeads;
  const sizes = [l.width(l.input(1)) / kvHeads, l.width(l.input(2)) / kvHeads];
  const forHeads = (x: ValueId, of: 0 | 1): ValueId => (repeats === 1 ? x : repeated(l, x, heads, repeats, sizes[of]));
  const dtype = l.dtypeOf(q);
  const isOld = key.rounded === undefined ? undefined : readsRounded(l, q, key.whole);
  const against = (k: ValueId): ValueId =>
    l.add('MatMul', [q, l.add('Transpose', [forHeads(k, 0)], { perm: [0, 1, 3, 2] })]);
  let products = against(key.whole);
  if (isOld !== undefined && key.rounded !== undefined)
    products = l.add('Where', [isOld, against(key.rounded), products]);
  let scores = l.add('Mul', [products, l.scalar(dtype, l.number('scale'))]);
  const softcap = l.number('softcap', 0);
  if (softcap !== 0) {
    const cap = l.scalar(dtype, softcap);
    scores = l.add('Mul', [l.add('Tanh', [l.add('Div', [scores, cap])]), cap]);
  }
  const bias = l.optional(6);
  if (bias !== undefined) scores = l.add('Add', [scores, bias]);
  const allowed = allowedKeys(l, q, key.whole);
  if (allowed !== undefined) scores = l.add('Where', [allowed, scores, l.scalar(dtype, LEAST[dtype] ?? LEAST.f32)]);
  let weights = l.add('Softmax', [scores], { axis: -1 });
  // A query that may attend to no key gets zeros.
  if (l.optional(5) !== undefined && allowed !== undefined) weights = l.add('Mul', [weights, l.cast(allowed, dtype)]);
  let mixed: ValueId;
  if (isOld !== undefined && value.rounded !== undefined) {
    const share = (which: ValueId, v: ValueId): ValueId =>
      l.add('MatMul', [l.add('Where', [which, weights, l.scalar(dtype, 0)]), forHeads(v, 1)]);
    mixed = l.add('Add', [share(isOld, value.rounded), share(l.add('Not', [isOld]), value.whole)]);
  } else mixed = l.add('MatMul', [weights, forHeads(value.whole, 1)]);
  const joined = l.add('Transpose', [mixed], { perm: [0, 2, 1, 3] });
  l.replace(0, l.reshape(joined, [0, 0, heads * sizes[1]]));
  l.replace(1, key.present);
  l.replace(2, value.present);
}

/** Keys or values as the cache format of the op keeps them. */
function cacheOf(l: Lowering, x: ValueId, isKey: boolean): LoweredCache {
  const format = l.word('cache');
  if (format === undefined) return { present: x, whole: x };
  if (!isCacheFormat(format)) throw new Error(`${format} is no cache format`);
  const scales = l.optional(isKey ? KEY_SCALES : VALUE_SCALES);
  const heads = l.number('kvHeads');
  const how = { format, isKey, heads, size: l.width(l.input(isKey ? 1 : 2)) / heads };
  return roundedCache(l, x, scales === undefined ? how : { ...how, scales });
}

/** Finite, so that a row of nothing else is no NaN. */
const LEAST: Readonly<Record<string, number>> = { f32: -3e38, f16: -65504, bf16: -3e38, f64: -1e300 };

/** [B, S, H d] -> [B, H, S, d]. */
function headsOf(l: Lowering, x: ValueId, heads: number): ValueId {
  const apart = l.reshape(x, [0, 0, heads, l.width(x) / heads]);
  return l.add('Transpose', [apart], { perm: [0, 2, 1, 3] });
}

function after(l: Lowering, past: ValueId | undefined, fresh: ValueId): ValueId {
  if (past === undefined) return fresh;
  const same = l.dtypeOf(past) === l.dtypeOf(fresh) ? fresh : l.cast(fresh, l.dtypeOf(past));
  return l.add('Concat', [past, same], { axis: 2 });
}

/** Every head of keys or values once for each of its query heads. */
function repeated(l: Lowering, x: ValueId, heads: number, repeats: number, size: number): ValueId {
  const apart = l.unsqueeze(x, 2);
  return l.reshape(l.add('Expand', [apart, l.ints([1, 1, repeats, 1, 1])]), [0, heads, -1, size]);
}

/** True where a query attends to a key: causal, windowed, not padding; undefined where all attend to all. */
function allowedKeys(l: Lowering, q: ValueId, key: ValueId): ValueId | undefined {
  const found: ValueId[] = [];
  const [isCausal, window] = [l.number('causal', 0) === 1, l.number('window', 0)];
  if (isCausal || window !== 0) {
    const total = l.extent(key, 2);
    const one = l.scalar('i64', 1);
    const first = l.add('Sub', [total, l.extent(q, 2)]);
    const rows = l.unsqueeze(l.add('Range', [first, total, one]), 1);
    const columns = l.add('Range', [l.scalar('i64', 0), total, one]);
    if (isCausal) found.push(l.add('Not', [l.add('Greater', [columns, rows])]));
    if (window !== 0) found.push(l.add('Greater', [columns, l.add('Sub', [rows, l.scalar('i64', window)])]));
  }
  const mask = l.optional(5);
  if (mask !== undefined) found.push(l.unsqueeze(l.cast(mask, 'bool'), 1, 2));
  return found.length === 0 ? undefined : found.reduce((a, b) => l.add('And', [a, b]));
}
