/**
 * weights.bin: the tiles of a quantized weight. They stand in the order of dense tiles (tiles.ts), each one with all that its
 * core needs: its codes, then the scales, the scale of the scales and the zero points of the groups it touches. A group that
 * a border cuts is in the tiles on both sides. Nothing is decoded on the way.
 */
import { writeSync } from 'node:fs';
import { type CodedPart, codedSections, partBounds } from '../cost/tile.ts';
import type { Coding } from '../ir/coding.ts';
import { codesOf, type Constant, elementCount, groupCount, isQuantized, type Quantized } from '../ir/constant.ts';
import type { ProgramTensor, RegionShape } from '../ir/program.ts';
import { bytesFor, DTYPE_BITS } from '../ir/types.ts';
import { readUnits } from '../tensor/codes.ts';
import { blocksOf, digestOf, type TileSink, WHOLE_BYTES } from './tiles.ts';
import { zeroCounter } from './zeros.ts';

/** A part of a dim: what it has, where it begins, and its first group. */
interface Part extends CodedPart {
  readonly start: number;
  readonly group: number;
}

interface CodedGrid {
  readonly rows: readonly Part[];
  readonly columns: readonly Part[];
  /** Byte of the blob at which a tile begins, by row part * column parts + column part. */
  readonly offsets: Float64Array;
  readonly bytes: number;
}

type CodedTensor = Pick<ProgramTensor, 'dtype' | 'shape' | 'layout'> & { readonly coding: Coding };

function gridOf({ dtype, shape, layout, coding }: CodedTensor, region: RegionShape): CodedGrid {
  const [rows, columns] = shape.map((extent, d) => {
    const [block, phase] = [coding.block[d], coding.phase[d]];
    const bounds = partBounds(extent, layout.dims[d], region);
    return bounds.slice(1).map((end, p): Part => {
      const [start, from] = [bounds[p], bounds[p] + phase];
      const groups = groupCount(end - start, block, from % block);
      return { start, size: end - start, group: Math.floor(from / block), groups };
    });
  });
  const offsets = new Float64Array(rows.length * columns.length);
  let bytes = 0;
  // Cores run by rows, so whatever y cuts is the outer loop of the file.
  const byColumns = layout.dims[1].includes('y');
  const [outer, inner] = byColumns ? [columns, rows] : [rows, columns];
  for (const o of outer.keys())
    for (const i of inner.keys()) {
      const [r, c] = byColumns ? [i, o] : [o, i];
      offsets[r * columns.length + c] = bytes;
      for (const section of codedSections(dtype, coding, rows[r], columns[c])) bytes += section;
    }
  return { rows, columns, offsets, bytes };
}

/** Bytes of all tiles of a coded weight over a region; of a dense one, of its elements. */
export function weightBytes(tensor: ProgramTensor, region: RegionShape): number {
  const { coding, dtype, shape } = tensor;
  return coding === undefined ? bytesFor(dtype, elementCount(shape)) : gridOf({ ...tensor, coding }, region).bytes;
}

/** As writeTiles, for a quantized constant. Holds one block of codes, all scales and zero points, and small tensors whole. */
export function writeCodedTiles(
  constant: Quantized,
  tensor: CodedTensor,
  region: RegionShape,
  sink: TileSink,
  offset: number,
): string {
  const grid = gridOf(tensor, region);
  const { rows, columns, offsets } = grid;
  const putCoding = codingSections(constant, grid, tensor, sink);
  const zerosIn = zeroCounter(constant);
  const out = new Uint8Array(grid.bytes <= WHOLE_BYTES ? grid.bytes : 0);
  const bounds = (parts: readonly Part[]): number[] => [0, ...parts.map(({ start, size }) => start + size)];
  for (const block of blocksOf(constant, bounds(rows), bounds(columns), 1)) {
    const codes = planeOf(constant, block.starts, block.sizes);
    sink.zeros?.(zerosIn(codes.units, block.starts, block.sizes));
    for (let r = block.rows[0]; r < block.rows[1]; r++)
      for (let c = block.cols[0]; c < block.cols[1]; c++) {
        const [row, column] = [rows[r], columns[c]];
        const sections = codedSections(tensor.dtype, tensor.coding, row, column);
        const length = sections.reduce((a, b) => a + b);
        if (length === 0) continue;
        const at = offsets[r * columns.length + c];
        const tile = out.length > 0 ? out.subarray(at, at + length) : new Uint8Array(length);
        const own = { row: row.start - block.starts[0], column: column.start - block.starts[1] };
        putBox(codes, { ...own, rows: row.size, columns: column.size }, tile, 0);
        putCoding(tile.subarray(sections[0]), r, c);
        if (out.length === 0) writeSync(sink.fd, tile, 0, length, offset + at);
      }
  }
  if (out.length > 0) writeSync(sink.fd, out, 0, out.length, offset);
  return digestOf(sink, out.length > 0 ? out : undefined, offset, grid.bytes);
}

/** Puts what follows the codes of the tile of parts (r, c): scales, the scale of scales, zero points. */
export type CodingWriter = (to: Uint8Array, r: number, c: number) => void;

/** For tiles of a constant over a region; undefined for a dense one. */
export function codingWriter(
  constant: Constant,
  tensor: ProgramTensor,
  region: RegionShape,
  sink: TileSink,
): CodingWriter | undefined {
  const { coding } = tensor;
  if (coding === undefined || !isQuantized(constant)) return undefined;
  const coded = { ...tensor, coding };
  return codingSections(constant, gridOf(coded, region), coded, sink);
}

function codingSections(
  { quantization: { scales, zeros } }: Quantized,
  { rows, columns }: CodedGrid,
  { dtype, coding }: CodedTensor,
  sink: TileSink,
): CodingWriter {
  const numbers = [wholePlane(scales), wholePlane(scales.quantization?.scales), wholePlane(zeros)];
  for (const plane of numbers) if (plane !== null) sink.see?.(plane.constant, plane.units);
  return (to, r, c) => {
    const [row, column] = [rows[r], columns[c]];
    const [, ...sections] = codedSections(dtype, coding, row, column);
    const groups = { row: row.group, column: column.group, rows: row.groups, columns: column.groups };
    let at = 0;
    for (const [i, plane] of numbers.entries()) {
      if (plane !== null) putBox(plane, i === 1 ? ONE : groups, to, at);
      at += sections[i];
    }
  };
}

/** Elements of a matrix as their bits: `bits / 8` bytes each, or a byte each where they are narrower. */
interface Plane {
  readonly constant: Constant;
  readonly bits: number;
  readonly units: Uint8Array;
  readonly width: number;
}

interface Box {
  readonly row: number;
  readonly column: number;
  readonly rows: number;
  readonly columns: number;
}

const ONE: Box = { row: 0, column: 0, rows: 1, columns: 1 };

const planeOf = (c: Constant, starts: readonly number[], sizes: readonly number[]): Plane => ({
  constant: codesOf(c),
  bits: DTYPE_BITS[c.stored],
  units: readUnits(c, starts, sizes),
  width: sizes[1],
});

/** All of a table of scales or zero points; null where there is none. */
const wholePlane = (c: Constant | number | undefined): Plane | null =>
  c === undefined || typeof c === 'number' ? null : planeOf(c, [0, 0], c.shape);

/** Copies a box, row-major and without gaps, to byte `at` of a tile that is zero there. */
function putBox(
  { bits, units, width }: Plane,
  { row, column, rows, columns }: Box,
  tile: Uint8Array,
  at: number,
): void {
  if (bits >= 8) {
    const bytes = bits / 8;
    const length = columns * bytes;
    for (let r = 0; r < rows; r++) {
      const from = ((row + r) * width + column) * bytes;
      for (let i = 0; i < length; i++) tile[at + r * length + i] = units[from + i];
    }
    return;
  }
  // Eight bits hold 2 or 4 codes, the first one lowest.
  const [shift, mask] = bits === 4 ? [1, 1] : [2, 3];
  for (let r = 0, n = 0; r < rows; r++) {
    const from = (row + r) * width + column;
    for (let i = 0; i < columns; i++, n++) tile[at + (n >> shift)] |= units[from + i] << ((n & mask) * bits);
  }
}
