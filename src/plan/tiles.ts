/**
 * weights.bin: the tiles of each weight in core order. A weight of layout {0@A, 1@B} is cut into a grid of tiles; they
 * stand one after another, cores by rows (y, then x), each tile row-major, replicas once. Every element is in
 * exactly one tile.
 */
import { createHash } from 'node:crypto';
import { readSync, writeSync } from 'node:fs';
import { boundsOfDim } from '../cost/tile.ts';
import type { Constant } from '../ir/constant.ts';
import { elementCount, transposeConstant } from '../ir/constant.ts';
import type { ProgramTensor, RegionShape, Woven } from '../ir/program.ts';
import { bytesFor, DTYPE_BITS } from '../ir/types.ts';
import { permutedColumns } from '../tensor/permuted.ts';
import { readPacked } from '../tensor/read.ts';
import { countZeros } from './zeros.ts';

/** Largest tensor that is tiled in memory as a whole; larger ones are written tile by tile. */
export const WHOLE_BYTES = 160 * 2 ** 20;
const BLOCK_BYTES = 64 * 2 ** 20;

interface Grid {
  /** Where parts begin, and where the last one ends. */
  readonly rows: readonly number[];
  readonly cols: readonly number[];
  /** Tile offset in elements, by [row part, column part]. */
  offset(row: number, col: number): number;
}

/** Tile grid of a rank-1 or rank-2 weight (rank 1 is one row). */
function gridOf({ shape, layout }: Pick<ProgramTensor, 'shape' | 'layout'>, region: RegionShape): Grid {
  const [rowExtent, colExtent] = shape.length === 1 ? [1, shape[0]] : shape;
  const colAxes = layout.dims[shape.length - 1];
  const rows = shape.length === 1 ? [0, 1] : boundsOfDim({ shape, layout }, 0, region);
  const cols = boundsOfDim({ shape, layout }, shape.length - 1, region);
  // Cores run by rows, so whatever y cuts is the outer loop of the file.
  const colsOuter = colAxes.includes('y');
  return {
    rows,
    cols,
    offset(row, col) {
      const [r0, r1] = [rows[row], rows[row + 1]];
      const [c0, c1] = [cols[col], cols[col + 1]];
      return colsOuter ? c0 * rowExtent + r0 * (c1 - c0) : r0 * colExtent + c0 * (r1 - r0);
    },
  };
}

export interface TileSink {
  readonly fd: number;
  /** Hash of the whole file so far. */
  readonly hash: ReturnType<typeof createHash>;
  /** Sees all bytes of a weight, some at a time; of a quantized one, those of its scales and zero points. */
  see?(constant: Constant, bytes: Uint8Array): void;
  /** Is told of elements that are zero. */
  zeros?(count: number): void;
}

/**
 * Writes the tiles of `constant` at `offset` of the sink's file; returns their SHA-256. Memory stays below three blocks or
 * one whole small tensor, whatever the size.
 */
export function writeTiles(
  constant: Constant,
  tensor: ProgramTensor,
  region: RegionShape,
  sink: TileSink,
  offset: number,
): string {
  const shape = constant.shape.length === 1 ? [1, constant.shape[0]] : constant.shape;
  const strides = constant.strides.length === 1 ? [0, constant.strides[0]] : constant.strides;
  const view = wovenView({ ...constant, shape, strides }, tensor.layout.woven);
  const grid = gridOf(tensor, region);
  const bytes = bytesFor(constant.stored, elementCount(shape));
  const element = DTYPE_BITS[constant.stored] / 8;
  const whole = bytes <= WHOLE_BYTES;
  const out = new Uint8Array(whole ? bytes : 0);
  for (const range of blocksOf(view, grid.rows, grid.cols, element)) {
    const block = new Uint8Array(range.sizes[0] * range.sizes[1] * element);
    readPacked(view, range.starts, range.sizes, block);
    sink.see?.(constant, block);
    sink.zeros?.(countZeros(constant.stored, block));
    copyTiles(block, range, grid, element, (at, tileBytes) => {
      if (whole) return out.subarray(at, at + tileBytes);
      const tile = new Uint8Array(tileBytes);
      return { tile, done: () => writeSync(sink.fd, tile, 0, tileBytes, offset + at) };
    });
  }
  if (whole) writeSync(sink.fd, out, 0, bytes, offset);
  return digestOf(sink, whole ? out : undefined, offset, bytes);
}

/** The matrix with one dim in the order that a woven layout stores it in. */
export function wovenView(matrix: Constant, woven: Woven | undefined): Constant {
  if (woven === undefined) return matrix;
  if (woven.dim === 0)
    return transposeConstant(wovenView(transposeConstant(matrix, [1, 0]), { ...woven, dim: 1 }), [1, 0]);
  const [run, lane] = [matrix.shape[1] / woven.runs, matrix.shape[1] / woven.runs / woven.lanes];
  const origin = Int32Array.from({ length: matrix.shape[1] }, (_, place) => {
    const within = place % run;
    return place - within + (within % woven.lanes) * lane + Math.floor(within / woven.lanes);
  });
  return permutedColumns(matrix, origin);
}

/** SHA-256 of a blob, which goes into that of the file, too; read back where it is not in memory any more. */
export function digestOf(sink: TileSink, all: Uint8Array | undefined, offset: number, bytes: number): string {
  const hash = createHash('sha256');
  for (const chunk of all === undefined ? readBack(sink.fd, offset, bytes) : [all]) {
    hash.update(chunk);
    sink.hash.update(chunk);
  }
  return hash.digest('hex');
}

function* readBack(fd: number, offset: number, bytes: number): Generator<Uint8Array> {
  const chunk = new Uint8Array(8 * 2 ** 20);
  for (let at = 0; at < bytes; ) {
    const n = readSync(fd, chunk, 0, Math.min(chunk.length, bytes - at), offset + at);
    yield chunk.subarray(0, n);
    at += n;
  }
}

/** Rows and columns of a weight, and the ranges of parts [first, last) that they are. */
interface Block {
  readonly starts: readonly [number, number];
  readonly sizes: readonly [number, number];
  readonly rows: readonly [number, number];
  readonly cols: readonly [number, number];
}

/** A weight in blocks of whole parts, along the dim in which its bytes lie far apart; `element` bytes each. */
export function* blocksOf(
  view: Constant,
  rows: readonly number[],
  cols: readonly number[],
  element: number,
): Generator<Block> {
  const alongRows = Math.abs(view.strides[0]) >= Math.abs(view.strides[1]);
  const parts = alongRows ? rows : cols;
  const other = alongRows ? view.shape[1] : view.shape[0];
  const last = parts.length - 1;
  for (let p = 0; p < last; ) {
    let end = p + 1;
    while (end < last && (parts[end + 1] - parts[p]) * other * element <= BLOCK_BYTES) end++;
    const [from, size] = [parts[p], parts[end] - parts[p]];
    if (size > 0) {
      yield alongRows
        ? { starts: [from, 0], sizes: [size, other], rows: [p, end], cols: [0, cols.length - 1] }
        : { starts: [0, from], sizes: [other, size], rows: [0, rows.length - 1], cols: [p, end] };
    }
    p = end;
  }
}

type TileTarget = Uint8Array | { readonly tile: Uint8Array; done(): void };

/** Copies each tile of a row-major block to where `target` says. */
function copyTiles(
  block: Uint8Array,
  range: Block,
  { rows, cols, offset }: Grid,
  element: number,
  target: (at: number, bytes: number) => TileTarget,
): void {
  const firstRow = rows[range.rows[0]];
  const firstCol = cols[range.cols[0]];
  const rowBytes = (cols[range.cols[1]] - firstCol) * element;
  for (let r = range.rows[0]; r < range.rows[1]; r++) {
    for (let c = range.cols[0]; c < range.cols[1]; c++) {
      const height = rows[r + 1] - rows[r];
      const width = (cols[c + 1] - cols[c]) * element;
      if (height === 0 || width === 0) continue;
      const to = target(offset(r, c) * element, height * width);
      const tile = to instanceof Uint8Array ? to : to.tile;
      const from = (rows[r] - firstRow) * rowBytes + (cols[c] - firstCol) * element;
      copyRows(block, from, rowBytes, tile, width, height);
      if (!(to instanceof Uint8Array)) to.done();
    }
  }
}

/** Narrow rows by a loop, wide ones by memcpy: `subarray` costs more than copying 64 bytes. */
function copyRows(
  from: Uint8Array,
  start: number,
  stride: number,
  to: Uint8Array,
  width: number,
  height: number,
): void {
  if (width >= 256) {
    for (let row = 0; row < height; row++)
      to.set(from.subarray(start + row * stride, start + row * stride + width), row * width);
    return;
  }
  for (let row = 0; row < height; row++) {
    const source = start + row * stride;
    for (let i = 0; i < width; i++) to[row * width + i] = from[source + i];
  }
}
