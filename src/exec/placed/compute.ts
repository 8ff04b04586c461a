/** Compute ops on one core's tiles. Sums inside a tile run in doubles and are stored as f32. */
import type { ComputeOp } from '../../ir/program.ts';
import { featureAt, localFeature, type Spread } from './geometry.ts';
import { attend } from './attend.ts';
import { mix, scores } from './attend-split.ts';
import { codeOf } from './codes.ts';
import { BINARY, UNARY } from './functions.ts';
import { absMax, layerApply, moments, rmsApply, rmsScale, sumSquares } from './norms.ts';
import { base, rows, width } from './tile.ts';

/** What an op sees beside tiles: where in the sequence the step stands. */
export interface StepState {
  /** Positions before this step. */
  readonly past: number;
  /** Tokens of this step. */
  readonly tokens: number;
}

/** Runs `op` on core `core`. */
export function runCompute(op: ComputeOp, core: number, of: (t: number) => Spread, state: StepState): void {
  switch (op.op) {
    case 'embed':
      return embed(of(op.table), of(op.index), of(op.out), core);
    case 'gemv':
      for (const [i, weight] of op.weights.entries()) gemv(of(op.x), of(weight), of(op.outputs[i]), core);
      return;
    case 'unary': {
      const f = UNARY[op.fn];
      return each(of(op.x), of(op.out), core, (x) => f(x, op.value));
    }
    case 'binary':
      return binary(BINARY[op.fn], of(op.a), of(op.b), of(op.out), core);
    case 'abs_max':
      return absMax(of(op.x), of(op.out), core);
    case 'sum_squares':
      return sumSquares(of(op.x), of(op.out), op.groups, core);
    case 'moments':
      return moments(of(op.x), of(op.out), op.groups, core);
    case 'rms_apply':
      return rmsApply(
        of(op.x),
        of(op.sums),
        op.gamma === null ? null : of(op.gamma),
        of(op.out),
        op.groups,
        op.epsilon,
        core,
      );
    case 'rms_scale':
      for (const [i, x] of op.inputs.entries())
        rmsScale(of(x), of(op.sums), of(op.outputs[i]), op.features, op.epsilon, core);
      return;
    case 'layer_apply':
      return layerApply(
        of(op.x),
        of(op.moments),
        [op.gamma, op.beta].map((t) => (t === null ? null : of(t))),
        of(op.out),
        op,
        core,
      );
    case 'rope':
      return rope(of(op.x), of(op.cos), of(op.sin), of(op.out), op.heads, op.interleaved, core);
    case 'append':
      return append(of(op.x), of(op.state), op.scales === undefined ? null : of(op.scales), core, state.past);
    case 'attend':
      return attend(op, core, of, state);
    case 'scores':
      return scores(op, core, of, state);
    case 'mix':
      return mix(op, core, of, state);
    case 'softmax_finish':
      return softmaxFinish(of(op.o), of(op.stats), of(op.out), op.heads, core);
    case 'shard':
      return copyFeatures(of(op.x), of(op.out), core, (f) => f);
    case 'slice':
      return copyFeatures(of(op.x), of(op.out), core, (f) => f + op.start);
    case 'select':
      return copyFeatures(of(op.x), of(op.out), core, (f) => op.indices[f]);
    case 'concat':
      return concat(op.parts.map(of), of(op.out), core);
    case 'token':
      return token(of(op.x), of(op.out), op.index, core);
  }
}

function embed(table: Spread, index: Spread, out: Spread, core: number): void {
  const n = width(out, core);
  const first = table.ranges[0].start[core];
  for (let t = 0; t < rows(out, core); t++) {
    const row = index.data[base(index, core) + t] - first;
    const to = base(out, core) + t * n;
    const owned = row >= 0 && row < rows(table, core);
    if (owned) out.data.set(table.data.subarray(base(table, core) + row * n, base(table, core) + (row + 1) * n), to);
    else out.data.fill(0, to, to + n);
  }
}

function gemv(x: Spread, weight: Spread, out: Spread, core: number): void {
  const k = rows(weight, core);
  const n = width(weight, core);
  const sums = new Float64Array(n);
  for (let t = 0; t < rows(x, core); t++) {
    sums.fill(0);
    for (let i = 0; i < k; i++) {
      const xi = x.data[base(x, core) + t * k + i];
      const w = base(weight, core) + i * n;
      for (let j = 0; j < n; j++) sums[j] += xi * weight.data[w + j];
    }
    out.data.set(sums, base(out, core) + t * n);
  }
}

function each(x: Spread, out: Spread, core: number, f: (x: number) => number): void {
  const n = rows(x, core) * width(x, core);
  for (let i = 0; i < n; i++) out.data[base(out, core) + i] = f(x.data[base(x, core) + i]);
}

/** Operands of one row serve every token, operands of one feature every feature. */
function binary(f: (a: number, b: number) => number, a: Spread, b: Spread, out: Spread, core: number): void {
  const n = width(out, core);
  const at = (s: Spread, t: number, i: number): number => {
    const w = width(s, core);
    return s.data[base(s, core) + (rows(s, core) === 1 ? 0 : t) * w + (s.tensor.shape[1] === 1 ? 0 : i)];
  };
  for (let t = 0; t < rows(out, core); t++) {
    for (let i = 0; i < n; i++) out.data[base(out, core) + t * n + i] = f(at(a, t, i), at(b, t, i));
  }
}

function rope(
  x: Spread,
  cos: Spread,
  sin: Spread,
  out: Spread,
  heads: number,
  interleaved: boolean,
  core: number,
): void {
  const n = width(x, core);
  const headSize = x.tensor.shape[1] / heads;
  const half = cos.tensor.shape[1];
  for (let t = 0; t < rows(x, core); t++) {
    const row = (rows(cos, core) === 1 ? 0 : t) * half;
    for (let i = 0; i < n; i++) {
      const feature = featureAt(x, x.ranges[1].start[core] + i);
      const d = feature % headSize;
      const at = base(x, core) + t * n + i;
      const to = base(out, core) + t * n + i;
      if (d >= 2 * half) {
        out.data[to] = x.data[at];
        continue;
      }
      const second = interleaved ? d % 2 === 1 : d >= half;
      const pair = interleaved ? d >> 1 : d % half;
      const other = feature + (interleaved ? 1 : half) * (second ? -1 : 1);
      const partner = base(x, core) + t * n + localFeature(x, core, other);
      const c = cos.data[base(cos, core) + row + pair];
      const s = sin.data[base(sin, core) + row + pair];
      out.data[to] = x.data[at] * c + (second ? s : -s) * x.data[partner];
    }
  }
}

function append(x: Spread, state: Spread, scales: Spread | null, core: number, past: number): void {
  const dealt = state.dealt;
  if (dealt === null) throw new Error(`state ${state.tensor.name} is not dealt over cores`);
  const n = state.ranges.length === 1 ? 1 : width(state, core);
  for (let t = 0; t < rows(x, core); t++) {
    const position = past + t;
    if (position % dealt.owners !== dealt.owner[core]) continue;
    const from = base(x, core) + t * n;
    const to = base(state, core) + Math.floor(position / dealt.owners) * n;
    if (scales === null) state.data.set(x.data.subarray(from, from + n), to);
    else for (let i = 0; i < n; i++) state.data[to + i] = codeOf(x.data[from + i], scales.data[base(scales, core) + i]);
  }
}

function softmaxFinish(o: Spread, stats: Spread, out: Spread, heads: number, core: number): void {
  const n = width(o, core);
  const own = width(stats, core);
  const headSize = o.tensor.shape[1] / heads;
  for (let t = 0; t < rows(o, core); t++) {
    for (let i = 0; i < n; i++) {
      const head = Math.floor(featureAt(o, o.ranges[1].start[core] + i) / headSize) - stats.ranges[1].start[core];
      const l = stats.data[base(stats, core) + 2 * (t * own + head) + 1];
      out.data[base(out, core) + t * n + i] = l === 0 ? 0 : o.data[base(o, core) + t * n + i] / l;
    }
  }
}

/** out[f] = x[from(f)] for the global features f that the core keeps. */
function copyFeatures(x: Spread, out: Spread, core: number, from: (f: number) => number): void {
  const n = width(out, core);
  const wide = width(x, core);
  for (let t = 0; t < rows(out, core); t++) {
    for (let i = 0; i < n; i++) {
      const f = from(out.ranges[1].start[core] + i) - x.ranges[1].start[core];
      out.data[base(out, core) + t * n + i] = x.data[base(x, core) + t * wide + f];
    }
  }
}

function concat(parts: readonly Spread[], out: Spread, core: number): void {
  const n = width(out, core);
  for (let t = 0; t < rows(out, core); t++) {
    let at = base(out, core) + t * n;
    for (const part of parts) {
      const w = width(part, core);
      out.data.set(part.data.subarray(base(part, core) + t * w, base(part, core) + (t + 1) * w), at);
      at += w;
    }
  }
}

function token(x: Spread, out: Spread, index: number, core: number): void {
  const n = width(x, core);
  const t = index < 0 ? rows(x, core) + index : index;
  out.data.set(x.data.subarray(base(x, core) + t * n, base(x, core) + (t + 1) * n), base(out, core));
}
