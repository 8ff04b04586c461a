/** Sets of columns or rows as nested strides; the format of {@link Span} is described in ARCHITECTURE.md, "Routing". */
import type { Span } from '../ir/routing.ts';

/** Count and period, four times: lines in segments in groups need three. */
const MOST_PAIRS = 8;

interface Part {
  readonly start: number;
  /** Count and period, innermost first. */
  readonly pairs: readonly number[];
}

/** Numbers from the first to the last of a part, both included. */
const extentOf = ({ pairs }: Part): number => {
  let extent = 1;
  for (let i = 0; i < pairs.length; i += 2) extent += (pairs[i] - 1) * pairs[i + 1];
  return extent;
};

/** The fewest spans a greedy grouping finds for `numbers` (ascending, distinct): blocks, blocks that repeat, and again. */
export function spansOf(numbers: readonly number[]): Span[] {
  let parts: Part[] = numbers.map((start) => ({ start, pairs: [] }));
  for (let before = -1; before !== parts.length; ) {
    before = parts.length;
    parts = grouped(parts);
  }
  return parts.map(({ start, pairs }) => [start, ...pairs]);
}

/** Neighbours of one shape at one distance become one part. */
function grouped(parts: readonly Part[]): Part[] {
  const out: Part[] = [];
  for (let i = 0; i < parts.length; ) {
    const shape = parts[i].pairs.join();
    const period = (parts[i + 1]?.start ?? 0) - parts[i].start;
    let end = i + 1;
    while (
      end < parts.length &&
      parts[end].pairs.join() === shape &&
      parts[end].start - parts[end - 1].start === period
    )
      end++;
    const fits = end - i > 1 && period >= extentOf(parts[i]) && parts[i].pairs.length < MOST_PAIRS;
    out.push(fits ? { start: parts[i].start, pairs: [...parts[i].pairs, end - i, period] } : parts[i]);
    i = fits ? end : i + 1;
  }
  return out;
}

/** Whether `n` is in the span. */
export function spanHas(span: Span, n: number): boolean {
  let left = n - span[0];
  if (left < 0) return false;
  for (let i = span.length - 2; i > 0; i -= 2)
    left -= Math.min(span[i] - 1, Math.floor(left / span[i + 1])) * span[i + 1];
  return left === 0;
}

/** The numbers of a span, ascending. */
export function numbersOf(span: Span): number[] {
  let numbers = [span[0]];
  for (let i = 1; i < span.length; i += 2) {
    const inner = numbers;
    numbers = [];
    for (let k = 0; k < span[i]; k++) for (const n of inner) numbers.push(n + k * span[i + 1]);
  }
  return numbers;
}

/** How many numbers a span has. */
export function sizeOf(span: Span): number {
  let size = 1;
  for (let i = 1; i < span.length; i += 2) size *= span[i];
  return size;
}

/** The largest number of a span. */
export function lastOf(span: Span): number {
  let last = span[0];
  for (let i = 1; i < span.length; i += 2) last += (span[i] - 1) * span[i + 1];
  return last;
}

/** Whether two spans share a number. */
export function spansMeet(a: Span, b: Span): boolean {
  if (a[0] > lastOf(b) || b[0] > lastOf(a)) return false;
  const [few, many] = sizeOf(a) <= sizeOf(b) ? [a, b] : [b, a];
  return numbersOf(few).some((n) => spanHas(many, n));
}
