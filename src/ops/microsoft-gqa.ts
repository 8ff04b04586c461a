/**
 * com.microsoft GroupQueryAttention: with rotary embedding and a cache inside. By batch row, `seqlens_k` + 1 is the
 * number of valid keys after this step; new keys go right behind the old valid ones, wherever the buffer ends.
 * A cache may hold integers: then new keys and values are attended to as they come back out of it.
 */
import { addDims, type Dim, divDims, isKnown } from '../ir/dim.ts';
import { isFloat } from '../ir/types.ts';
import { allocate, sizeOf, type Tensor, tensor } from '../tensor/tensor.ts';
import { defineOp, type InferContext, type RunContext } from './op.ts';
import { type CacheCodes, decodeCache, encodeHeads, storedWidth } from './support/cache-codes.ts';
import { attend, causalMask, headsOf3d, headsOf4d, maskBy, type RowMask } from './support/attention.ts';
import { stored } from './support/elementwise.ts';
import { badValue, unsupported } from './support/fault.ts';
import { tensorAt, typeAt } from './support/inputs.ts';
import { copyView } from './support/move.ts';
import { rotate } from './support/rotate.ts';
import { extremeDim } from './support/values.ts';

const NAME = 'GroupQueryAttention';

type Context = InferContext | RunContext;
const QUANT_ATTRIBUTE = { key: 'k_quant_type', value: 'v_quant_type' } as const;
type Half = keyof typeof QUANT_ATTRIBUTE;

/** Bits of a cache element, or undefined for a cache of floats. */
function cacheBits({ attrs, inputs }: Context, half: Half): 4 | 8 | undefined {
  const kind = attrs.string(QUANT_ATTRIBUTE[half], 'NONE');
  const dtype = inputs[half === 'key' ? 3 : 4]?.dtype;
  if (kind === 'NONE') {
    if (dtype !== undefined && !isFloat(dtype)) unsupported(NAME, `a cache of ${dtype} whose ${half}s have no scale`);
    return undefined;
  }
  if (kind !== 'PER_TENSOR' && kind !== 'PER_CHANNEL') unsupported(NAME, `a cache quantized ${kind}`);
  const bits = attrs.int('kv_cache_bit_width', 0);
  if (bits !== 4 && bits !== 8) return unsupported(NAME, `kv_cache_bit_width ${bits}; supported: 4, 8`);
  const expected = bits === 4 ? 'u8' : 'i8';
  if (dtype !== undefined && dtype !== expected) {
    unsupported(NAME, `a cache of ${bits}-bit codes in ${dtype}; supported: ${expected}`);
  }
  return bits;
}

/** The forms that would change the result and are not here. */
function refuseOthers({ attrs, outputCount }: Context): void {
  if (outputCount > 3) unsupported(NAME, 'the scores as an output');
  if (attrs.int('sliding_window_cache', 0) !== 0) unsupported(NAME, 'sliding_window_cache');
}

function inferGqa(context: InferContext) {
  refuseOthers(context);
  const { dtype, shape } = typeAt(context, 0);
  const heads = context.attrs.int('num_heads');
  const kvHeads = context.attrs.int('kv_num_heads');
  const packed = context.inputs[1] === undefined;
  const size = divDims(shape[2], packed ? heads + 2 * kvHeads : heads) ?? context.fresh('head');
  const past = context.inputs[3];
  const total = context.valueOf(6)?.[0];
  const appended = addDims(past?.shape[2] ?? 0, shape[1]);
  // The buffer stays as it is when it is long enough; otherwise it grows to the total.
  const present: Dim = total === undefined ? appended : (extremeDim(total, past?.shape[2] ?? 0, 1) ?? appended);
  const cache = (half: Half) => {
    const bits = cacheBits(context, half);
    if (bits === undefined)
      return {
        dtype: context.inputs[half === 'key' ? 3 : 4]?.dtype ?? dtype,
        shape: [shape[0], kvHeads, present, size],
      };
    typeAt(context, half === 'key' ? 12 : 13);
    const width = isKnown(size) ? storedWidth(bits, size) : (past?.shape[3] ?? context.fresh('stored'));
    return { dtype: bits === 4 ? ('u8' as const) : ('i8' as const), shape: [shape[0], kvHeads, present, width] };
  };
  const width = isKnown(size) ? heads * size : packed ? context.fresh('width') : shape[2];
  const types = [{ dtype, shape: [shape[0], shape[1], width] }, cache('key'), cache('value')];
  return { types: types.slice(0, context.outputCount) };
}

/** Query, key and value as [B, S, heads * size], taken apart where they come packed. */
function separate(context: RunContext, heads: number, kvHeads: number): readonly [Tensor, Tensor, Tensor] {
  const query = tensorAt(context, 0);
  const [key, value] = [context.inputs[1], context.inputs[2]];
  if (key !== undefined && value !== undefined) return [query, key, value];
  const [batch, length, width] = query.shape;
  const size = width / (heads + 2 * kvHeads);
  const part = (start: number, count: number): Tensor => {
    const shape = [batch, length, count * size];
    const out = allocate(query.dtype, sizeOf(shape));
    copyView(query.data, { shape, strides: [length * width, width, 1], offset: start * size }, out);
    return tensor(query.dtype, shape, out);
  };
  return [part(0, heads), part(heads, kvHeads), part(heads + kvHeads, kvHeads)];
}

/** How a cache holds its numbers, or undefined where it holds floats. */
function codesOf(context: RunContext, half: Half, heads: number, size: number): CacheCodes | undefined {
  const bits = cacheBits(context, half);
  if (bits === undefined) return undefined;
  const scales = tensorAt(context, half === 'key' ? 12 : 13).data;
  const expected = context.attrs.string(QUANT_ATTRIBUTE[half]) === 'PER_TENSOR' ? 1 : heads * size;
  if (scales.length !== expected) badValue(NAME, `expected ${expected} ${half} scales, found ${scales.length}`);
  return { bits, heads, size, scales };
}

interface Lengths {
  /** Valid keys before this step, by batch row. */
  readonly before: readonly number[];
  readonly total: readonly number[];
  /** Positions in the present buffer. */
  readonly present: number;
}

function lengthsOf(context: RunContext, queries: number): Lengths {
  const valid = tensorAt(context, 5);
  const total = tensorAt(context, 6).data[0];
  const firstPrompt = queries === total;
  const totals = Array.from(valid.data, (last) => last + 1);
  const before = totals.map((n) => (firstPrompt ? 0 : n - queries));
  if (before.some((n) => n < 0))
    badValue(NAME, `expected at least ${queries} keys per row, found ${Math.min(...totals)}`);
  return { before, total: totals, present: Math.max(context.inputs[3]?.shape[2] ?? 0, total) };
}

/** The present cache: valid old rows, then the new ones. */
function appendAt(past: Tensor | undefined, fresh: Tensor, kvHeads: number, lengths: Lengths): Tensor {
  const from = headsOf3d(fresh, kvHeads);
  const shape = [from.batch, kvHeads, lengths.present, from.size];
  const dtype = past?.dtype ?? fresh.dtype;
  const out = tensor(dtype, shape, allocate(dtype, sizeOf(shape)));
  const pastRow = past ? past.shape[2] * from.size : 0;
  for (let b = 0; b < from.batch; b++) {
    for (let h = 0; h < kvHeads; h++) {
      const head = b * kvHeads + h;
      const at = head * lengths.present * from.size;
      if (past) out.data.set(past.data.subarray(head * pastRow, head * pastRow + lengths.before[b] * from.size), at);
      for (let s = 0; s < from.length; s++) {
        const source = b * from.steps[0] + h * from.steps[1] + s * from.steps[2];
        out.data.set(from.data.subarray(source, source + from.size), at + (lengths.before[b] + s) * from.size);
      }
    }
  }
  return out;
}

/** Rotates by the position behind the valid keys, or by the given position ids. */
function rotated(context: RunContext, x: Tensor, heads: number, { before }: Lengths): Tensor {
  if (context.attrs.int('do_rotary', 0) === 0) return x;
  const [cos, sin] = [tensorAt(context, 7), tensorAt(context, 8)];
  const positions = context.inputs[9];
  const pairs = cos.shape[1];
  const at = (b: number, s: number): number => {
    const position = positions ? positions.data[b * x.shape[1] + s] : before[b] + s;
    if (position < 0 || position >= cos.shape[0]) {
      badValue(NAME, `expected positions below ${cos.shape[0]}, found ${position}`);
    }
    return position * pairs;
  };
  const interleaved = context.attrs.int('rotary_interleaved', 0) === 1;
  return rotate(x, headsOf3d(x, heads), { cos: cos.data, sin: sin.data, at, pairs, interleaved });
}

/** Every head vector divided by its root mean square and weighted, where the input with the weights is given. */
function normalised(context: RunContext, x: Tensor, input: 14 | 15): Tensor {
  const weight = context.inputs[input]?.data;
  if (weight === undefined) return x;
  const epsilon = context.attrs.float('qk_norm_epsilon', 1e-6);
  const out = allocate(x.dtype, x.data.length);
  for (let base = 0; base < out.length; base += weight.length) {
    let squares = 0;
    for (let i = 0; i < weight.length; i++) squares += x.data[base + i] ** 2;
    const factor = 1 / Math.sqrt(squares / weight.length + epsilon);
    for (let i = 0; i < weight.length; i++) out[base + i] = x.data[base + i] * factor * weight[i];
  }
  return tensor(x.dtype, x.shape, stored(x.dtype, out));
}

function sinksOf(context: RunContext, heads: number): ArrayLike<number> | undefined {
  const given = context.inputs[11]?.data;
  if (given !== undefined) return given;
  return context.attrs.int('smooth_softmax', 0) === 1 ? new Float32Array(heads) : undefined;
}

const groupQuery = defineOp({
  domain: 'com.microsoft',
  name: NAME,
  since: [1],
  trait: 'compute',
  infer: inferGqa,
  run(context) {
    const { attrs } = context;
    refuseOthers(context);
    const heads = attrs.int('num_heads');
    const kvHeads = attrs.int('kv_num_heads');
    const [query, key, value] = separate(context, heads, kvHeads);
    const lengths = lengthsOf(context, query.shape[1]);
    const q = headsOf3d(rotated(context, normalised(context, query, 14), heads, lengths), heads);
    const newKey = rotated(context, normalised(context, key, 15), kvHeads, lengths);
    /** The present cache as it is kept, and the heads that are read from it. */
    const keep = (half: Half, past: Tensor | undefined, fresh: Tensor) => {
      const codes = codesOf(context, half, kvHeads, q.size);
      const present = appendAt(past, codes ? encodeHeads(fresh, codes) : fresh, kvHeads, lengths);
      return { present, read: headsOf4d(codes ? decodeCache(present, codes) : present) };
    };
    const keys = keep('key', context.inputs[3], newKey);
    const values = keep('value', context.inputs[4], value);
    const bias = context.inputs[10];
    const window = attrs.int('local_window_size', -1);
    const masks: RowMask[] = [];
    if (attrs.int('causal', 1) === 1) {
      masks.push(causalMask((b) => lengths.before[b], window > 0 ? window : undefined));
    } else if (window > 0) unsupported(NAME, 'a window over later positions');
    masks.push((row, b) => row.fill(Number.NEGATIVE_INFINITY, Math.min(row.length, lengths.total[b])));
    if (bias) masks.unshift(maskBy(bias, [q.batch, heads, q.length, lengths.present]));
    const scale = attrs.float('scale', 0);
    const sinks = sinksOf(context, heads);
    const out = tensor(query.dtype, query.shape, allocate(query.dtype, query.data.length));
    attend({
      q,
      k: keys.read,
      v: values.read,
      scale: scale === 0 ? 1 / Math.sqrt(q.size) : scale,
      softcap: attrs.float('softcap', 0),
      masks,
      emptyRow: 'zero',
      out: headsOf3d(out, heads),
      ...(sinks ? { sinks } : {}),
    });
    stored(query.dtype, out.data);
    return [out, keys.present, values.present].slice(0, context.outputCount);
  },
});

export const ops = [groupQuery];
