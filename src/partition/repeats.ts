/** Finds repeated runs in a sequence of signatures: N x layer, wherever the layers start and however many segments one has. */

export interface Run {
  readonly start: number;
  /** Items of one repetition. */
  readonly period: number;
  /** Repetitions, at least 2; 1 marks a stretch that repeats nothing. */
  readonly count: number;
}

/**
 * Cuts `keys` into runs. The run that covers most items is taken first (the shorter period, then the earlier start,
 * on a tie), then what is left on both sides is cut the same way.
 */
export function findRuns(keys: readonly string[], from = 0, to = keys.length): Run[] {
  if (from >= to) return [];
  let best: Run = { start: from, period: to - from, count: 1 };
  let covered = 0;
  for (let period = 1; period <= (to - from) >> 1; period++) {
    for (let start = from; start + 2 * period <= to; start++) {
      let end = start + period;
      while (end < to && keys[end] === keys[end - period]) end++;
      const count = Math.floor((end - start) / period);
      if (count >= 2 && count * period > covered) {
        covered = count * period;
        best = { start, period, count };
      }
    }
  }
  if (best.count === 1) return [best];
  const end = best.start + best.period * best.count;
  return [...findRuns(keys, from, best.start), best, ...findRuns(keys, end, to)];
}
