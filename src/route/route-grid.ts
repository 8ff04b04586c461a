/** One flow on the fabric while it is drawn: routes by cell, then as runs. */
import type { Span } from '../ir/routing.ts';
import type { Cell, Fabric } from './fabric.ts';
import { spansOf } from './spans.ts';

/** Cells of equal routes. */
export interface DrawnRun {
  readonly columns: Span;
  readonly rows: Span;
  readonly routes: readonly string[];
}

export class RouteGrid {
  private readonly fabric: Fabric;
  /** Number of the routes at a cell, 0 = none, by row * width + column. */
  private readonly codes: Uint16Array;
  private readonly names: string[] = [''];
  private readonly numbers = new Map<string, number>();
  private box = { left: Number.POSITIVE_INFINITY, right: -1, top: Number.POSITIVE_INFINITY, bottom: -1 };

  constructor(fabric: Fabric) {
    this.fabric = fabric;
    this.codes = new Uint16Array(fabric.width * fabric.height);
  }

  /** Routes (positions joined by `|`) of a cell that has none yet. */
  set({ x, y }: Cell, routes: string): void {
    const at = y * this.fabric.width + x;
    let code = this.numbers.get(routes);
    if (code === undefined) {
      code = this.names.push(routes) - 1;
      this.numbers.set(routes, code);
    }
    if (this.codes[at] !== 0 && this.codes[at] !== code)
      throw new Error(`two routes of one flow at (${x},${y}): ${this.names[this.codes[at]]} and ${routes}`);
    this.codes[at] = code;
    const { box } = this;
    if (x < box.left) box.left = x;
    if (x > box.right) box.right = x;
    if (y < box.top) box.top = y;
    if (y > box.bottom) box.bottom = y;
  }

  has({ x, y }: Cell): boolean {
    return this.codes[y * this.fabric.width + x] !== 0;
  }

  /** What was drawn, as runs; the grid is empty again. Rows that are alike are found first, then columns within them. */
  take(): DrawnRun[] {
    const { left, right, top, bottom } = this.box;
    const alike: { readonly first: Uint16Array; readonly rows: number[] }[] = [];
    const byHash = new Map<number, number[]>();
    for (let y = top; y <= bottom; y++) {
      const row = this.codes.subarray(y * this.fabric.width + left, y * this.fabric.width + right + 1);
      let hash = 0;
      for (const code of row) hash = (Math.imul(hash, 31) + code) | 0;
      const known = byHash.get(hash) ?? [];
      const same = known.find((k) => alike[k].first.every((code, i) => code === row[i]));
      if (same !== undefined) alike[same].rows.push(y);
      else byHash.set(hash, [...known, alike.push({ first: row.slice(), rows: [y] }) - 1]);
    }
    const runs = alike.flatMap(({ first, rows }) => {
      const columns = new Map<number, number[]>();
      for (const [i, code] of first.entries())
        if (code !== 0) {
          const list = columns.get(code);
          if (list === undefined) columns.set(code, [left + i]);
          else list.push(left + i);
        }
      return [...columns].flatMap(([code, list]) =>
        spansOf(list).flatMap((span) =>
          spansOf(rows).map((rowSpan) => ({ columns: span, rows: rowSpan, routes: this.names[code].split('|') })),
        ),
      );
    });
    for (let y = top; y <= bottom; y++)
      this.codes.fill(0, y * this.fabric.width + left, y * this.fabric.width + right + 1);
    this.box = { left: Number.POSITIVE_INFINITY, right: -1, top: Number.POSITIVE_INFINITY, bottom: -1 };
    return runs;
  }
}
