/** wafc.rope and wafc.attention: heads side by side in the features, caches as [B, KVH, P, hd]. */
import { addDims, type Dim, divDims, mulDims, printDim } from '../ir/dim.ts';
import type { TensorType } from '../ir/types.ts';
import { allocate, type Tensor, tensor } from '../tensor/tensor.ts';
import { defineOp, type InferContext, type RunContext } from './op.ts';
import { mayEqual, printShape } from './support/axes.ts';
import {
  appendHeads,
  attend,
  type AttentionSpec,
  causalMask,
  type Heads,
  headsOf3d,
  headsOf4d,
  maskBy,
  type RowMask,
} from './support/attention.ts';
import { stored } from './support/elementwise.ts';
import { tensorAt, typeAt } from './support/inputs.ts';
import { rotate } from './support/rotate.ts';
import {
  BLOCK,
  int8Codes,
  isCacheFormat,
  kiviKeys,
  kiviValues,
  roundedBefore,
  scaledByFeature,
} from './support/rounded-cache.ts';

const rope = defineOp({
  domain: 'wafc',
  name: 'rope',
  since: [1],
  trait: 'compute',
  infer(context: InferContext) {
    const x = typeAt(context, 0);
    const cos = typeAt(context, 1).shape;
    const pairs = context.attrs.int('rotary') / 2;
    if (cos.length !== 3 || !mayEqual(cos[2], pairs)) {
      context.mismatch({ input: 1, expected: `[B|1, S, ${pairs}]`, found: printShape(cos) });
    }
    headSize(context, 0, context.attrs.int('heads'));
    return { types: [x] };
  },
  run(context) {
    const x = tensorAt(context, 0);
    const cos = tensorAt(context, 1);
    const heads = headsOf3d(x, context.attrs.int('heads'));
    const [rows, length, pairs] = cos.shape;
    const perBatch = rows === 1 ? 0 : length;
    const at = (b: number, s: number) => (b * perBatch + s) * pairs;
    const interleaved = context.attrs.int('interleaved', 0) === 1;
    return [rotate(x, heads, { cos: cos.data, sin: tensorAt(context, 2).data, at, pairs, interleaved })];
  },
});

/** Features per head of an activation input. */
function headSize(context: InferContext, input: number, heads: number): Dim {
  const { shape } = typeAt(context, input);
  if (shape.length !== 3) context.mismatch({ input, expected: '[B, S, F]', found: printShape(shape) });
  const size = divDims(shape[2], heads);
  return (
    size ?? context.mismatch({ input, expected: `features that ${heads} heads divide`, found: printDim(shape[2]) })
  );
}

function inferAttention(context: InferContext) {
  const { attrs } = context;
  const heads = attrs.int('heads');
  const kvHeads = attrs.int('kvHeads');
  const q = typeAt(context, 0);
  const k = typeAt(context, 1);
  const v = typeAt(context, 2);
  const size = headSize(context, 0, heads);
  const keySize = headSize(context, 1, kvHeads);
  const valueSize = headSize(context, 2, kvHeads);
  if (heads % kvHeads !== 0)
    context.mismatch({ expected: `heads that ${kvHeads} kvHeads divide`, found: String(heads) });
  if (!mayEqual(size, keySize)) {
    context.mismatch({ input: 1, expected: `heads of ${printDim(size)} features`, found: printDim(keySize) });
  }
  const past = context.inputs[3];
  const [batch, length] = q.shape;
  const total = addDims(past?.shape[2] ?? 0, k.shape[1]);
  const types: TensorType[] = [
    { dtype: q.dtype, shape: [batch, length, mulDims(heads, valueSize)] },
    { dtype: past?.dtype ?? k.dtype, shape: [batch, kvHeads, total, keySize] },
    { dtype: context.inputs[4]?.dtype ?? v.dtype, shape: [batch, kvHeads, total, valueSize] },
  ];
  expectShape(context, 3, [batch, kvHeads, past?.shape[2] ?? 0, keySize]);
  expectShape(context, 4, [batch, kvHeads, past?.shape[2] ?? 0, valueSize]);
  expectShape(context, 5, [batch, total]);
  const format = attrs.string('cache', '');
  if (format !== '' && !isCacheFormat(format)) context.mismatch({ expected: 'a cache format', found: format });
  expectShape(context, KEY_SCALES, [mulDims(kvHeads, keySize)]);
  expectShape(context, VALUE_SCALES, [mulDims(kvHeads, valueSize)]);
  return { types: types.slice(0, context.outputCount) };
}

/** Of the cache format `int8`: one for every feature of every head. */
export const KEY_SCALES = 7;
export const VALUE_SCALES = 8;

function expectShape(context: InferContext, input: number, expected: readonly Dim[]): void {
  const shape = context.inputs[input]?.shape;
  if (shape && (shape.length !== expected.length || shape.some((n, d) => !mayEqual(n, expected[d])))) {
    context.mismatch({ input, expected: printShape(expected), found: printShape(shape) });
  }
}

function masksOf(context: RunContext, keys: number): RowMask[] {
  const { attrs } = context;
  const [batch, queries] = tensorAt(context, 0).shape;
  const past = context.inputs[3]?.shape[2] ?? 0;
  const keyMask = context.inputs[5];
  const bias = context.inputs[6];
  const masks: RowMask[] = [];
  if (bias) masks.push(maskBy(bias, [batch, attrs.int('heads'), queries, keys]));
  if (keyMask) {
    masks.push((row, b) => {
      for (let t = 0; t < row.length; t++) if (keyMask.data[b * keys + t] === 0) row[t] = Number.NEGATIVE_INFINITY;
    });
  }
  const window = attrs.int('window', 0);
  if (attrs.int('causal') === 1) masks.push(causalMask(() => past, window === 0 ? undefined : window));
  else if (window !== 0) {
    masks.push((row, _b, _h, s) => {
      row.fill(Number.NEGATIVE_INFINITY, 0, Math.max(0, Math.min(row.length, past + s - window + 1)));
    });
  }
  return masks;
}

const attention = defineOp({
  domain: 'wafc',
  name: 'attention',
  since: [1],
  trait: 'compute',
  infer: inferAttention,
  run(context): Tensor[] {
    const { attrs } = context;
    const x = tensorAt(context, 0);
    const kvHeads = attrs.int('kvHeads');
    const [pastKey, pastValue] = [context.inputs[3], context.inputs[4]];
    const [key, value] = [tensorAt(context, 1), tensorAt(context, 2)];
    const presentKey = appendHeads(pastKey, headsOf3d(key, kvHeads), pastKey?.dtype ?? key.dtype);
    const presentValue = appendHeads(pastValue, headsOf3d(value, kvHeads), pastValue?.dtype ?? value.dtype);
    const q = headsOf3d(x, attrs.int('heads'));
    const size = presentValue.shape[3];
    const out = tensor(
      x.dtype,
      [q.batch, q.length, q.heads * size],
      allocate(x.dtype, q.batch * q.length * q.heads * size),
    );
    const spec: AttentionSpec = {
      q,
      k: headsOf4d(presentKey),
      v: headsOf4d(presentValue),
      scale: attrs.float('scale'),
      softcap: attrs.float('softcap', 0),
      masks: masksOf(context, presentKey.shape[2]),
      emptyRow: 'zero',
      out: headsOf3d(out, q.heads),
    };
    const format = attrs.string('cache', '');
    if (format === 'int8')
      attendCodes(spec, presentKey, presentValue, [tensorAt(context, KEY_SCALES), tensorAt(context, VALUE_SCALES)]);
    else if (format === 'int4:kivi32') attendBlocks(spec, presentKey, presentValue);
    else {
      if (format === 'fp16') for (const present of [presentKey, presentValue]) stored('f16', present.data);
      attend(spec);
    }
    stored(x.dtype, out.data);
    return [out, presentKey, presentValue].slice(0, context.outputCount);
  },
});

/**
 * Attention over codes: scales of keys go into the queries, those of values into the result, as the cores do it. Leaves in the present what the
 * codes stand for.
 */
function attendCodes(
  spec: AttentionSpec,
  presentKey: Tensor,
  presentValue: Tensor,
  [keyScales, valueScales]: readonly [Tensor, Tensor],
): void {
  const { q, out } = spec;
  const [keys, values] = [int8Codes(presentKey, keyScales.data), int8Codes(presentValue, valueScales.data)];
  const scaled = new Float32Array(q.data.length);
  scaledByFeature(q.data, keyScales.data, { ...q, length: 1 }, scaled);
  const over = (t: Tensor, data: Float32Array): Heads => ({ ...headsOf4d(t), data });
  attend({ ...spec, q: { ...q, data: scaled }, k: over(presentKey, keys), v: over(presentValue, values) });
  scaledByFeature(out.data, valueScales.data, { ...out, length: 1 }, out.data);
  for (const [present, codes, scales] of [
    [presentKey, keys, keyScales],
    [presentValue, values, valueScales],
  ] as const) {
    scaledByFeature(codes, scales.data, headsOf4d(present), present.data);
    stored(present.dtype, present.data);
  }
}

/** Attention whose older blocks are rounded, each query over those that are complete before its own block. */
function attendBlocks(spec: AttentionSpec, presentKey: Tensor, presentValue: Tensor): void {
  const { q, out, masks } = spec;
  const total = presentKey.shape[2];
  const past = total - q.length;
  const rounded = [kiviKeys(presentKey), kiviValues(presentValue)] as const;
  // Rows before `at` are rounded in the present itself, block after block, as the queries pass them.
  let at = 0;
  const roundUpTo = (end: number): void => {
    for (const [i, present] of [presentKey, presentValue].entries()) {
      const [batch, heads, length, size] = present.shape;
      for (let head = 0; head < batch * heads; head++)
        present.data.set(
          rounded[i].data.subarray((head * length + at) * size, (head * length + end) * size),
          (head * length + at) * size,
        );
    }
    at = end;
  };
  const part = (heads: Heads, first: number, count: number): Heads => ({
    ...heads,
    data: heads.data.subarray(first * heads.steps[2]),
    length: count,
  });
  for (let s = 0; s < q.length; ) {
    const before = roundedBefore(past + s);
    roundUpTo(before);
    const count = Math.min(q.length - s, before + BLOCK - (past + s));
    const first = s;
    attend({
      ...spec,
      q: part(q, first, count),
      out: part(out, first, count),
      masks: masks.map(
        (mask): RowMask =>
          (row, b, h, query) =>
            mask(row, b, h, query + first),
      ),
    });
    s += count;
  }
  roundUpTo(roundedBefore(total));
}

export const ops = [rope, attention];
