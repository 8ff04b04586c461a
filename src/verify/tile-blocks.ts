/** A weight's tiles in blocks of some MB that lie together in weights.bin. For verifiers. */
import type { Cuts } from './tile-table.ts';

/** Bytes of a weight in memory at once, twice; a single tile may be larger. */
const BLOCK_BYTES = 16 * 2 ** 20;

/** Row parts [r0, r1) and column parts [c0, c1). */
export interface Block {
  readonly r0: number;
  readonly r1: number;
  readonly c0: number;
  readonly c1: number;
}

/**
 * Blocks of whole tiles of elements of `bits`: bands of the dim whose parts lie together in the file (rows, where `byRows`);
 * where one part is too large, pieces of it along the other dim.
 */
export function* blocksOf(rows: Cuts, cols: Cuts, byRows: boolean, bits: number): Generator<Block> {
  const [outer, inner] = byRows ? [rows, cols] : [cols, rows];
  const bands = groupParts(outer, (inner[inner.length - 1] * bits) / 8);
  for (const [o0, o1] of bands) {
    const pieces = o1 - o0 > 1 ? [[0, inner.length - 1]] : groupParts(inner, ((outer[o1] - outer[o0]) * bits) / 8);
    for (const [i0, i1] of pieces)
      yield byRows ? { r0: o0, r1: o1, c0: i0, c1: i1 } : { r0: i0, r1: i1, c0: o0, c1: o1 };
  }
}

/** Runs of parts that stay below BLOCK_BYTES together, `bytes` an element of the dim. */
function groupParts(starts: Cuts, bytes: number): [number, number][] {
  const groups: [number, number][] = [];
  const last = starts.length - 1;
  for (let from = 0; from < last; ) {
    let to = from + 1;
    while (to < last && (starts[to + 1] - starts[from]) * bytes <= BLOCK_BYTES) to++;
    groups.push([from, to]);
    from = to;
  }
  return groups;
}
