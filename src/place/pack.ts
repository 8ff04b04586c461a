/**
 * Regions on the fabric where shelves are too wasteful: maximal rectangles (Jylanki, "A thousand ways to pack the bin",
 * 2010), largest region first, each in the free rectangle that leaves the least on one side. Free rectangles start as
 * what the defects leave, so these need no case of their own.
 */
import type { Target } from '../ir/target.ts';
import { overlaps, type Rect } from '../target/cores.ts';
import type { Size } from './serpentine.ts';

/** A place for every size, in their order; undefined when one finds none. */
export function packRectangles(
  sizes: readonly Size[],
  { width, height, defects }: Pick<Target, 'width' | 'height' | 'defects'>,
): Rect[] | undefined {
  let free: Rect[] = [{ x: 0, y: 0, width, height }];
  for (const defect of defects) free = without(free, defect);
  const longest = ({ width: w, height: h }: Size): number => Math.max(w, h);
  const order = [...sizes.keys()].sort((a, b) => longest(sizes[b]) - longest(sizes[a]) || a - b);
  const places: Rect[] = [];
  for (const i of order) {
    const place = bestPlace(sizes[i], free);
    if (place === undefined) return undefined;
    places[i] = place;
    free = without(free, place);
  }
  return places;
}

/** The corner of the free rectangle whose shorter leftover is least; topmost, then leftmost among equals. */
function bestPlace({ width, height }: Size, free: readonly Rect[]): Rect | undefined {
  let best: { readonly rect: Rect; readonly short: number; readonly long: number } | undefined;
  for (const rect of free) {
    const [across, down] = [rect.width - width, rect.height - height];
    if (across < 0 || down < 0) continue;
    const [short, long] = [Math.min(across, down), Math.max(across, down)];
    const order =
      best === undefined ? -1 : short - best.short || long - best.long || rect.y - best.rect.y || rect.x - best.rect.x;
    if (order < 0) best = { rect, short, long };
  }
  return best && { x: best.rect.x, y: best.rect.y, width, height };
}

/** The free rectangles with `taken` cut out: up to four around it each, those inside others left out. */
function without(free: readonly Rect[], taken: Rect): Rect[] {
  const parts: Rect[] = [];
  for (const rect of free) {
    if (!overlaps(rect, taken)) {
      parts.push(rect);
      continue;
    }
    const [right, bottom] = [rect.x + rect.width, rect.y + rect.height];
    const [takenRight, takenBottom] = [taken.x + taken.width, taken.y + taken.height];
    if (taken.x > rect.x) parts.push({ ...rect, width: taken.x - rect.x });
    if (takenRight < right) parts.push({ ...rect, x: takenRight, width: right - takenRight });
    if (taken.y > rect.y) parts.push({ ...rect, height: taken.y - rect.y });
    if (takenBottom < bottom) parts.push({ ...rect, y: takenBottom, height: bottom - takenBottom });
  }
  return parts.filter((a, i) => !parts.some((b, j) => i !== j && inside(a, b) && (j < i || !inside(b, a))));
}

const inside = (a: Rect, b: Rect): boolean =>
  a.x >= b.x && a.y >= b.y && a.x + a.width <= b.x + b.width && a.y + a.height <= b.y + b.height;
