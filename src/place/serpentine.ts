/**
 * Serpentine placement: regions in order on shelves, the first left to right, the next right to left, so that
 * consecutive regions touch. A shelf is as high as its tallest region.
 */
import type { Target } from '../ir/target.ts';

export interface Size {
  readonly width: number;
  readonly height: number;
}
export interface Rect extends Size {
  readonly x: number;
  readonly y: number;
}
export interface Placed {
  readonly rects: readonly Rect[];
  /** Share of the cores between the first shelf's top and the last one's bottom that no region uses. */
  readonly waste: number;
}

const overlaps = (a: Rect, b: Rect): boolean =>
  a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;

/** Rectangles for `sizes` in order, clear of defects; undefined when the shelves run out of fabric. */
export function placeSerpentine(sizes: readonly Size[], target: Target): Placed | undefined {
  const rects: Rect[] = [];
  let shelfY = 0;
  let forward = true;
  let next = 0;
  while (next < sizes.length) {
    const shelf = fillShelf(sizes, next, shelfY, forward, target);
    if (shelf.length === 0) {
      // Nothing fits here, perhaps because of defects: try one row lower.
      shelfY += 1;
      if (shelfY >= target.height) return undefined;
      continue;
    }
    rects.push(...shelf);
    next += shelf.length;
    shelfY = Math.max(...shelf.map((r) => r.y + r.height));
    forward = !forward;
  }
  const used = sizes.reduce((n, { width, height }) => n + width * height, 0);
  return { rects, waste: shelfY === 0 ? 0 : 1 - used / (shelfY * target.width) };
}

/** As many regions as one shelf takes from `next` on. Regions stand on its top edge. */
function fillShelf(sizes: readonly Size[], next: number, y: number, forward: boolean, target: Target): Rect[] {
  const shelf: Rect[] = [];
  let edge = forward ? 0 : target.width;
  for (let i = next; i < sizes.length; i++) {
    const { width, height } = sizes[i];
    if (y + height > target.height) break;
    let rect: Rect | undefined = { x: forward ? edge : edge - width, y, width, height };
    // Step past each defect in the way.
    for (
      let hit = blocking(rect, target);
      hit !== undefined && rect !== undefined;
      hit = rect && blocking(rect, target)
    ) {
      const x: number = forward ? hit.x + hit.width : hit.x - width;
      rect = x < 0 || x + width > target.width ? undefined : { x, y, width, height };
      if (rect === undefined) break;
    }
    if (rect === undefined || rect.x < 0 || rect.x + width > target.width) break;
    shelf.push(rect);
    edge = forward ? rect.x + width : rect.x;
  }
  return shelf;
}

const blocking = (rect: Rect, target: Target): Rect | undefined => target.defects.find((d) => overlaps(rect, d));
