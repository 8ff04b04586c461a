/** Forms of GroupQueryAttention that onnxruntime does not run on a CPU, against the forms that it does. */
import { expect, test } from 'vitest';
import { fromNumbers, sizeOf, type Tensor } from '../../../src/tensor/tensor.ts';
import { normalStream, randomStream } from '../../../src/util/rng.ts';
import { difference } from '../../conformance/compare.ts';
import { runWafc, type SingleOp } from '../../conformance/single-op.ts';

const random = randomStream(1, 'grouped-forms');
const normal = normalStream(random);
const [BATCH, HEADS, KV, SIZE, PAST] = [2, 4, 2, 7, 3]; // an odd head: half a byte stays empty
const floats = (...shape: number[]): Tensor =>
  fromNumbers(
    'f32',
    shape,
    Array.from({ length: sizeOf(shape) }, () => normal()),
  );
const lengths = [
  fromNumbers('i32', [BATCH], new Array(BATCH).fill(PAST + 1)),
  fromNumbers('i32', [1], new Array(1).fill(PAST + 2)),
];

function run(attrs: SingleOp['attrs'], inputs: readonly (Tensor | undefined)[], cache: 'f32' | 'i8' | 'u8' = 'f32') {
  const found = runWafc({
    op: 'GroupQueryAttention',
    domain: 'com.microsoft',
    attrs: { num_heads: HEADS, kv_num_heads: KV, ...attrs },
    inputs,
    outputs: ['f32', cache, cache],
  });
  return ['y0', 'y1', 'y2'].map((name) => found.get(name) as Tensor);
}

/** Numbers from -8 to 7 as bytes, SIZE of them to a row, the first in the low half. */
function nibbles(codes: readonly number[]): number[] {
  const out: number[] = [];
  for (let row = 0; row < codes.length; row += SIZE) {
    for (let d = 0; d < SIZE; d += 2) {
      const high = d + 1 < SIZE ? codes[row + d + 1] : 0;
      out.push((codes[row + d] + 8) | ((high + 8) << 4));
    }
  }
  return out;
}

const kinds = ['PER_TENSOR', 'PER_CHANNEL'];
const forms = [4, 8].flatMap((bits) => kinds.flatMap((key) => kinds.map((value) => [bits, key, value] as const)));

test.each(forms)('%i bits, keys %s, values %s: as a cache of the floats that the codes stand for', (bits, ...kind) => {
  const fresh = 2;
  const [low, high] = bits === 4 ? [-8, 7] : [-128, 127];
  const scales = kind.map((k) => Array.from({ length: k === 'PER_TENSOR' ? 1 : KV * SIZE }, () => 0.25 + random()));
  /** Codes [B, KV, PAST + fresh, SIZE] of keys and of values. */
  const shape = [BATCH, KV, PAST + fresh, SIZE];
  const codes = [0, 1].map(() =>
    Array.from({ length: sizeOf(shape) }, () => low + Math.floor(random() * (high - low + 1))),
  );
  const at = (b: number, h: number, t: number, d: number) => ((b * KV + h) * shape[2] + t) * SIZE + d;
  const valueAt = (i: number, index: number): number => {
    const h = Math.floor(index / (SIZE * shape[2])) % KV;
    return codes[i][index] * Math.fround(scales[i].length === 1 ? scales[i][0] : scales[i][h * SIZE + (index % SIZE)]);
  };
  const positions = (from: number, to: number) => Array.from({ length: to - from }, (_, t) => from + t);
  const spread = (list: readonly number[], seqFirst: boolean, f: (index: number) => number): number[] => {
    const heads = [...Array(KV).keys()];
    const pairs = seqFirst
      ? list.flatMap((t) => heads.map((h) => [h, t]))
      : heads.flatMap((h) => list.map((t) => [h, t]));
    return [...Array(BATCH).keys()].flatMap((b) =>
      pairs.flatMap(([h, t]) => [...Array(SIZE).keys()].map((d) => f(at(b, h, t, d)))),
    );
  };
  // New rows a little off their code, never half a step; beyond the ends where the code is the last one.
  const nudge = (i: number, index: number): number => {
    const step = valueAt(i, index) / codes[i][index] || 0;
    return valueAt(i, index) + (codes[i][index] === high ? 3 : codes[i][index] === low ? -3 : 0.3) * step;
  };
  const query = floats(BATCH, fresh, HEADS * SIZE);
  const rows = (i: number, f: (i: number, index: number) => number) =>
    fromNumbers(
      'f32',
      [BATCH, fresh, KV * SIZE],
      spread(positions(PAST, PAST + fresh), true, (n) => f(i, n)),
    );
  const store = (list: readonly number[], i: number): Tensor => {
    const plain = spread(list, false, (n) => codes[i][n]);
    return bits === 4
      ? fromNumbers('u8', [BATCH, KV, list.length, Math.ceil(SIZE / 2)], nibbles(plain))
      : fromNumbers('i8', [BATCH, KV, list.length, SIZE], plain);
  };
  const past = positions(0, PAST);
  const float = (i: number) =>
    fromNumbers(
      'f32',
      [BATCH, KV, PAST, SIZE],
      spread(past, false, (n) => valueAt(i, n)),
    );
  const none = new Array(5).fill(undefined);
  const scaleTensors = scales.map((s) => fromNumbers('f32', [s.length], s));

  const [expected] = run({}, [query, rows(0, valueAt), rows(1, valueAt), float(0), float(1), ...lengths]);
  const attrs = { kv_cache_bit_width: bits, k_quant_type: kind[0], v_quant_type: kind[1] };
  const inputs = [query, rows(0, nudge), rows(1, nudge), store(past, 0), store(past, 1), ...lengths, ...none];
  const [found, ...present] = run(attrs, [...inputs, ...scaleTensors], bits === 4 ? 'u8' : 'i8');
  expect(difference(expected, found)).toBeUndefined();
  const whole = positions(0, PAST + fresh);
  present.forEach((cache, i) => expect(difference(store(whole, i), cache)).toBeUndefined());
});

test('norms of the heads are SimplifiedLayerNormalization before the rotation', () => {
  const size = 8;
  const [query, key, value] = [HEADS, KV, KV].map((n) => floats(BATCH, 2, n * size));
  const caches = [floats(BATCH, KV, PAST, size), floats(BATCH, KV, PAST, size)];
  const angles = [floats(8, size / 2), floats(8, size / 2)];
  const weights = [floats(size), floats(size)];
  const normalised = (x: Tensor, weight: Tensor): Tensor => {
    const rows = { ...x, shape: [x.data.length / size, size] };
    const attrs = { axis: -1, epsilon: { float: 1e-2 }, stash_type: 1 };
    const op = { op: 'SimplifiedLayerNormalization', domain: '', version: 17, attrs, outputs: ['f32' as const] };
    return { ...(runWafc({ ...op, inputs: [rows, weight] }).get('y0') as Tensor), shape: x.shape };
  };
  const rest = [value, ...caches, ...lengths, ...angles];
  const [q, k] = [normalised(query, weights[0]), normalised(key, weights[1])];
  const expected = run({ do_rotary: 1 }, [q, k, ...rest]);
  const none = new Array(5).fill(undefined);
  const attrs = { do_rotary: 1, qk_norm_epsilon: { float: 1e-2 } };
  const found = run(attrs, [query, key, ...rest, ...none, ...weights]);
  expected.forEach((t, i) => expect(difference(t, found[i])).toBeUndefined());
});

test('a quantized cache without its scales is reported at import', () => {
  const caches = [0, 1].map(() => fromNumbers('i8', [BATCH, KV, 0, SIZE], []));
  const qkv = [HEADS, KV, KV].map((n) => floats(BATCH, 2, n * SIZE));
  const attrs = { kv_cache_bit_width: 8, k_quant_type: 'PER_TENSOR', v_quant_type: 'PER_TENSOR' };
  expect(() => run(attrs, [...qkv, ...caches, ...lengths], 'i8')).toThrow('no input');
});

test.each([
  [{ k_quant_type: 'PER_TOKEN' }, 'a cache quantized PER_TOKEN'],
  [{ k_quant_type: 'PER_TENSOR', kv_cache_bit_width: 2 }, 'kv_cache_bit_width 2; supported: 4, 8'],
  [{ k_quant_type: 'PER_TENSOR', kv_cache_bit_width: 8 }, 'a cache of 8-bit codes in f32; supported: i8'],
  [{ sliding_window_cache: 1 }, 'sliding_window_cache'],
])('refused: %o', (attrs, message) => {
  const caches = [floats(BATCH, KV, PAST, SIZE), floats(BATCH, KV, PAST, SIZE)];
  const qkv = [HEADS, KV, KV].map((n) => floats(BATCH, 2, n * SIZE));
  expect(() => run(attrs, [...qkv, ...caches, ...lengths])).toThrow(message);
});
