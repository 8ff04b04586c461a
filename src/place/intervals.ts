/** Offsets for buffers that live for a time: first fit, largest first and in other orders (as TVM's and TFLite's arena planners do). */

export interface Interval {
  readonly bytes: number;
  /** First and last position, both included. */
  readonly live: readonly [number, number];
}

/** Orders of placing: none is best for all; the tightest result is taken, the first among equals. */
const ORDERS: readonly ((a: Interval, b: Interval) => number)[] = [
  (a, b) => b.bytes - a.bytes,
  (a, b) => lengthOf(b) - lengthOf(a) || b.bytes - a.bytes,
  (a, b) => b.bytes * lengthOf(b) - a.bytes * lengthOf(a),
];

const lengthOf = ({ live }: Interval): number => live[1] - live[0] + 1;

/** An offset for each of `items`, multiples of `align`, such that no two that live at the same time overlap. */
export function assignOffsets(items: readonly Interval[], align: number): number[] {
  const top = (offsets: readonly number[]): number => offsets.reduce((n, at, i) => Math.max(n, at + items[i].bytes), 0);
  const found = ORDERS.map((order) =>
    firstFit(
      items,
      [...items.keys()].sort((a, b) => order(items[a], items[b]) || items[a].live[0] - items[b].live[0] || a - b),
      align,
    ),
  );
  return found.reduce((best, next) => (top(next) < top(best) ? next : best));
}

/** Each item in turn at the lowest offset that is free for as long as it lives. */
function firstFit(items: readonly Interval[], order: readonly number[], align: number): number[] {
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
