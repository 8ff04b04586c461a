/**
 * How a weight full of zeros lies on the cores: only what is not zero is stored, with an index that says where. Zero means the bits of +0, of
 * a coded weight the code of its zero point; so what is stored and what is not gives the same bytes back.
 */

/**
 * bitmap: a bit an element. gap4: four bits a value, the zeros before it. csc8: a byte a value, its output; a start an input. n:m: `keep`
 * values of every `of` adjacent inputs, each with its place among them.
 */
export type SparseKind = 'bitmap' | 'gap4' | 'csc8' | 'n:m';

/** A sparse weight of a program; the figures are those of all stages that run it, counted when its tiles were cut. */
export interface Sparsity {
  readonly kind: SparseKind;
  /** Of n:m; 0 otherwise. */
  readonly keep: number;
  readonly of: number;
  /** Values that the fullest tile stores: its non-zeros, and zeros that fill gaps or runs. */
  readonly values: number;
  /** Bytes of the largest tile: index, values, and what its coding needs. */
  readonly bytes: number;
  /** By tile; `total` over all `tiles`. */
  readonly nonZeros: { readonly min: number; readonly max: number; readonly total: number };
  readonly tiles: number;
}

/** What is known of a weight's zeros before its tiles are. */
export interface Density {
  /** Non-zeros of all elements, of the fullest weight of a template. */
  readonly share: number;
  /** Standard deviations of chance by which the fullest tile is taken to exceed its share. */
  readonly spread: number;
  /** Every `of` adjacent inputs have at most `keep` non-zeros; null where no run is known to. */
  readonly run: Run | null;
}
export interface Run {
  readonly keep: number;
  readonly of: number;
}
