/**
 * Spans and runs of routing (ARCHITECTURE.md, "Routing"), read by the definition there. Columns that no span tells
 * apart are one class, rows likewise: a region of any size becomes a small table of cells, and nothing is left out.
 */
import type { Flow, RouteRun, Span } from '../ir/routing.ts';

/** Whether `n` is in the span; a span that is none (pairs missing, counts below 1) holds nothing. */
export function spanHas(span: Span, n: number): boolean {
  let rest = n - span[0];
  for (let i = span.length - 2; i >= 1; i -= 2) {
    const [count, period] = [span[i], span[i + 1]];
    if (rest < 0) return false;
    rest -= Math.min(count - 1, Math.floor(rest / period)) * period;
  }
  return rest === 0;
}

/** Largest number of a span. */
export function spanEnd(span: Span): number {
  let end = span[0];
  for (let i = 1; i < span.length; i += 2) end += (span[i] - 1) * span[i + 1];
  return end;
}

/** What is wrong with a span that should lie in 0 .. size - 1; undefined when nothing is. */
export function spanFault(span: Span, size: number): string | undefined {
  if (span.length % 2 === 0 || !span.every((n) => Number.isSafeInteger(n) && n >= 0))
    return `[${span}] is no start with pairs of count and period`;
  let extent = 0;
  for (let i = 1; i < span.length; i += 2) {
    if (span[i] < 1) return `[${span}] repeats ${span[i]} times`;
    if (span[i + 1] <= extent) return `[${span}] repeats with period ${span[i + 1]} what is ${extent + 1} long`;
    extent += (span[i] - 1) * span[i + 1];
  }
  return spanEnd(span) < size ? undefined : `[${span}] reaches ${spanEnd(span)} of 0 .. ${size - 1}`;
}

/** Positions 0 .. size - 1 by class: two of one class are in the same spans. */
export interface Classes {
  readonly of: Int32Array;
  /** One position of each class, the first. */
  readonly first: readonly number[];
}

export function classesOf(spans: readonly Span[], size: number): Classes {
  const distinct = new Map(spans.map((span) => [span.join(), span]));
  const of = new Int32Array(size);
  let count = 1;
  for (const span of distinct.values()) {
    // Of each class, what is inside the span becomes a class of its own.
    const split = new Map<number, number>();
    for (const n of numbersOf(span)) {
      let id = split.get(of[n]);
      if (id === undefined) {
        id = count++;
        split.set(of[n], id);
      }
      of[n] = id;
    }
  }
  const ids = new Map<number, number>();
  const first: number[] = [];
  for (let n = 0; n < size; n++) {
    let id = ids.get(of[n]);
    if (id === undefined) {
      id = first.push(n) - 1;
      ids.set(of[n], id);
    }
    of[n] = id;
  }
  return { of, first };
}

/** The numbers of a span that is one, ascending. */
function* numbersOf(span: Span, pairs = span.length - 1): Generator<number> {
  if (pairs === 0) {
    yield span[0];
    return;
  }
  const [count, period] = [span[pairs - 1], span[pairs]];
  for (let k = 0; k < count; k++) for (const n of numbersOf(span, pairs - 2)) yield n + k * period;
}

/** How many numbers a span has. */
export function spanSize(span: Span): number {
  let size = 1;
  for (let i = 1; i < span.length; i += 2) size *= span[i];
  return size;
}

/** Which run of each flow a core is in, over a rectangle. */
export class FlowGrid {
  readonly flows: readonly Flow[];
  readonly columns: Classes;
  readonly rows: Classes;
  /** By flow, then row class x column class: position among the flow's runs, -1 = none, -2 = several (a fault). */
  private readonly cells: readonly Int32Array[];

  constructor(flows: readonly Flow[], width: number, height: number) {
    this.flows = flows;
    const runs = flows.flatMap((flow) => flow.runs);
    this.columns = classesOf(
      runs.map((run) => run.columns),
      width,
    );
    this.rows = classesOf(
      runs.map((run) => run.rows),
      height,
    );
    const across = this.columns.first.length;
    this.cells = flows.map((flow) => {
      const cells = new Int32Array(across * this.rows.first.length).fill(-1);
      for (const [i, run] of flow.runs.entries()) {
        const own = new Set<number>();
        for (const c of numbersOf(run.columns)) own.add(this.columns.of[c]);
        const down = new Set<number>();
        for (const r of numbersOf(run.rows)) down.add(this.rows.of[r]);
        for (const r of down) for (const c of own) cells[r * across + c] = cells[r * across + c] === -1 ? i : -2;
      }
      return cells;
    });
  }

  /** Run of flow `f` at a column class and a row class; undefined where the flow has no route. */
  atClass(f: number, columnClass: number, rowClass: number): RouteRun | undefined {
    return this.flows[f].runs[this.cells[f][rowClass * this.columns.first.length + columnClass]];
  }

  /** Position of that run among the flow's; -1 = none. */
  indexAt(f: number, columnClass: number, rowClass: number): number {
    return this.cells[f][rowClass * this.columns.first.length + columnClass];
  }

  at(f: number, column: number, row: number): RouteRun | undefined {
    return this.atClass(f, this.columns.of[column], this.rows.of[row]);
  }

  /** First core that is in several runs of flow `f`. */
  overlap(f: number): { readonly column: number; readonly row: number } | undefined {
    const at = this.cells[f].indexOf(-2);
    if (at < 0) return undefined;
    const width = this.columns.first.length;
    return { column: this.columns.first[at % width], row: this.rows.first[Math.floor(at / width)] };
  }
}
