/** Attention over the positions a core holds: the local share of an online softmax. */
import type { ComputeOp } from '../../ir/program.ts';
import type { StepState } from './compute.ts';
import type { Spread } from './geometry.ts';

type Attend = Extract<ComputeOp, { op: 'attend' }>;

/** Writes (m, l) and o of the core's own positions; m = -inf and l = 0 where it holds none that is allowed. */
export function attend(op: Attend, core: number, of: (t: number) => Spread, { past, tokens }: StepState): void {
  const [q, keys, values, stats, out] = [op.q, op.keys, op.values, op.stats, op.out].map(of);
  const mask = op.mask === null ? null : of(op.mask);
  const [keyScales, valueScales] = [op.keyScales, op.valueScales].map((t) => (t === undefined ? null : of(t)));
  const { dealt } = keys;
  if (dealt === null) throw new Error(`state ${keys.tensor.name} is not dealt over cores`);
  const heads = stats.ranges[1].size[core];
  const firstHead = stats.ranges[1].start[core];
  const width = q.tensor.shape[1] / op.heads;
  const valueWidth = out.tensor.shape[1] / op.heads;
  const share = op.heads / op.kvHeads;
  const keyRow = keys.ranges[1].size[core];
  const valueRow = values.ranges[1].size[core];
  const firstKv = keys.ranges[1].start[core] / width;
  const length = past + tokens;
  const held: number[] = [];
  for (let p = dealt.owner[core]; p < length; p += dealt.owners) held.push(p);
  const scores = new Float64Array(held.length);
  const sums = new Float64Array(valueWidth);
  const query = new Float32Array(width);
  for (let t = 0; t < tokens; t++) {
    const now = past + t;
    for (let h = 0; h < heads; h++) {
      const kv = Math.floor((firstHead + h) / share) - firstKv;
      const qAt = core * q.stride + t * q.ranges[1].size[core] + h * width;
      for (let d = 0; d < width; d++) query[d] = q.data[qAt + d] * scaleAt(keyScales, core, kv * width + d);
      let m = Number.NEGATIVE_INFINITY;
      for (const [i, p] of held.entries()) {
        const row = Math.floor(p / dealt.owners);
        const open =
          (!op.causal || p <= now) &&
          (op.window === 0 || p > now - op.window) &&
          (mask === null || mask.data[core * mask.stride + row] !== 0);
        if (!open) {
          scores[i] = Number.NEGATIVE_INFINITY;
          continue;
        }
        const kAt = core * keys.stride + row * keyRow + kv * width;
        let dot = 0;
        for (let d = 0; d < width; d++) dot += query[d] * keys.data[kAt + d];
        const score = dot * op.scale;
        scores[i] = op.softcap > 0 ? op.softcap * Math.tanh(score / op.softcap) : score;
        if (scores[i] > m) m = scores[i];
      }
      m = Math.fround(m);
      let l = 0;
      sums.fill(0);
      for (const [i, p] of held.entries()) {
        if (scores[i] === Number.NEGATIVE_INFINITY) continue;
        const weight = Math.exp(scores[i] - m);
        l += weight;
        const vAt = core * values.stride + Math.floor(p / dealt.owners) * valueRow + kv * valueWidth;
        for (let e = 0; e < valueWidth; e++) sums[e] += weight * values.data[vAt + e];
      }
      if (valueScales !== null)
        for (let e = 0; e < valueWidth; e++) sums[e] *= scaleAt(valueScales, core, kv * valueWidth + e);
      const th = t * heads + h;
      stats.data.set([m, l], core * stats.stride + 2 * th);
      out.data.set(sums, core * out.stride + th * valueWidth);
    }
  }
}

/** The scale of a feature that the core holds; 1 where values are no codes. */
const scaleAt = (scales: Spread | null, core: number, feature: number): number =>
  scales === null ? 1 : scales.data[core * scales.stride + feature];
