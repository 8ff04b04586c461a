/** Offsets for buffers that live for a time: first fit, largest first (as TVM's and TFLite's arena planners do). */

export interface Interval {
  readonly bytes: number;
  /** First and last position, both included. */
  readonly live: readonly [number, number];
}

/** An offset for each of `items`, multiples of `align`, such that no two that live at the same time overlap. */
export function assignOffsets(items: readonly Interval[], align: number): number[] {
  const order = [...items.keys()].sort(
    (a, b) => items[b].bytes - items[a].bytes || items[a].live[0] - items[b].live[0] || a - b,
  );
  const offsets = items.map(() => 0);
  /** Placed so far, by offset. */
  const placed: number[] = [];
  for (const i of order) {
    let at = 0;
    for (const j of placed) {
      if (items[j].live[1] < items[i].live[0] || items[i].live[1] < items[j].live[0]) continue;
      if (at + items[i].bytes <= offsets[j]) break;
      at = Math.max(at, alignUp(offsets[j] + items[j].bytes, align));
    }
    offsets[i] = at;
    let where = placed.length;
    while (where > 0 && offsets[placed[where - 1]] > at) where--;
    placed.splice(where, 0, i);
  }
  return offsets;
}

export const alignUp = (bytes: number, align: number): number => Math.ceil(bytes / align) * align;
