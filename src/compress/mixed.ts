/**
 * Mixed precision by a greedy knapsack (compression.md section 1.12): from the smallest formats everywhere, the unit whose next wider format takes
 * most harm away for its bytes is widened, as long as everything still fits.
 */

/** What is given one format: a layer, or layers of one role. */
export interface Unit {
  /** By rung, from the smallest format on. */
  readonly costs: readonly Cost[];
}
export interface Cost {
  readonly bytes: number;
  /** What the format costs in quality: divergence, or noise. Less is better. */
  readonly harm: number;
}

export interface Assignment {
  /** Rung of every unit. */
  readonly rungs: readonly number[];
  /** Widenings that were tried, and units that did not fit one wider. */
  readonly tried: number;
  readonly blocked: number;
}

/** Widens units one rung at a time. `fits` is asked for each; the smallest rungs are taken to fit. */
export function widen(units: readonly Unit[], fits: (rungs: readonly number[]) => boolean): Assignment {
  const rungs = units.map(() => 0);
  const blocked = new Set<number>();
  let tried = 0;
  for (;;) {
    const next = best(units, rungs, blocked);
    if (next === undefined) return { rungs, tried, blocked: blocked.size };
    tried++;
    if (fits(rungs.with(next, rungs[next] + 1))) rungs[next]++;
    else blocked.add(next);
  }
}

/** The unit whose next rung takes most harm away for its bytes; the smaller index on a tie. */
function best(units: readonly Unit[], rungs: readonly number[], blocked: ReadonlySet<number>): number | undefined {
  let [found, most]: [number | undefined, number] = [undefined, Number.NEGATIVE_INFINITY];
  for (const [u, { costs }] of units.entries()) {
    const [now, next] = [costs[rungs[u]], costs[rungs[u] + 1]];
    if (blocked.has(u) || next === undefined) continue;
    const gain = (now.harm - next.harm) / Math.max(1, next.bytes - now.bytes);
    if (gain > most) [found, most] = [u, gain];
  }
  return found;
}
