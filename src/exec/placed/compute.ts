/** Compute ops on one core's tiles. Sums inside a tile run in doubles and are stored as f32. */
import type { BinaryFn, ComputeOp, UnaryFn } from '../../ir/program.ts';
import type { Spread } from './geometry.ts';
import { attend } from './attend.ts';

/** What an op sees beside tiles: where in the sequence the step stands. */
export interface StepState {
  /** Positions before this step. */
  readonly past: number;
  /** Tokens of this step. */
  readonly tokens: number;
}

export const UNARY: Readonly<Record<UnaryFn, (x: number, value: number) => number>> = {
  relu: (x) => Math.max(x, 0),
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  silu: (x) => x / (1 + Math.exp(-x)),
  tanh: (x) => Math.tanh(x),
  gelu: (x) => 0.5 * x * (1 + erf(x * Math.SQRT1_2)),
  gelu_tanh: (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x))),
  gelu_quick: (x) => x / (1 + Math.exp(-1.702 * x)),
  neg: (x) => -x,
  exp: (x) => Math.exp(x),
  sqrt: (x) => Math.sqrt(x),
  reciprocal: (x) => 1 / x,
  erf,
  softplus: (x) => (x > 20 ? x : Math.log1p(Math.exp(x))),
  abs: (x) => Math.abs(x),
  leaky_relu: (x, slope) => (x < 0 ? slope * x : x),
  scale: (x, factor) => x * factor,
  shift: (x, by) => x + by,
  pow: (x, exponent) => x ** exponent,
};

const BINARY: Readonly<Record<BinaryFn, (a: number, b: number) => number>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  max: (a, b) => Math.max(a, b),
  min: (a, b) => Math.min(a, b),
};

/** erf by its Maclaurin series below 3 and the continued fraction of erfc above: 1e-15 relative. */
function erf(x: number): number {
  const a = Math.abs(x);
  if (a < 3) {
    let term = a;
    let sum = a;
    for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
      term *= (-a * a) / n;
      sum += term / (2 * n + 1);
    }
    return Math.sign(x) * sum * (2 / Math.sqrt(Math.PI));
  }
  let fraction = 0;
  for (let k = 60; k >= 1; k--) fraction = k / 2 / (a + fraction);
  return Math.sign(x) * (1 - Math.exp(-a * a) / Math.sqrt(Math.PI) / (a + fraction));
}

/** Runs `op` on core `core`. */
export function runCompute(op: ComputeOp, core: number, of: (t: number) => Spread, state: StepState): void {
  switch (op.op) {
    case 'embed':
      return embed(of(op.table), of(op.index), of(op.out), core);
    case 'gemv':
      return gemv(of(op.x), of(op.weight), of(op.out), core);
    case 'unary': {
      const f = UNARY[op.fn];
      return each(of(op.x), of(op.out), core, (x) => f(x, op.value));
    }
    case 'binary':
      return binary(BINARY[op.fn], of(op.a), of(op.b), of(op.out), core);
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
      return append(of(op.x), of(op.state), core, state.past);
    case 'attend':
      return attend(op, core, of, state);
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

const rows = (s: Spread, core: number): number => s.ranges[0].size[core];
const width = (s: Spread, core: number): number => s.ranges[1].size[core];
const base = (s: Spread, core: number): number => core * s.stride;

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

/** Calls `visit` with (offset of x, local group) for the core's features of every token. */
function eachFeature(
  x: Spread,
  groups: number,
  stat: Spread,
  core: number,
  visit: (t: number, i: number, at: number, group: number) => void,
): void {
  const n = width(x, core);
  const groupSize = x.tensor.shape[1] / groups;
  for (let t = 0; t < rows(x, core); t++) {
    for (let i = 0; i < n; i++) {
      const group = Math.floor((x.ranges[1].start[core] + i) / groupSize) - stat.ranges[1].start[core];
      visit(t, i, base(x, core) + t * n + i, group);
    }
  }
}

function sumSquares(x: Spread, out: Spread, groups: number, core: number): void {
  const own = width(out, core);
  const sums = new Float64Array(rows(x, core) * own);
  eachFeature(x, groups, out, core, (t, _, at, g) => {
    sums[t * own + g] += x.data[at] * x.data[at];
  });
  out.data.set(sums, base(out, core));
}

function moments(x: Spread, out: Spread, groups: number, core: number): void {
  const own = width(out, core);
  const tokens = rows(x, core);
  const [count, sum, squares] = [0, 1, 2].map(() => new Float64Array(tokens * own));
  eachFeature(x, groups, out, core, (t, _, at, g) => {
    count[t * own + g]++;
    sum[t * own + g] += x.data[at];
  });
  eachFeature(x, groups, out, core, (t, _, at, g) => {
    const d = x.data[at] - sum[t * own + g] / count[t * own + g];
    squares[t * own + g] += d * d;
  });
  for (let i = 0; i < tokens * own; i++)
    out.data.set([count[i], count[i] === 0 ? 0 : sum[i] / count[i], squares[i]], base(out, core) + 3 * i);
}

/** The core's element of a gain: aligned with x, or whole and shared by all groups. */
const gainAt = (gain: Spread | null, x: Spread, groups: number, core: number, i: number): number => {
  if (gain === null) return 1;
  const local = groups === 1 ? i : (x.ranges[1].start[core] + i) % (x.tensor.shape[1] / groups);
  return gain.data[base(gain, core) + local];
};

function rmsApply(
  x: Spread,
  sums: Spread,
  gamma: Spread | null,
  out: Spread,
  groups: number,
  epsilon: number,
  core: number,
): void {
  const own = width(sums, core);
  const n = x.tensor.shape[1] / groups;
  eachFeature(x, groups, sums, core, (t, i, at, g) => {
    const mean = sums.data[base(sums, core) + t * own + g] / n;
    out.data[at - base(x, core) + base(out, core)] =
      (x.data[at] / Math.sqrt(mean + epsilon)) * gainAt(gamma, x, groups, core, i);
  });
}

function rmsScale(x: Spread, sums: Spread, out: Spread, features: number, epsilon: number, core: number): void {
  const n = width(x, core);
  for (let t = 0; t < rows(x, core); t++) {
    const inverse = 1 / Math.sqrt(sums.data[base(sums, core) + t] / features + epsilon);
    for (let i = 0; i < n; i++) out.data[base(out, core) + t * n + i] = x.data[base(x, core) + t * n + i] * inverse;
  }
}

function layerApply(
  x: Spread,
  stats: Spread,
  [gamma, beta]: readonly (Spread | null)[],
  out: Spread,
  { groups, epsilon }: { groups: number; epsilon: number },
  core: number,
): void {
  const own = width(stats, core);
  eachFeature(x, groups, stats, core, (t, i, at, g) => {
    const s = base(stats, core) + 3 * (t * own + g);
    const normal = (x.data[at] - stats.data[s + 1]) / Math.sqrt(stats.data[s + 2] / stats.data[s] + epsilon);
    out.data[at - base(x, core) + base(out, core)] =
      normal * gainAt(gamma, x, groups, core, i) + (beta === null ? 0 : gainAt(beta, x, groups, core, i));
  });
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
      const d = i % headSize;
      const at = base(x, core) + t * n + i;
      const to = base(out, core) + t * n + i;
      if (d >= 2 * half) {
        out.data[to] = x.data[at];
        continue;
      }
      const second = interleaved ? d % 2 === 1 : d >= half;
      const pair = interleaved ? d >> 1 : d % half;
      const partner = at + (interleaved ? 1 : half) * (second ? -1 : 1);
      const c = cos.data[base(cos, core) + row + pair];
      const s = sin.data[base(sin, core) + row + pair];
      out.data[to] = x.data[at] * c + (second ? s : -s) * x.data[partner];
    }
  }
}

function append(x: Spread, state: Spread, core: number, past: number): void {
  const dealt = state.dealt;
  if (dealt === null) throw new Error(`state ${state.tensor.name} is not dealt over cores`);
  const n = state.ranges.length === 1 ? 1 : width(state, core);
  for (let t = 0; t < rows(x, core); t++) {
    const position = past + t;
    if (position % dealt.owners !== dealt.owner[core]) continue;
    const from = base(x, core) + t * n;
    state.data.set(x.data.subarray(from, from + n), base(state, core) + Math.floor(position / dealt.owners) * n);
  }
}

function softmaxFinish(o: Spread, stats: Spread, out: Spread, heads: number, core: number): void {
  const n = width(o, core);
  const own = width(stats, core);
  const headSize = o.tensor.shape[1] / heads;
  for (let t = 0; t < rows(o, core); t++) {
    for (let i = 0; i < n; i++) {
      const head = Math.floor((o.ranges[1].start[core] + i) / headSize) - stats.ranges[1].start[core];
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
