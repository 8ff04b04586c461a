/** Normalisations on one core's tiles: statistics of its own features, and scaling by those of all cores. */
import type { Spread } from './geometry.ts';
import { base, rows, width } from './tile.ts';

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

/** Largest size of the core's own features, by token. */
export function absMax(x: Spread, out: Spread, core: number): void {
  const n = width(x, core);
  for (let t = 0; t < rows(x, core); t++) {
    let most = 0;
    for (let i = 0; i < n; i++) most = Math.max(most, Math.abs(x.data[base(x, core) + t * n + i]));
    out.data[base(out, core) + t] = most;
  }
}

export function sumSquares(x: Spread, out: Spread, groups: number, core: number): void {
  const own = width(out, core);
  const sums = new Float64Array(rows(x, core) * own);
  eachFeature(x, groups, out, core, (t, _, at, g) => {
    sums[t * own + g] += x.data[at] * x.data[at];
  });
  out.data.set(sums, base(out, core));
}

export function moments(x: Spread, out: Spread, groups: number, core: number): void {
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

export function rmsApply(
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

export function rmsScale(x: Spread, sums: Spread, out: Spread, features: number, epsilon: number, core: number): void {
  const n = width(x, core);
  for (let t = 0; t < rows(x, core); t++) {
    const inverse = 1 / Math.sqrt(sums.data[base(sums, core) + t] / features + epsilon);
    for (let i = 0; i < n; i++) out.data[base(out, core) + t * n + i] = x.data[base(x, core) + t * n + i] * inverse;
  }
}

export function layerApply(
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
