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
  for (const row of positionsOf(keys, core, past + tokens).keys()) {
    sums.fill(0);
    for (let i = 0; i < qWidth; i++) {
      const feature = featureAt(q, q.ranges[1].start[core] + i);
      const head = Math.floor(feature / width);
      const kv = Math.floor((head * op.kvHeads) / op.heads);
      const key = localFeature(keys, core, kv * width + (feature % width));
      const k = keys.data[core * keys.stride + row * keyWidth + key];
      const scale = keyScales === null ? 1 : keyScales.data[core * keyScales.stride + key];
      for (let t = 0; t < tokens; t++)
        sums[head * tokens + t - firstColumn] += Math.fround(q.data[core * q.stride + t * qWidth + i] * scale) * k;
    }
    out.data.set(sums, core * out.stride + row * columns);
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
    const weights = Array.from({ length: heads }, (_, h): Float64Array => {
      const list = Float64Array.from(held, (_p, row) => (open[row] ? scoreAt(h, row) : Number.NEGATIVE_INFINITY));
      const m = Math.fround(list.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY));
      const exps = list.map((score) => (score === Number.NEGATIVE_INFINITY ? 0 : Math.exp(score - m)));
      stats.data.set([m, exps.reduce((a, b) => a + b, 0)], core * stats.stride + 2 * (t * heads + h));
      return exps;
    });
    sums.fill(0);
    for (let i = 0; i < width; i++) {
      const feature = featureAt(out, out.ranges[1].start[core] + i);
      const head = Math.floor(feature / headWidth);
      const kv = Math.floor((head * op.kvHeads) / op.heads);
      const local = localFeature(values, core, kv * headWidth + (feature % headWidth));
      const at = core * values.stride + local;
      const own = weights[head - firstHead];
      for (const row of held.keys()) sums[i] += own[row] * values.data[at + row * valueWidth];
      if (valueScales !== null) sums[i] *= valueScales.data[core * valueScales.stride + local];
    }
    out.data.set(sums, core * out.stride + t * width);
  }
}
