/** Bytes of sparse tiles (compression.md section 4.1), by the definition in ARCHITECTURE.md ("weights.bin"). */
import type { Density, Run, SparseKind } from '../ir/sparsity.ts';

/** A tile of `rows` inputs and `columns` outputs that stores `values` of its elements. */
export interface SparseTile {
  readonly rows: number;
  readonly columns: number;
  readonly values: number;
}

/** A gap of four bits skips at most 15 elements; a zero is stored behind it where 16 are left out. */
export const LONGEST_GAP = 15;
/** An output index is a byte, a start 16 bits. */
const CSC_OUTPUTS = 256;
const CSC_VALUES = 65_535;

export const even = (bytes: number): number => 2 * Math.ceil(bytes / 2);

/** Bytes of the index; Infinity where the kind cannot hold the tile. */
export function indexBytes(kind: SparseKind, { rows, columns, values }: SparseTile, run: Run | null): number {
  switch (kind) {
    case 'bitmap':
      return even(Math.ceil((rows * columns) / 8));
    case 'gap4':
      return 4 + even(Math.ceil(values / 2));
    case 'csc8':
      return columns > CSC_OUTPUTS || values > CSC_VALUES ? Number.POSITIVE_INFINITY : 2 * (rows + 1) + even(values);
    case 'n:m':
      return run === null ? Number.POSITIVE_INFINITY : even(Math.ceil((values * Math.log2(run.of)) / 8));
  }
}

/** Values of an n:m tile of rows [start, start + rows): of each run that it has a part of, `keep` a column, or all of a shorter part. */
export function runValues(start: number, rows: number, columns: number, { keep, of }: Run): number {
  let values = 0;
  for (let at = start; at < start + rows; ) {
    const end = Math.min(start + rows, (Math.floor(at / of) + 1) * of);
    values += Math.min(keep, end - at);
    at = end;
  }
  return values * columns;
}

export interface Estimate {
  readonly kind: SparseKind;
  /** Values stored. */
  readonly values: number;
  /** Of index and values. */
  readonly bytes: number;
}

/** The kind of fewest bytes for a tile that is not counted yet, of values of `bits`. */
export function estimateTile(rows: number, columns: number, bits: number, { share, spread, run }: Density): Estimate {
  const elements = rows * columns;
  const chance = spread * Math.sqrt(elements * share * (1 - share));
  const nonZeros = Math.min(elements, Math.ceil(elements * share + chance));
  // Gaps that overflow: the sum over k of (1 - d)^(16 k).
  const overflow = (1 - nonZeros / Math.max(1, elements)) ** (LONGEST_GAP + 1);
  const filled = overflow < 1 ? Math.min(elements, Math.ceil(nonZeros / (1 - overflow))) : nonZeros;
  let best: Estimate | undefined;
  for (const kind of KINDS) {
    const values =
      kind === 'gap4' ? filled : kind === 'n:m' && run !== null ? runValues(0, rows, columns, run) : nonZeros;
    const bytes = indexBytes(kind, { rows, columns, values }, run) + even((values * bits) / 8);
    if (best === undefined || bytes < best.bytes) best = { kind, values, bytes };
  }
  if (best === undefined) throw new Error('there are no kinds');
  return best;
}

/** In the order in which ties are decided: what a core unpacks with least work first. */
export const KINDS: readonly SparseKind[] = ['n:m', 'bitmap', 'csc8', 'gap4'];
