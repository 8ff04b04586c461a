/**
 * com.microsoft Attention (projections included) and MultiHeadAttention. Their masks are additive: a masked key gets
 * `mask_filter_value`, a future one the lowest f32, so a row without any allowed key still sums to one.
 */
import { addDims, type Dim, divDims, mulDims } from '../ir/dim.ts';
import { rowMajor } from '../ir/constant.ts';
import { allocate, sizeOf, type Tensor, tensor } from '../tensor/tensor.ts';
import { defineOp, type InferContext, type RunContext } from './op.ts';
import { printShape } from './support/axes.ts';
import { appendHeads, attend, type Heads, headsOf3d, headsOf4d, maskBy, type RowMask } from './support/attention.ts';
import { stored } from './support/elementwise.ts';
import { unsupported } from './support/fault.ts';
import { tensorAt, typeAt } from './support/inputs.ts';
import { matmul } from './support/matmul.ts';
import { copyView } from './support/move.ts';

const LOWEST = -3.4028234663852886e38;

interface MaskShape {
  readonly batch: number;
  readonly queries: number;
  readonly keys: number;
  readonly past: number;
  readonly filter: number;
}

/** Key mask in any of its forms: lengths [B], ends and starts [2B], flags [B,T] or [B,S,T]. */
export function keyMask(op: string, mask: Tensor, { batch, queries, keys, filter }: MaskShape): RowMask {
  const { shape, data } = mask;
  const rank = shape.length;
  if (rank === 1 && shape[0] === batch)
    return outside(
      () => 0,
      (b) => data[b],
      filter,
    );
  if (rank === 1 && shape[0] === 2 * batch)
    return outside(
      (b) => data[batch + b],
      (b) => data[b],
      filter,
    );
  if (rank === 2 && shape[1] === 1 && keys !== 1) return () => {}; // a placeholder that masks nothing
  if (rank === 2 && shape[1] === keys) return flags((b) => b * keys);
  if (rank === 3 && shape[1] === queries && shape[2] === keys) return flags((b, s) => (b * queries + s) * keys);
  return unsupported(op, `a key mask of shape [${shape}] for ${batch} x ${queries} queries and ${keys} keys`);

  function flags(at: (b: number, s: number) => number): RowMask {
    return (row, b, _, s) => {
      const start = at(b, s);
      for (let t = 0; t < row.length; t++) if (data[start + t] === 0) row[t] += filter;
    };
  }
}

/** Keys before `start` and from `end` on are filtered. */
function outside(start: (b: number) => number, end: (b: number) => number, filter: number): RowMask {
  return (row, b) => {
    for (let t = 0; t < row.length; t++) if (t < start(b) || t >= end(b)) row[t] += filter;
  };
}

const noFuture =
  (past: number): RowMask =>
  (row, _b, _h, s) => {
    for (let t = past + s + 1; t < row.length; t++) row[t] = LOWEST;
  };

interface Parts {
  readonly q: Heads;
  readonly k: Heads;
  readonly v: Heads;
  readonly dtype: Tensor['dtype'];
  readonly mask: Tensor | undefined;
  readonly bias: Tensor | undefined;
  readonly past: number;
}

/** Attention over whole keys and values; the result is [B, S, N*Hv]. */
function attended(context: RunContext, op: string, { q, k, v, dtype, mask, bias, past }: Parts): Tensor {
  const { attrs } = context;
  const shape = [q.batch, q.length, q.heads * v.size];
  const out = tensor(dtype, shape, allocate(dtype, sizeOf(shape)));
  const filter = attrs.float('mask_filter_value', -10000);
  const masks: RowMask[] = [];
  if (bias) masks.push(maskBy(bias, [q.batch, q.heads, q.length, k.length]));
  if (mask) masks.push(keyMask(op, mask, { batch: q.batch, queries: q.length, keys: k.length, past, filter }));
  if (attrs.int('unidirectional', 0) === 1) masks.push(noFuture(past));
  const given = attrs.float('scale', 0);
  const scale = given === 0 ? 1 / Math.sqrt(q.size) : given;
  attend({ q, k, v, scale, softcap: 0, masks, emptyRow: 'nan', out: headsOf3d(out, q.heads) });
  stored(dtype, out.data);
  return out;
}

/** Widths of Q, K and V in the projection of Attention. */
function projection(context: InferContext | RunContext, total: Dim): readonly [Dim, Dim, Dim] {
  const given = context.attrs.ints('qkv_hidden_sizes', []);
  if (given.length === 3) return [given[0], given[1], given[2]];
  const third = divDims(total, 3) ?? unsupported('Attention', 'a projection whose width is not a multiple of 3');
  return [third, third, third];
}

const attention = defineOp({
  domain: 'com.microsoft',
  name: 'Attention',
  since: [1],
  trait: 'compute',
  infer(context: InferContext) {
    const x = typeAt(context, 0);
    const weight = typeAt(context, 1).shape;
    if (x.shape.length !== 3 || weight.length !== 2) {
      context.mismatch({
        input: 0,
        expected: '[B, S, F] and [F, 3N]',
        found: `${printShape(x.shape)} and ${printShape(weight)}`,
      });
    }
    const [batch, length] = x.shape;
    const heads = context.attrs.int('num_heads');
    const [, , width] = projection(context, weight[1]);
    const total = addDims(context.inputs[4]?.shape[3] ?? 0, length);
    const size = divDims(width, heads) ?? context.fresh('head');
    const types = [
      { dtype: x.dtype, shape: [batch, length, width] },
      { dtype: x.dtype, shape: [2, batch, heads, total, size] },
    ];
    return { types: types.slice(0, context.outputCount) };
  },
  run(context) {
    const [x, weight] = [tensorAt(context, 0), tensorAt(context, 1)];
    const [projectionBias, mask, past, bias] = [2, 3, 4, 5].map((i) => context.inputs[i]);
    if (context.attrs.int('do_rotary', 0) !== 0) unsupported('Attention', 'do_rotary, whose angles no input gives');
    const heads = context.attrs.int('num_heads');
    const all = matmul(x, weight, { dtype: 'f32' });
    const width = weight.shape[1];
    if (projectionBias) for (let i = 0; i < all.data.length; i++) all.data[i] += projectionBias.data[i % width];
    const widths = projection(context, width).map(Number);
    const part = (i: number) =>
      columns(
        all,
        widths.slice(0, i).reduce((a, b) => a + b, 0),
        widths[i],
      );
    const halves = past && [0, 1].map((i) => halfOf(past, i));
    const key = appendHeads(halves?.[0], headsOf3d(part(1), heads), 'f32');
    const value = appendHeads(halves?.[1], headsOf3d(part(2), heads), 'f32');
    const out = attended(context, 'Attention', {
      q: headsOf3d(part(0), heads),
      k: headsOf4d(key),
      v: headsOf4d(value),
      dtype: x.dtype,
      mask,
      bias,
      past: past?.shape[3] ?? 0,
    });
    if (context.outputCount < 2) return [out];
    const present = allocate(x.dtype, 2 * key.data.length);
    present.set(key.data);
    present.set(value.data, key.data.length);
    return [out, tensor(x.dtype, [2, ...key.shape], stored(x.dtype, present))];
  },
});

/** Columns of a [B, S, W] tensor. */
function columns(source: Tensor, start: number, count: number): Tensor {
  const shape = source.shape.with(-1, count);
  const out = allocate(source.dtype, sizeOf(shape));
  copyView(source.data, { shape, strides: rowMajor(source.shape), offset: start }, out);
  return tensor(source.dtype, shape, out);
}

/** Keys (0) or values (1) of a [2, B, N, P, H] past. */
function halfOf({ dtype, shape, data }: Tensor, index: number): Tensor {
  const half = data.length / 2;
  return tensor(dtype, shape.slice(1), data.subarray(index * half, (index + 1) * half));
}

/** `source` plus `count` elements of the bias from `start` on. */
function plusBias(source: Tensor, bias: Tensor | undefined, start: number): Tensor {
  if (bias === undefined) return source;
  const width = source.shape[source.shape.length - 1];
  const data = Float32Array.from(source.data, (v, i) => v + bias.data[start + (i % width)]);
  return tensor('f32', source.shape, data);
}

/** Query, key and value of MultiHeadAttention in any of its layouts, as [B, S, N*H] or [B, N, L, H] tensors. */
function separate(context: RunContext): { q: Tensor; k: Tensor; v: Tensor } {
  const query = tensorAt(context, 0);
  const [key, value] = [context.inputs[1], context.inputs[2]];
  // Packed: [B, S, N, 3, H], or the keys and values as [B, L, N, 2, H].
  const unpack = ({ dtype, shape, data }: Tensor, index: number): Tensor => {
    const [batch, length, heads, count, size] = shape;
    const strides = rowMajor(shape);
    const view = { shape: [batch, length, heads, size], strides: [...strides.slice(0, 3), 1], offset: index * size };
    const out = allocate(dtype, data.length / count);
    copyView(data, view, out);
    return tensor(dtype, [batch, length, heads * size], out);
  };
  if (key === undefined) return { q: unpack(query, 0), k: unpack(query, 1), v: unpack(query, 2) };
  if (value === undefined) return { q: query, k: unpack(key, 0), v: unpack(key, 1) };
  return { q: query, k: key, v: value };
}

const multiHead = defineOp({
  domain: 'com.microsoft',
  name: 'MultiHeadAttention',
  since: [1],
  trait: 'compute',
  infer(context: InferContext) {
    const { dtype, shape } = typeAt(context, 0);
    const heads = context.attrs.int('num_heads');
    const key = context.inputs[1]?.shape;
    const value = context.inputs[2]?.shape;
    const packed = shape.length === 5;
    const headOf = (s: readonly Dim[]): Dim =>
      s.length === 3 ? (divDims(s[2], heads) ?? context.fresh('head')) : s[s.length - 1];
    const fresh: Dim = packed || key === undefined ? shape[1] : key.length === 4 ? key[2] : key[1];
    const size = headOf(key ?? shape);
    const valueSize = headOf(value ?? key ?? shape);
    const total = addDims(context.inputs[6]?.shape[2] ?? 0, fresh);
    const types = [
      { dtype, shape: [shape[0], shape[1], mulDims(heads, valueSize)] },
      { dtype, shape: [shape[0], heads, total, size] },
      { dtype, shape: [shape[0], heads, total, valueSize] },
      { dtype, shape: [shape[0], heads, shape[1], total] },
    ];
    return { types: types.slice(0, context.outputCount) };
  },
  run(context) {
    if (context.inputs[9] !== undefined) unsupported('MultiHeadAttention', 'cache_indirection');
    if (context.outputCount > 3) unsupported('MultiHeadAttention', 'the scores as an output');
    const heads = context.attrs.int('num_heads');
    const [bias, mask, scores, pastKey, pastValue] = [3, 4, 5, 6, 7].map((i) => context.inputs[i]);
    const { dtype } = tensorAt(context, 0);
    const { q, k, v } = separate(context);
    const width = q.shape[2];
    const headsIn = (t: Tensor, start: number): Heads =>
      t.shape.length === 4 ? headsOf4d(t) : headsOf3d(plusBias(t, bias, start), heads);
    const key = appendHeads(pastKey, headsIn(k, width), 'f32');
    const value = appendHeads(pastValue, headsIn(v, 2 * width), 'f32');
    const out = attended(context, 'MultiHeadAttention', {
      q: headsOf3d(plusBias(q, bias, 0), heads),
      k: headsOf4d(key),
      v: headsOf4d(value),
      dtype,
      mask,
      bias: scores,
      past: pastKey?.shape[2] ?? 0,
    });
    const present = (t: Tensor): Tensor => ({ ...t, dtype, data: stored(dtype, t.data) });
    return context.outputCount === 1 ? [out] : [out, present(key), present(value)].slice(0, context.outputCount);
  },
});

export const ops = [attention, multiHead];
