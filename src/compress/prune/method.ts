/** One matrix, one way of pruning; and the words of the command line for both. */
import type { Matrix } from '../matrix.ts';
import type { Moments } from '../weights.ts';
import { applyMask } from './apply.ts';
import { magnitudeScores, wandaScores } from './scores.ts';
import { nestedBounds, selectMask, type Structure } from './select.ts';
import { sparseGpt } from './sparsegpt.ts';

/**
 * Which weights go. `magnitude`: the smallest; `wanda`: the smallest by weight times size of input; `sparsegpt`: those whose loss the others
 * can make up for best, which they then do.
 */
export const PRUNERS = ['magnitude', 'wanda', 'sparsegpt'] as const;
export type Pruner = (typeof PRUNERS)[number];

export const isPruner = (word: string): word is Pruner => PRUNERS.some((known) => known === word);

/** What is said of a model: a share, or `keep` of every `of`. */
export interface Pruning {
  readonly method: Pruner;
  readonly structure: 'layer' | 'row' | 'tile' | 'n:m';
  /** Share of the weights that go; for `n:m` it follows from `keep` and `of`. */
  readonly sparsity: number;
  readonly keep: number;
  readonly of: number;
  /** Rows and columns of the blocks that keep equally many, for `tile` where the cores' tiles are not known. */
  readonly tile: number;
}

/** How cores cut a matrix. */
export interface TileGrid {
  readonly rows: GridDim;
  readonly cols: GridDim;
}
export interface GridDim {
  /** Sizes of the axes that cut the dim, outermost first. */
  readonly cuts: readonly number[];
  /** The dim is `runs` runs of `lanes` lanes; what is at one place of every lane stands side by side, and cuts are between those. */
  readonly runs: number;
  readonly lanes: number;
}

const inParts = (parts: number): GridDim => ({ cuts: [parts], runs: 1, lanes: 1 });

const boundsOf = (extent: number, { cuts, lanes }: GridDim): number[] =>
  nestedBounds(extent / lanes, cuts).map((bound) => bound * lanes);

/** By place, the element that stands there. */
function orderOf(extent: number, { runs, lanes }: GridDim): Int32Array {
  const run = extent / runs;
  return Int32Array.from({ length: extent }, (_, place) => {
    const within = place % run;
    return place - within + (within % lanes) * (run / lanes) + Math.floor(within / lanes);
  });
}

/** Sets of a matrix that lose the same share; `grid`: its tiles on the cores, where they are known. */
export function structureFor(
  { structure, keep, of, tile }: Pruning,
  sparsity: number,
  matrix: Matrix,
  grid?: TileGrid,
): Structure {
  switch (structure) {
    case 'layer':
    case 'row':
      return { kind: structure, sparsity };
    case 'n:m':
      return { kind: 'n:m', keep, of };
    case 'tile': {
      const rows = grid?.rows ?? inParts(Math.ceil(matrix.rows / tile));
      const cols = grid?.cols ?? inParts(Math.ceil(matrix.columns / tile));
      const bounds = { rows: boundsOf(matrix.rows, rows), cols: boundsOf(matrix.columns, cols) };
      if (rows.lanes === 1 && cols.lanes === 1) return { kind: 'tile', sparsity, ...bounds };
      const orders = { rowOrder: orderOf(matrix.rows, rows), colOrder: orderOf(matrix.columns, cols) };
      return { kind: 'tile', sparsity, ...bounds, ...orders };
    }
  }
}

/** What a method looks at of the inputs of a matrix. */
export interface InputsSeen {
  /** Sum of squares by input. */
  readonly squares: Float64Array;
  readonly moments: Moments | undefined;
}

/** The values of a matrix after pruning, [rows, columns]. @throws RangeError when the method needs inputs and there are none */
export function pruneMatrix(
  matrix: Matrix,
  method: Pruner,
  structure: Structure,
  inputs: InputsSeen | undefined,
): Float32Array {
  const extents = { rows: matrix.rows, cols: matrix.columns };
  const masked = (scores: Float32Array): Float32Array =>
    applyMask(matrix.values.slice(), selectMask(scores, extents, structure));
  if (method === 'magnitude') return masked(magnitudeScores(matrix.values));
  if (inputs === undefined) throw new RangeError(`${method} needs the inputs of the matrix`);
  if (method === 'wanda') return masked(wandaScores(matrix.values, extents, Array.from(inputs.squares, Math.sqrt)));
  if (inputs.moments === undefined) throw new RangeError(`${method} needs the moments of the inputs`);
  return sparseGpt(matrix, inputs.moments.prepared(), { structure });
}
