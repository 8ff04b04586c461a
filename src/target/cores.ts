/** Which cores of a target may be used. Works on the defect rectangles; there is no table of cores. */
import type { Target } from '../ir/target.ts';

/** Columns x .. x+width-1 and rows y .. y+height-1, in program coordinates. */
export interface Rect {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export const overlaps = (a: Rect, b: Rect): boolean =>
  a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;

/** Whether (x, y) is inside the program rectangle and on no defect. */
export function isUsable({ width, height, defects }: Target, x: number, y: number): boolean {
  if (x < 0 || y < 0 || x >= width || y >= height) return false;
  return !defects.some((d) => x >= d.x && x < d.x + d.width && y >= d.y && y < d.y + d.height);
}

/** Cores of the program rectangle on no defect; overlapping defects count once. */
export function usableCores({ width, height, defects }: Target): number {
  return width * height - areaOf(defects);
}

/** Area of a union of rectangles: between two neighbouring row edges the covered columns do not change. */
function areaOf(rects: readonly Rect[]): number {
  const edges = [...new Set(rects.flatMap((r) => [r.y, r.y + r.height]))].sort((a, b) => a - b);
  const byColumn = [...rects].sort((a, b) => a.x - b.x);
  let area = 0;
  for (let i = 0; i + 1 < edges.length; i++) {
    let columns = 0;
    let end = 0;
    for (const r of byColumn) {
      if (r.y > edges[i] || r.y + r.height < edges[i + 1]) continue;
      columns += Math.max(0, r.x + r.width - Math.max(end, r.x));
      end = Math.max(end, r.x + r.width);
    }
    area += columns * (edges[i + 1] - edges[i]);
  }
  return area;
}
