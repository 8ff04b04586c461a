/**
 * How full the tiles of a weight are: one streamed pass over its elements for a layout, in blocks of some MB. Counts are kept with the
 * constant, so that asking again costs nothing.
 */
import { indexBytes, KINDS, LONGEST_GAP, even, runValues } from '../cost/sparse.ts';
import { boundsOfDim, codedSections, denseTileBytes } from '../cost/tile.ts';
import { type Constant, groupCount, isQuantized, reshapeConstant } from '../ir/constant.ts';
import type { ProgramTensor, RegionShape } from '../ir/program.ts';
import { isOpaque } from '../ir/sources.ts';
import type { Density, Run, SparseKind, Sparsity } from '../ir/sparsity.ts';
import { DTYPE_BITS } from '../ir/types.ts';
import { readUnits } from '../tensor/codes.ts';
import { markerOf } from './stored.ts';
import { blocksOf, wovenView } from './tiles.ts';

/** Runs of inputs that n:m is looked for in: a place takes 2 or 3 bits. */
const RUNS = [4, 8] as const;

/** Tiles of a weight, by row part * column parts + column part. */
export interface TileCounts {
  readonly rows: readonly number[];
  readonly columns: readonly number[];
  readonly nonZeros: Uint32Array;
  /** Values that gap4 stores: zeros that fill gaps too. */
  readonly filled: Uint32Array;
  /** Most non-zeros of adjacent inputs, by RUNS. */
  readonly runs: readonly Run[];
}

const counted = new WeakMap<Constant, Map<string, TileCounts>>();

/** Counts a matrix for a layout. */
export function countTiles(constant: Constant, tensor: ProgramTensor, region: RegionShape): TileCounts {
  const [rows, columns] = [0, 1].map((d) => boundsOfDim(tensor, d, region));
  const known = counted.get(constant) ?? new Map<string, TileCounts>();
  counted.set(constant, known);
  const { dims, woven } = tensor.layout;
  const key = `${tensor.shape} ${dims.map((axes) => axes.join('.'))} ${JSON.stringify(woven)} ${Object.values(region)}`;
  const found = known.get(key) ?? count(matrixOf(constant, tensor), rows, columns);
  known.set(key, found);
  return found;
}

/** The constant with the rows and columns of its tensor, in the order in which they are stored. */
export const matrixOf = (constant: Constant, { shape, layout }: ProgramTensor): Constant =>
  wovenView(reshapeConstant(constant, shape) ?? constant, layout.woven);

function count(matrix: Constant, rows: readonly number[], columns: readonly number[]): TileCounts {
  const across = columns.length - 1;
  const nonZeros = new Uint32Array((rows.length - 1) * across);
  const filled = new Uint32Array(nonZeros.length);
  const last = new Float64Array(nonZeros.length).fill(-1);
  const runs = new RunCounter(columns[across]);
  const marker = markerOf(matrix);
  for (const { starts, sizes, rows: parts, cols } of blocksOf(matrix, rows, columns, unitBytes(matrix))) {
    const marks = marker(readUnits(matrix, starts, sizes), starts, sizes);
    for (let p = parts[0], at = 0; p < parts[1]; p++)
      for (let row = rows[p]; row < rows[p + 1]; row++) {
        runs.add(row, marks, at, starts[1], sizes[1]);
        for (let q = cols[0]; q < cols[1]; q++) {
          const width = columns[q + 1] - columns[q];
          const tile = p * across + q;
          const from = (row - rows[p]) * width;
          for (let c = 0; c < width; c++, at++) {
            if (marks[at] === 0) continue;
            nonZeros[tile]++;
            filled[tile] += 1 + Math.floor((from + c - last[tile] - 1) / (LONGEST_GAP + 1));
            last[tile] = from + c;
          }
        }
      }
  }
  return { rows, columns, nonZeros, filled, runs: runs.found() };
}

const unitBytes = ({ stored }: Constant): number => Math.max(1, DTYPE_BITS[stored] / 8);

/** Most non-zeros of runs of adjacent inputs, column by column. */
class RunCounter {
  private readonly counts: readonly Uint8Array[];
  private readonly most = RUNS.map(() => 0);

  constructor(columns: number) {
    this.counts = RUNS.map(() => new Uint8Array(columns));
  }

  add(row: number, marks: Uint8Array, at: number, first: number, columns: number): void {
    for (const [i, of] of RUNS.entries()) {
      if (this.most[i] === of) continue;
      const counts = this.counts[i];
      if (row % of === 0) counts.fill(0, first, first + columns);
      for (let c = 0; c < columns; c++) {
        counts[first + c] += marks[at + c];
        if (counts[first + c] > this.most[i]) this.most[i] = counts[first + c];
      }
    }
  }

  found(): Run[] {
    return RUNS.map((of, i) => ({ keep: this.most[i], of }));
  }
}

/** The run that takes fewest bits an element; null where all are as long as they can be. */
function bestRun(runs: readonly Run[], bits: number): Run | null {
  const size = ({ keep, of }: Run): number => (keep / of) * (bits + Math.log2(of));
  const short = runs.filter(({ keep, of }) => keep > 0 && keep < of).sort((a, b) => size(a) - size(b));
  return short[0] ?? null;
}

const longest = (lists: readonly (readonly Run[])[]): Run[] =>
  RUNS.map((of, i) => ({ of, keep: lists.reduce((n, list) => Math.max(n, list[i].keep), 0) }));

/** Index, values and coding of every tile of a weight as one kind stores it. */
export interface TileSizes {
  readonly kind: SparseKind;
  readonly run: Run | null;
  /** By tile, as in TileCounts. */
  readonly values: Uint32Array;
  readonly bytes: Float64Array;
}

/** Sizes of the tiles of a counted weight. */
export function tileSizes(
  { rows, columns, nonZeros, filled }: TileCounts,
  { dtype, coding }: ProgramTensor,
  kind: SparseKind,
  run: Run | null,
): TileSizes {
  const across = columns.length - 1;
  const values = new Uint32Array(nonZeros.length);
  const bytes = new Float64Array(nonZeros.length);
  const groups = (bounds: readonly number[], part: number, d: 0 | 1): number =>
    coding === undefined
      ? 0
      : groupCount(
          bounds[part + 1] - bounds[part],
          coding.block[d],
          (bounds[part] + coding.phase[d]) % coding.block[d],
        );
  for (let t = 0; t < values.length; t++) {
    const [p, q] = [Math.floor(t / across), t % across];
    const [height, width] = [rows[p + 1] - rows[p], columns[q + 1] - columns[q]];
    if (height * width === 0) continue;
    values[t] =
      kind === 'gap4' ? filled[t] : kind === 'n:m' && run ? runValues(rows[p], height, width, run) : nonZeros[t];
    bytes[t] =
      indexBytes(kind, { rows: height, columns: width, values: values[t] }, run) +
      even(Math.ceil((values[t] * DTYPE_BITS[dtype]) / 8));
    if (coding !== undefined) {
      const parts = [
        { size: height, groups: groups(rows, p, 0) },
        { size: width, groups: groups(columns, q, 1) },
      ] as const;
      const [, ...rest] = codedSections(dtype, coding, ...parts);
      for (const section of rest) bytes[t] += section;
    }
  }
  return { kind, run, values, bytes };
}

/**
 * How the tiles of a weight are best stored, over all stages of a template: the kind whose largest tile is smallest; undefined where none
 * beats storing everything.
 *
 * @param constants the weight in each stage
 */
export function sparsityOf(
  constants: readonly Constant[],
  tensor: ProgramTensor,
  region: RegionShape,
): Sparsity | undefined {
  const counts = constants.map((constant) => countTiles(constant, tensor, region));
  const run = bestRun(longest(counts.map(({ runs }) => runs)), DTYPE_BITS[tensor.dtype]);
  let best: Sparsity | undefined;
  let least = denseTileBytes(tensor, region);
  for (const kind of KINDS) {
    const sizes = counts.map((c) => tileSizes(c, tensor, kind, run));
    const bytes = sizes.reduce((n, s) => s.bytes.reduce((m, b) => Math.max(m, b), n), 0);
    if (bytes >= least) continue;
    least = bytes;
    const values = sizes.reduce((n, s) => s.values.reduce((m, v) => Math.max(m, v), n), 0);
    const { keep, of } = kind === 'n:m' && run !== null ? run : { keep: 0, of: 0 };
    best = { kind, keep, of, values, bytes, ...nonZerosOf(counts) };
  }
  return best;
}

/** Over the tiles that hold something. */
function nonZerosOf(counts: readonly TileCounts[]): Pick<Sparsity, 'nonZeros' | 'tiles'> {
  const found = { min: Number.POSITIVE_INFINITY, max: 0, total: 0 };
  let tiles = 0;
  for (const { rows, columns, nonZeros } of counts)
    for (const [t, n] of nonZeros.entries()) {
      const [p, q] = [Math.floor(t / (columns.length - 1)), t % (columns.length - 1)];
      if (rows[p] === rows[p + 1] || columns[q] === columns[q + 1]) continue;
      found.min = Math.min(found.min, n);
      found.max = Math.max(found.max, n);
      found.total += n;
      tiles++;
    }
  return { nonZeros: { ...found, min: tiles === 0 ? 0 : found.min }, tiles };
}

/** The run of a plan's weight. */
export const runOf = ({ kind, keep, of }: Sparsity): Run | null => (kind === 'n:m' ? { keep, of } : null);

/** Slabs of a weight that are looked at, and how many rows or columns each one is. */
const SLABS = 32;
const SLAB = 8;

interface Sampled {
  readonly share: number;
  readonly runs: readonly Run[];
}
const sampled = new WeakMap<Constant, Sampled>();

/**
 * Share of non-zeros of the fullest of some weights, from slabs of 8 rows spread over each (all of it up to 256 rows); null where zeros are
 * too few to store a tile without them.
 */
export function densityOf(constants: readonly Constant[], spread: number): Density | null {
  const found = constants.map(sample);
  const bits = DTYPE_BITS[constants[0].stored];
  const share = found.reduce((n, s) => Math.max(n, s.share), 0);
  if (share >= 1 - 1 / bits) return null;
  return { share, spread, run: bestRun(longest(found.map(({ runs }) => runs)), bits) };
}

function sample(constant: Constant): Sampled {
  const known = sampled.get(constant);
  if (known !== undefined) return known;
  const marker = markerOf(constant);
  const [rows, columns] = constant.shape;
  const byRows = Math.abs(constant.strides[0]) >= Math.abs(constant.strides[1]);
  const slabs = Math.ceil((byRows ? rows : columns) / SLAB);
  const runs = new RunCounter(columns);
  let [nonZeros, elements] = [0, 0];
  for (let i = 0; i < Math.min(slabs, SLABS); i++) {
    const from = Math.floor((i * slabs) / Math.min(slabs, SLABS)) * SLAB;
    const size = Math.min(SLAB, (byRows ? rows : columns) - from);
    const [starts, sizes] = byRows
      ? [
          [from, 0],
          [size, columns],
        ]
      : [
          [0, from],
          [rows, size],
        ];
    const marks = marker(readUnits(constant, starts, sizes), starts, sizes);
    for (let row = 0; row < sizes[0]; row++) runs.add(starts[0] + row, marks, row * sizes[1], starts[1], sizes[1]);
    for (const mark of marks) nonZeros += mark;
    elements += marks.length;
  }
  const result = { share: elements === 0 ? 1 : nonZeros / elements, runs: runs.found() };
  sampled.set(constant, result);
  return result;
}

/** Whether zeros of a constant can be left out: a matrix of whole bytes, or of codes, whose contents are known. */
export const mayBeSparse = (c: Constant): boolean =>
  c.shape.length === 2 && c.shape.every((n) => n > 0) && (isQuantized(c) || DTYPE_BITS[c.stored] >= 8) && canBeRead(c);

/** Whether the elements are there, and what turns codes into values: a model may be planned by its shapes. */
function canBeRead({ source, quantization }: Constant): boolean {
  if (isOpaque(source)) return false;
  if (quantization === undefined) return true;
  const { scales, zeros } = quantization;
  return canBeRead(scales) && (typeof zeros === 'number' || canBeRead(zeros));
}
