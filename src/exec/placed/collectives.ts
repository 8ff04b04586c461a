/**
 * Collectives on tiles, in mesh order: along each line of cores the first core's contribution meets the second's,
 * that the third's, and so on, rounded to f32 at every hop as a chain on the fabric would.
 */
import type { CollectiveOp } from '../../ir/program.ts';
import { type Cores, featureAt, linesOf, type Spread } from './geometry.ts';

export function runCollective(op: CollectiveOp, cores: Cores, of: (t: number) => Spread): void {
  const lines = linesOf(cores, op.axes);
  if (op.op === 'all_gather') {
    for (const [i, input] of op.inputs.entries()) gather(lines, of(input), of(op.outputs[i]));
    return;
  }
  if (op.combine === 'softmax') {
    for (let i = 0; i < op.inputs.length; i += 2) {
      mergeSoftmax(lines, of(op.inputs[i]), of(op.inputs[i + 1]), of(op.outputs[i]), of(op.outputs[i + 1]));
    }
    return;
  }
  for (const [i, input] of op.inputs.entries()) {
    const [from, to] = [of(input), of(op.outputs[i])];
    if (op.combine === 'moments') mergeMoments(lines, from, to);
    else reduce(lines, from, to, op.combine === 'max' ? Math.max : (a, b) => a + b);
  }
}

/** Every core of the line gets the combination of all tiles (or its own part of it, when the layout cuts the result). */
function reduce(
  lines: readonly Int32Array[],
  from: Spread,
  to: Spread,
  combine: (a: number, b: number) => number,
): void {
  const { data, stride } = from;
  const sum = new Float32Array(stride);
  for (const line of lines) {
    for (let i = 0, at = line[0] * stride; i < stride; i++) sum[i] = data[at + i];
    for (let n = 1; n < line.length; n++)
      for (let i = 0, at = line[n] * stride; i < stride; i++) sum[i] = combine(sum[i], data[at + i]);
    for (const core of line) keepPart(from, to, line[0], core, sum);
  }
}

const tile = (s: Spread, core: number): Float32Array => s.data.subarray(core * s.stride, (core + 1) * s.stride);

/** Copies what `core` holds of a line's result; rows of dim 0 are whole, dim 1 may be cut. */
function keepPart(from: Spread, to: Spread, source: number, core: number, result: Float32Array): void {
  const rank = from.ranges.length;
  let at = core * to.stride;
  if (rank === 1) {
    for (let i = 0; i < to.stride; i++) to.data[at++] = result[i];
    return;
  }
  let rest = 1;
  for (let d = 2; d < rank; d++) rest *= from.ranges[d].size[core];
  const fromWidth = from.ranges[1].size[source] * rest;
  const width = to.ranges[1].size[core] * rest;
  const rows = to.ranges[0].size[core];
  let first = (to.ranges[1].start[core] - from.ranges[1].start[source]) * rest;
  // Tiles are small: a loop is cheaper than views of them.
  for (let t = 0; t < rows; t++, first += fromWidth) for (let i = 0; i < width; i++) to.data[at++] = result[first + i];
}

/** Concatenates dim 1 along the line. */
function gather(lines: readonly Int32Array[], from: Spread, to: Spread): void {
  for (const line of lines) {
    for (const core of line) {
      const width = to.ranges[1].size[core];
      const start = to.ranges[1].start[core];
      for (const member of line) {
        const part = from.ranges[1].size[member];
        const at = from.ranges[1].start[member] - start;
        for (let t = 0; t < from.ranges[0].size[member]; t++) {
          const source = member * from.stride + t * part;
          to.data.set(from.data.subarray(source, source + part), core * to.stride + t * width + at);
        }
      }
    }
  }
}

/**
 * (m, l) and o of two shares: l and o are brought to the larger m and added (online softmax). A core may hold a part of its
 * heads' features only: each feature goes with the head it is of.
 */
function mergeSoftmax(lines: readonly Int32Array[], stats: Spread, o: Spread, statsOut: Spread, oOut: Spread): void {
  const sumStats = new Float32Array(stats.stride);
  const sumO = new Float32Array(o.stride);
  const headWidth = o.tensor.shape[1] / stats.tensor.shape[1];
  for (const line of lines) {
    const [first] = line;
    sumStats.set(tile(stats, first));
    sumO.set(tile(o, first));
    const tokens = stats.ranges[0].size[first];
    const heads = stats.ranges[1].size[first];
    const firstHead = stats.ranges[1].start[first];
    const width = o.ranges[1].size[first];
    const headOf = Int32Array.from({ length: width }, (_, i) =>
      Math.max(0, Math.floor(featureAt(o, o.ranges[1].start[first] + i) / headWidth) - firstHead),
    );
    for (const core of line.subarray(1)) {
      const [s, v] = [tile(stats, core), tile(o, core)];
      for (let t = 0; t < tokens; t++) {
        const [own, others] = [new Float64Array(heads), new Float64Array(heads)];
        for (let h = 0; h < heads; h++) {
          const th = t * heads + h;
          const m = Math.max(sumStats[2 * th], s[2 * th]);
          const a = m === Number.NEGATIVE_INFINITY ? 0 : Math.exp(sumStats[2 * th] - m);
          const b = m === Number.NEGATIVE_INFINITY ? 0 : Math.exp(s[2 * th] - m);
          sumStats[2 * th] = m;
          sumStats[2 * th + 1] = a * sumStats[2 * th + 1] + b * s[2 * th + 1];
          own[h] = a;
          others[h] = b;
        }
        for (let i = 0; i < width; i++)
          sumO[t * width + i] = own[headOf[i]] * sumO[t * width + i] + others[headOf[i]] * v[t * width + i];
      }
    }
    for (const core of line) {
      keepPart(stats, statsOut, first, core, sumStats);
      keepPart(o, oOut, first, core, sumO);
    }
  }
}

/** (n, mean, M2) of two shares (Chan et al. 1979): exact for counts, no cancellation in the variance. */
function mergeMoments(lines: readonly Int32Array[], from: Spread, to: Spread): void {
  const sum = new Float32Array(from.stride);
  for (const line of lines) {
    sum.set(tile(from, line[0]));
    for (const core of line.subarray(1)) {
      const other = tile(from, core);
      for (let i = 0; i < other.length; i += 3) {
        const n = sum[i] + other[i];
        if (n === 0) continue;
        const delta = other[i + 1] - sum[i + 1];
        sum[i + 2] += other[i + 2] + (delta * delta * sum[i] * other[i]) / n;
        sum[i + 1] += (delta * other[i]) / n;
        sum[i] = n;
      }
    }
    for (const core of line) keepPart(from, to, line[0], core, sum);
  }
}
