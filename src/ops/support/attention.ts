/**
 * Scaled dot-product attention, one query row at a time: the one implementation behind ai.onnx Attention, the
 * com.microsoft attention ops and wafc.attention. Callers describe layouts by strides and masks by row functions;
 * sums are in double.
 */
import { rowMajor } from '../../ir/constant.ts';
import { allocate, sizeOf, type Tensor, type TensorData, tensor } from '../../tensor/tensor.ts';
import { broadcastStrides } from './broadcast.ts';

/** [batch, heads, length, size] in some memory order; the elements of a head vector are adjacent. */
export interface Heads {
  readonly data: TensorData;
  readonly batch: number;
  readonly heads: number;
  readonly length: number;
  readonly size: number;
  /** Elements between batches, heads and positions. */
  readonly steps: readonly [batch: number, head: number, position: number];
}

/** A [B, H, S, D] tensor as heads. */
export function headsOf4d({ shape, data }: Tensor): Heads {
  const [batch, heads, length, size] = shape;
  return { data, batch, heads, length, size, steps: [heads * length * size, length * size, size] };
}

/** A [B, S, H*D] tensor as heads. */
export function headsOf3d({ shape, data }: Tensor, heads: number): Heads {
  const [batch, length, width] = shape;
  const size = width / heads;
  return { data, batch, heads, length, size, steps: [length * width, size, width] };
}

/** Changes one row of scores in place: adds a bias, or -Infinity where a key is not attended. */
export type RowMask = (row: Float64Array, batch: number, head: number, query: number) => void;

export type Stage = 'raw' | 'capped' | 'biased' | 'softmax';

export interface AttentionSpec {
  readonly q: Heads;
  readonly k: Heads;
  readonly v: Heads;
  readonly scale: number;
  /** 0 for none; applied before any mask, so that -Infinity stays. */
  readonly softcap: number;
  readonly masks: readonly RowMask[];
  /** What a query gets that may attend to no key at all. */
  readonly emptyRow: 'nan' | 'zero';
  /** Where the outputs go: [B, H, S, size of v] by these steps. */
  readonly out: Heads;
  /** Also keeps one stage of the scores, as [B, H, S, T]. */
  readonly keep?: { readonly stage: Stage; readonly into: TensorData };
  /** By query head: a score that takes part in the softmax and has no value (attention sink). */
  readonly sinks?: ArrayLike<number>;
}

/** Fills `out` (and `keep`). Query head h reads key head floor(h * kvHeads / heads). */
export function attend(spec: AttentionSpec): void {
  const { q, k, v, out, keep } = spec;
  const row = new Float64Array(k.length);
  const sums = new Float64Array(v.size);
  const group = q.heads / k.heads;
  for (let b = 0; b < q.batch; b++) {
    for (let h = 0; h < q.heads; h++) {
      const kvHead = Math.floor(h / group);
      const keys = b * k.steps[0] + kvHead * k.steps[1];
      const values = b * v.steps[0] + kvHead * v.steps[1];
      for (let s = 0; s < q.length; s++) {
        const save = (stage: Stage) => {
          if (keep?.stage === stage) keep.into.set(row, ((b * q.heads + h) * q.length + s) * k.length);
        };
        scoreRow(spec, row, b * q.steps[0] + h * q.steps[1] + s * q.steps[2], keys);
        save('raw');
        if (spec.softcap !== 0)
          for (let t = 0; t < row.length; t++) row[t] = Math.tanh(row[t] / spec.softcap) * spec.softcap;
        save('capped');
        for (const mask of spec.masks) mask(row, b, h, s);
        save('biased');
        softmaxRow(row, spec.emptyRow, spec.sinks?.[h]);
        save('softmax');
        weigh(sums, row, v, values);
        out.data.set(sums, b * out.steps[0] + h * out.steps[1] + s * out.steps[2]);
      }
    }
  }
}

function scoreRow({ q, k, scale }: AttentionSpec, row: Float64Array, query: number, keys: number): void {
  for (let t = 0; t < row.length; t++) {
    const key = keys + t * k.steps[2];
    let dot = 0;
    for (let i = 0; i < q.size; i++) dot += q.data[query + i] * k.data[key + i];
    row[t] = dot * scale;
  }
}

function softmaxRow(row: Float64Array, emptyRow: 'nan' | 'zero', sink: number | undefined): void {
  let max = sink ?? Number.NEGATIVE_INFINITY;
  for (let t = 0; t < row.length; t++) if (!(row[t] <= max)) max = row[t];
  if (max === Number.NEGATIVE_INFINITY) {
    row.fill(emptyRow === 'nan' ? Number.NaN : 0);
    return;
  }
  let sum = sink === undefined ? 0 : Math.exp(sink - max);
  for (let t = 0; t < row.length; t++) {
    row[t] = Math.exp(row[t] - max);
    sum += row[t];
  }
  for (let t = 0; t < row.length; t++) row[t] /= sum;
}

/** Sum of the value vectors by weight. A weight of 0 skips its vector: padding may hold anything, NaN included. */
function weigh(sums: Float64Array, row: Float64Array, v: Heads, values: number): void {
  sums.fill(0);
  for (let t = 0; t < row.length; t++) {
    const weight = row[t];
    if (weight === 0) continue;
    const at = values + t * v.steps[2];
    for (let i = 0; i < sums.length; i++) sums[i] += weight * v.data[at + i];
  }
}

/** A tensor that broadcasts to [B, H, S, T]: bool (false = not attended) or additive. Keys beyond its last dim are not attended. */
export function maskBy(
  mask: Tensor,
  [batch, heads, queries, keys]: readonly [number, number, number, number],
): RowMask {
  const width = mask.shape[mask.shape.length - 1] === 1 ? keys : mask.shape[mask.shape.length - 1];
  const [sb, sh, ss, st] = broadcastStrides(mask.shape, [batch, heads, queries, width]);
  const { data } = mask;
  const isBool = mask.dtype === 'bool';
  return (row, b, h, s) => {
    const at = b * sb + h * sh + s * ss;
    for (let t = 0; t < row.length; t++) {
      if (t >= width) row[t] = Number.NEGATIVE_INFINITY;
      else if (!isBool) row[t] += data[at + t * st];
      else if (data[at + t * st] === 0) row[t] = Number.NEGATIVE_INFINITY;
    }
  };
}

/** Key t is attended by query s when t <= s + offset(b) and, with a window, t > s + offset(b) - window. */
export function causalMask(offset: (batch: number) => number, window = Number.POSITIVE_INFINITY): RowMask {
  return (row, b, _, s) => {
    const position = s + offset(b);
    for (let t = 0; t < row.length; t++) if (t > position || t <= position - window) row[t] = Number.NEGATIVE_INFINITY;
  };
}

/** The past [B, H, P, D] followed by the new positions, as [B, H, P+S, D]. */
export function appendHeads(past: Tensor | undefined, fresh: Heads, dtype: Tensor['dtype']): Tensor {
  const before = past?.shape[2] ?? 0;
  const shape = [fresh.batch, fresh.heads, before + fresh.length, fresh.size];
  const out = tensor(dtype, shape, allocate(dtype, sizeOf(shape)));
  const [sb, sh, ss] = rowMajor(shape);
  for (let b = 0; b < fresh.batch; b++) {
    for (let h = 0; h < fresh.heads; h++) {
      const at = b * sb + h * sh;
      const rows = before * fresh.size;
      if (past) out.data.set(past.data.subarray((b * fresh.heads + h) * rows, (b * fresh.heads + h + 1) * rows), at);
      for (let s = 0; s < fresh.length; s++) {
        const from = b * fresh.steps[0] + h * fresh.steps[1] + s * fresh.steps[2];
        out.data.set(fresh.data.subarray(from, from + fresh.size), at + (before + s) * ss);
      }
    }
  }
  return out;
}
