/** Copies of strided boxes between typed arrays: the inner loops under read.ts. */

export type Words = Uint8Array | Uint16Array | Uint32Array;

/** One axis of a box: extent, and strides in words of the two arrays. */
export interface Axis {
  readonly size: number;
  readonly from: number;
  readonly to: number;
}

/** Joins axes that are one run in both arrays, and drops those of extent 1. Axes go outermost first. */
export function coalesce(axes: readonly Axis[]): Axis[] {
  const out: Axis[] = [];
  for (const axis of axes) {
    const last = out.at(-1);
    if (axis.size === 1) continue;
    if (last !== undefined && last.from === axis.from * axis.size && last.to === axis.to * axis.size)
      out[out.length - 1] = { ...axis, size: last.size * axis.size };
    else out.push(axis);
  }
  return out;
}

/** Rows shorter than this are copied by a loop: a call of `set` costs as much. */
const SHORT_ROW = 24;
/**
 * Transposition goes through squares of this side: rows of matrices lie powers of two apart, and 32 such lines
 * would evict each other from the cache. The square's own rows are one word longer for the same reason.
 */
const SQUARE = 32;
const PITCH = SQUARE + 1;
const TILES = {
  one: new Uint8Array(SQUARE * PITCH),
  two: new Uint16Array(SQUARE * PITCH),
  four: new Uint32Array(SQUARE * PITCH),
};

/** `to[toAt + Σ i·axis.to] = from[fromAt + Σ i·axis.from]` over the box of `axes`. */
export function gather(from: Words, fromAt: number, to: Words, toAt: number, axes: readonly Axis[]): void {
  if (axes.length === 0) {
    to[toAt] = from[fromAt];
    return;
  }
  // The last two axes are done by a kernel, those before by recursion (at most the rank of a tensor deep).
  if (axes.length > 2) {
    const [{ size, from: stepFrom, to: stepTo }, ...rest] = axes;
    for (let i = 0; i < size; i++) gather(from, fromAt + i * stepFrom, to, toAt + i * stepTo, rest);
    return;
  }
  const inner = axes[axes.length - 1];
  const outer = axes.length === 2 ? axes[0] : { size: 1, from: 0, to: 0 };
  if (inner.from === 1 && inner.to === 1 && inner.size >= SHORT_ROW)
    for (let i = 0; i < outer.size; i++) {
      const start = fromAt + i * outer.from;
      to.set(from.subarray(start, start + inner.size), toAt + i * outer.to);
    }
  else if (Math.abs(outer.from) < Math.abs(inner.from) && inner.from !== 0)
    transpose(from, fromAt, to, toAt, outer, inner);
  else copyLoop(from, fromAt, to, toAt, outer, inner);
}

function copyLoop(from: Words, fromAt: number, to: Words, toAt: number, outer: Axis, inner: Axis): void {
  for (let i = 0; i < outer.size; i++) {
    let f = fromAt + i * outer.from;
    let t = toAt + i * outer.to;
    for (let j = 0; j < inner.size; j++, f += inner.from, t += inner.to) to[t] = from[f];
  }
}

function transpose(from: Words, fromAt: number, to: Words, toAt: number, outer: Axis, inner: Axis): void {
  const square = from instanceof Uint16Array ? TILES.two : from instanceof Uint32Array ? TILES.four : TILES.one;
  for (let i0 = 0; i0 < outer.size; i0 += SQUARE)
    for (let j0 = 0; j0 < inner.size; j0 += SQUARE) {
      const rows = Math.min(SQUARE, outer.size - i0);
      const columns = Math.min(SQUARE, inner.size - j0);
      const f = fromAt + i0 * outer.from + j0 * inner.from;
      for (let j = 0; j < columns; j++)
        for (let i = 0, at = f + j * inner.from; i < rows; i++, at += outer.from) square[i * PITCH + j] = from[at];
      const t = toAt + i0 * outer.to + j0 * inner.to;
      for (let i = 0; i < rows; i++)
        for (let j = 0, at = t + i * outer.to; j < columns; j++, at += inner.to) to[at] = square[i * PITCH + j];
    }
}
