/** Attention whose heads are cut: scores of the features a core holds, then the softmax of its positions once they are summed. */
import type { ComputeOp } from '../../ir/program.ts';
import type { StepState } from './compute.ts';
import { featureAt, localFeature, type Spread } from './geometry.ts';

type OpOf<K> = Extract<ComputeOp, { op: K }>;

/** Positions up to `length` on the core, in the order of its rows. */
function positionsOf({ dealt, tensor }: Spread, core: number, length: number): number[] {
  if (dealt === null) throw new Error(`${tensor.name} is not dealt over cores`);
  const held: number[] = [];
  for (let p = dealt.owner[core]; p < length; p += dealt.owners) held.push(p);
  return held;
}

/** Products of the core's features alone; zero for heads of which it holds none. */
export function scores(op: OpOf<'scores'>, core: number, of: (t: number) => Spread, { past, tokens }: StepState): void {
  const [q, keys, out] = [op.q, op.keys, op.out].map(of);
  const keyScales = op.keyScales === undefined ? null : of(op.keyScales);
  const width = q.tensor.shape[1] / op.heads;
  const [firstColumn, columns] = [out.ranges[1].start[core], out.ranges[1].size[core]];
  const [qWidth, keyWidth] = [q.ranges[1].size[core], keys.ranges[1].size[core]];
  out.data.fill(0, core * out.stride, (core + 1) * out.stride);
  const sums = new Float64Array(columns);
  // Where each of the core's features meets its key, and the head whose score it is part of.
  const [keyAt, column] = [new Int32Array(qWidth), new Int32Array(qWidth)];
  const query = new Float32Array(tokens * qWidth);
  for (let i = 0; i < qWidth; i++) {
    const feature = featureAt(q, q.ranges[1].start[core] + i);
    const head = Math.floor(feature / width);
    const kv = Math.floor((head * op.kvHeads) / op.heads);
    const key = localFeature(keys, core, kv * width + (feature % width));
    const scale = keyScales === null ? 1 : keyScales.data[core * keyScales.stride + key];
    keyAt[i] = core * keys.stride + key;
    column[i] = head * tokens - firstColumn;
    for (let t = 0; t < tokens; t++) query[t * qWidth + i] = q.data[core * q.stride + t * qWidth + i] * scale;
  }
  const { length } = positionsOf(keys, core, past + tokens);
  for (let row = 0, to = core * out.stride; row < length; row++) {
    sums.fill(0);
    for (let i = 0; i < qWidth; i++) {
      const k = keys.data[keyAt[i] + row * keyWidth];
      for (let t = 0; t < tokens; t++) sums[column[i] + t] += query[t * qWidth + i] * k;
    }
    for (let c = 0; c < columns; c++) out.data[to++] = sums[c];
  }
}

/** Writes (m, l) of every head and o of the core's features; m = -inf and l = 0 where it holds no position that is allowed. */
export function mix(op: OpOf<'mix'>, core: number, of: (t: number) => Spread, { past, tokens }: StepState): void {
  const [given, values, stats, out] = [op.scores, op.values, op.stats, op.out].map(of);
  const mask = op.mask === null ? null : of(op.mask);
  const valueScales = op.valueScales === undefined ? null : of(op.valueScales);
  const [firstHead, heads] = [stats.ranges[1].start[core], stats.ranges[1].size[core]];
  const [columns, valueWidth, width] = [given, values, out].map((s) => s.ranges[1].size[core]);
  const held = positionsOf(values, core, past + tokens);
  const headWidth = out.tensor.shape[1] / op.heads;
  const sums = new Float64Array(width);
  for (let t = 0; t < tokens; t++) {
    const now = past + t;
    const open = held.map(
      (p, row) =>
        (!op.causal || p <= now) &&
        (op.window === 0 || p > now - op.window) &&
        (mask === null || mask.data[core * mask.stride + row] !== 0),
    );
    const scoreAt = (h: number, row: number): number => {
      const column = (firstHead + h) * tokens + t - given.ranges[1].start[core];
      const score = given.data[core * given.stride + row * columns + column] * op.scale;
      return op.softcap > 0 ? op.softcap * Math.tanh(score / op.softcap) : score;
    };
    const weights: Float64Array[] = [];
    for (let h = 0; h < heads; h++) {
      const list = new Float64Array(held.length);
      let m = Number.NEGATIVE_INFINITY;
      for (let row = 0; row < list.length; row++) {
        list[row] = open[row] ? scoreAt(h, row) : Number.NEGATIVE_INFINITY;
        if (list[row] > m) m = list[row];
      }
      m = Math.fround(m);
      let l = 0;
      for (let row = 0; row < list.length; row++) {
        list[row] = list[row] === Number.NEGATIVE_INFINITY ? 0 : Math.exp(list[row] - m);
        l += list[row];
      }
      const at = core * stats.stride + 2 * (t * heads + h);
      stats.data[at] = m;
      stats.data[at + 1] = l;
      weights.push(list);
    }
    for (let i = 0; i < width; i++) {
      const feature = featureAt(out, out.ranges[1].start[core] + i);
      const head = Math.floor(feature / headWidth);
      const kv = Math.floor((head * op.kvHeads) / op.heads);
      const local = localFeature(values, core, kv * headWidth + (feature % headWidth));
      const at = core * values.stride + local;
      const own = weights[head - firstHead];
      let sum = 0;
      for (let row = 0; row < own.length; row++) sum += own[row] * values.data[at + row * valueWidth];
      sums[i] = sum;
      if (valueScales !== null) sums[i] *= valueScales.data[core * valueScales.stride + local];
    }
    out.data.set(sums, core * out.stride + t * width);
  }
}
