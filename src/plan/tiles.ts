/**
 * weights.bin: the tiles of each weight in core order. A weight of layout {0@A, 1@B} is cut into a grid of tiles; they
 * stand one after another, cores by rows (y, then x), each tile row-major, replicas once. Every element is in
 * exactly one tile.
 */
import { createHash } from 'node:crypto';
import { readSync, writeSync } from 'node:fs';
import type { Constant } from '../ir/constant.ts';
import { elementCount } from '../ir/constant.ts';
import { axisSize, type MeshAxis, type ProgramTensor, type RegionShape } from '../ir/program.ts';
import { bytesFor, DTYPE_BITS } from '../ir/types.ts';
import { readPacked } from '../tensor/read.ts';

/** Largest tensor that is tiled in memory as a whole; larger ones are written tile by tile. */
const WHOLE_BYTES = 160 * 2 ** 20;
const BLOCK_BYTES = 64 * 2 ** 20;

/** Consecutive parts of one dim, with the mesh coordinates that own them (outermost axis first). */
interface Parts {
  readonly starts: readonly number[];
  readonly axes: readonly MeshAxis[];
}

function partsOf(extent: number, axes: readonly MeshAxis[], shape: RegionShape): Parts {
  let bounds = [0, extent];
  for (const axis of axes) {
    const n = axisSize(shape, axis);
    const next: number[] = [];
    for (let p = 0; p + 1 < bounds.length; p++) {
      for (let i = 0; i < n; i++) next.push(bounds[p] + Math.floor((i * (bounds[p + 1] - bounds[p])) / n));
    }
    bounds = [...next, extent];
  }
  return { starts: bounds, axes };
}

interface Grid {
  readonly rows: Parts;
  readonly cols: Parts;
  /** Tile offset in elements, by [row part, column part]. */
  offset(row: number, col: number): number;
}

/** Tile grid of a rank-1 or rank-2 weight (rank 1 is one row). */
function gridOf({ shape, layout }: Pick<ProgramTensor, 'shape' | 'layout'>, region: RegionShape): Grid {
  const [rowExtent, colExtent] = shape.length === 1 ? [1, shape[0]] : shape;
  const [rowAxes, colAxes] = shape.length === 1 ? [[], layout.dims[0]] : layout.dims;
  const rows = partsOf(rowExtent, rowAxes, region);
  const cols = partsOf(colExtent, colAxes, region);
  // Cores run by rows, so whatever y cuts is the outer loop of the file.
  const colsOuter = colAxes.includes('y');
  return {
    rows,
    cols,
    offset(row, col) {
      const [r0, r1] = [rows.starts[row], rows.starts[row + 1]];
      const [c0, c1] = [cols.starts[col], cols.starts[col + 1]];
      return colsOuter ? c0 * rowExtent + r0 * (c1 - c0) : r0 * colExtent + c0 * (r1 - r0);
    },
  };
}

export interface TileSink {
  readonly fd: number;
  /** Hash of the whole file so far. */
  readonly hash: ReturnType<typeof createHash>;
  /** Sees all bytes of a weight, some at a time. */
  see?(constant: Constant, bytes: Uint8Array): void;
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
  const view: Constant = { ...constant, shape, strides };
  const grid = gridOf(tensor, region);
  const bytes = bytesFor(constant.stored, elementCount(shape));
  const element = DTYPE_BITS[constant.stored] / 8;
  const whole = bytes <= WHOLE_BYTES;
  const out = new Uint8Array(whole ? bytes : 0);
  forEachBlock(view, grid, element, (block, region_) => {
    sink.see?.(constant, block);
    copyTiles(block, region_, grid, element, (at, tileBytes) => {
      if (whole) return out.subarray(at, at + tileBytes);
      const tile = new Uint8Array(tileBytes);
      return { tile, done: () => writeSync(sink.fd, tile, 0, tileBytes, offset + at) };
    });
  });
  if (whole) writeSync(sink.fd, out, 0, bytes, offset);
  const hash = createHash('sha256');
  for (const chunk of whole ? [out] : readBack(sink.fd, offset, bytes)) {
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

/** Ranges of parts: rows [r0, r1) and columns [c0, c1) of the grid. */
interface PartRange {
  readonly rows: readonly [number, number];
  readonly cols: readonly [number, number];
}

/** Reads the tensor in blocks of whole parts, along the dim in which its bytes lie far apart. */
function forEachBlock(
  view: Constant,
  grid: Grid,
  element: number,
  visit: (block: Uint8Array, range: PartRange) => void,
): void {
  const alongRows = Math.abs(view.strides[0]) >= Math.abs(view.strides[1]);
  const parts = alongRows ? grid.rows : grid.cols;
  const other = alongRows ? view.shape[1] : view.shape[0];
  const last = parts.starts.length - 1;
  for (let p = 0; p < last; ) {
    let end = p + 1;
    while (end < last && (parts.starts[end + 1] - parts.starts[p]) * other * element <= BLOCK_BYTES) end++;
    const [from, size] = [parts.starts[p], parts.starts[end] - parts.starts[p]];
    if (size > 0) {
      const starts = alongRows ? [from, 0] : [0, from];
      const sizes = alongRows ? [size, other] : [other, size];
      const block = new Uint8Array(size * other * element);
      readPacked(view, starts, sizes, block);
      const all = (q: Parts): [number, number] => [0, q.starts.length - 1];
      visit(block, alongRows ? { rows: [p, end], cols: all(grid.cols) } : { rows: all(grid.rows), cols: [p, end] });
    }
    p = end;
  }
}

type TileTarget = Uint8Array | { readonly tile: Uint8Array; done(): void };

/** Copies each tile of a row-major block to where `target` says. */
function copyTiles(
  block: Uint8Array,
  range: PartRange,
  { rows, cols, offset }: Grid,
  element: number,
  target: (at: number, bytes: number) => TileTarget,
): void {
  const firstRow = rows.starts[range.rows[0]];
  const firstCol = cols.starts[range.cols[0]];
  const rowBytes = (cols.starts[range.cols[1]] - firstCol) * element;
  for (let r = range.rows[0]; r < range.rows[1]; r++) {
    for (let c = range.cols[0]; c < range.cols[1]; c++) {
      const height = rows.starts[r + 1] - rows.starts[r];
      const width = (cols.starts[c + 1] - cols.starts[c]) * element;
      if (height === 0 || width === 0) continue;
      const to = target(offset(r, c) * element, height * width);
      const tile = to instanceof Uint8Array ? to : to.tile;
      const from = (rows.starts[r] - firstRow) * rowBytes + (cols.starts[c] - firstCol) * element;
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
