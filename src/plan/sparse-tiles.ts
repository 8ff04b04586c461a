/**
 * weights.bin: the tiles of a weight that is stored without its zeros. A table says where each tile begins; a tile has its index, the values
 * that are stored, and of a coded weight the scales and zero points of its groups (ARCHITECTURE.md, "weights.bin"). Nothing is decoded.
 */
import { writeSync } from 'node:fs';
import { even, indexBytes, LONGEST_GAP } from '../cost/sparse.ts';
import type { Constant } from '../ir/constant.ts';
import type { ProgramTensor, RegionShape } from '../ir/program.ts';
import type { Run, SparseKind, Sparsity } from '../ir/sparsity.ts';
import { DTYPE_BITS } from '../ir/types.ts';
import { readUnits } from '../tensor/codes.ts';
import { codingWriter } from './coded-tiles.ts';
import { countTiles, matrixOf, runOf, type TileCounts, type TileSizes, tileSizes } from './sparse-count.ts';
import { markerOf } from './stored.ts';
import { blocksOf, digestOf, type TileSink, WHOLE_BYTES } from './tiles.ts';
import { zeroMeter } from './zeros.ts';

/** A sparse weight over a region. */
export type SparseTensor = ProgramTensor & { readonly sparsity: Sparsity };

/** Bytes of an entry of the table: where a tile begins, in units of 16 bits after the table. */
const ENTRY_BYTES = 4;

/** Bytes of the blob: the table, and all tiles of one stage. */
export function sparseBytes(constant: Constant, tensor: SparseTensor, region: RegionShape): number {
  const { bytes } = sizesOf(countTiles(constant, tensor, region), tensor);
  return tableBytes(bytes) + bytes.reduce((n, b) => n + b, 0);
}

/** An entry for every tile that holds something, and one for the end of the last. */
const tableBytes = (bytes: Float64Array): number => (bytes.filter((b) => b > 0).length + 1) * ENTRY_BYTES;

const sizesOf = (counts: TileCounts, tensor: SparseTensor): TileSizes =>
  tileSizes(counts, tensor, tensor.sparsity.kind, runOf(tensor.sparsity));

/** As writeTiles, for a sparse weight; `constant` is that of the graph. */
export function writeSparseTiles(
  constant: Constant,
  tensor: SparseTensor,
  region: RegionShape,
  sink: TileSink,
  offset: number,
): string {
  const matrix = matrixOf(constant, tensor);
  const counts = countTiles(constant, tensor, region);
  const { rows, columns } = counts;
  const { kind, run, values, bytes } = sizesOf(counts, tensor);
  const across = columns.length - 1;
  // Cores run by rows, so whatever y cuts is the outer loop of the file.
  const byColumns = tensor.layout.dims[1].includes('y');
  const table = new Uint32Array(tableBytes(bytes) / ENTRY_BYTES);
  const starts = new Float64Array(bytes.length);
  let end = table.byteLength;
  for (let at = 0, entry = 0; at < bytes.length; at++) {
    const down = rows.length - 1;
    const tile = byColumns ? (at % down) * across + Math.floor(at / down) : at;
    if (bytes[tile] === 0) continue;
    starts[tile] = end;
    end += bytes[tile];
    table[++entry] = (end - table.byteLength) / 2;
  }
  const out = new Uint8Array(end <= WHOLE_BYTES ? end : 0);
  const head = littleEndian(table);
  if (out.length > 0) out.set(head);
  else writeSync(sink.fd, head, 0, head.length, offset);
  const marker = markerOf(matrix);
  const zeros = zeroMeter(matrix);
  const coding = codingWriter(matrix, tensor, region, sink);
  const bits = DTYPE_BITS[tensor.dtype];
  for (const block of blocksOf(matrix, rows, columns, Math.max(1, bits / 8))) {
    const units = readUnits(matrix, block.starts, block.sizes);
    const marks = marker(units, block.starts, block.sizes);
    if (coding === undefined) sink.see?.(matrix, units);
    sink.zeros?.(zeros(units, block.starts, block.sizes));
    for (let p = block.rows[0]; p < block.rows[1]; p++)
      for (let q = block.cols[0]; q < block.cols[1]; q++) {
        const tile = p * across + q;
        if (bytes[tile] === 0) continue;
        const target =
          out.length > 0 ? out.subarray(starts[tile], starts[tile] + bytes[tile]) : new Uint8Array(bytes[tile]);
        const box = { rows: rows[p + 1] - rows[p], columns: columns[q + 1] - columns[q], row: rows[p] };
        const from = (rows[p] - block.starts[0]) * block.sizes[1] + columns[q] - block.starts[1];
        const kept = storedOf(kind, run, box, (r, c) => marks[from + r * block.sizes[1] + c] === 1);
        if (kept.length !== values[tile]) throw new Error(`${tensor.name}: tile ${tile} was not counted as it is`);
        const index = indexBytes(kind, { ...box, values: kept.length }, run);
        putIndex(kind, run, box, kept, target.subarray(0, index));
        const to = target.subarray(index);
        for (const [n, element] of kept.entries())
          putUnit(
            bits,
            units,
            from + Math.floor(element / box.columns) * block.sizes[1] + (element % box.columns),
            to,
            n,
          );
        coding?.(target.subarray(index + even(Math.ceil((kept.length * bits) / 8))), p, q);
        if (out.length === 0) writeSync(sink.fd, target, 0, target.length, offset + starts[tile]);
      }
  }
  if (out.length > 0) writeSync(sink.fd, out, 0, out.length, offset);
  return digestOf(sink, out.length > 0 ? out : undefined, offset, end);
}

interface Box {
  readonly rows: number;
  readonly columns: number;
  /** First row of the weight that the tile has. */
  readonly row: number;
}

/** Elements of a tile that are stored, by their number row by row, in the order of their values. */
function storedOf(
  kind: SparseKind,
  run: Run | null,
  { rows, columns, row }: Box,
  isStored: (r: number, c: number) => boolean,
): number[] {
  const kept: number[] = [];
  if (kind === 'n:m' && run !== null) {
    for (let r = 0; r < rows; ) {
      const end = Math.min(rows, (Math.floor((row + r) / run.of) + 1) * run.of - row);
      for (let c = 0; c < columns; c++) kept.push(...runOfColumn(r, end, c, columns, run.keep, isStored));
      r = end;
    }
    return kept;
  }
  let last = -1;
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++) {
      if (!isStored(r, c)) continue;
      const element = r * columns + c;
      // Zeros fill what no gap of four bits reaches over.
      if (kind === 'gap4') for (last += LONGEST_GAP + 1; last < element; last += LONGEST_GAP + 1) kept.push(last);
      kept.push(element);
      last = element;
    }
  return kept;
}

/** `keep` elements of a column of a run: the stored ones, and the first others until they are as many. */
function runOfColumn(
  from: number,
  end: number,
  c: number,
  columns: number,
  keep: number,
  isStored: (r: number, c: number) => boolean,
): number[] {
  const all = Array.from({ length: end - from }, (_, i) => from + i);
  let spare = Math.min(keep, all.length) - all.filter((r) => isStored(r, c)).length;
  return all.filter((r) => isStored(r, c) || spare-- > 0).map((r) => r * columns + c);
}

function putIndex(kind: SparseKind, run: Run | null, box: Box, kept: readonly number[], to: Uint8Array): void {
  const { columns, rows, row } = box;
  switch (kind) {
    case 'bitmap':
      for (const element of kept) to[element >> 3] |= 1 << (element & 7);
      return;
    case 'gap4': {
      const view = new DataView(to.buffer, to.byteOffset, to.byteLength);
      view.setUint32(0, kept.length, true);
      let last = -1;
      for (const [n, element] of kept.entries()) {
        to[4 + (n >> 1)] |= (element - last - 1) << (n % 2 === 0 ? 0 : 4);
        last = element;
      }
      return;
    }
    case 'csc8': {
      const view = new DataView(to.buffer, to.byteOffset, to.byteLength);
      const starts = new Uint32Array(rows + 1);
      for (const element of kept) starts[Math.floor(element / columns) + 1]++;
      for (let r = 0; r < rows; r++) starts[r + 1] += starts[r];
      for (const [r, start] of starts.entries()) view.setUint16(2 * r, start, true);
      for (const [n, element] of kept.entries()) to[2 * (rows + 1) + n] = element % columns;
      return;
    }
    case 'n:m': {
      const of = run?.of ?? 1;
      const bits = Math.log2(of);
      for (const [n, element] of kept.entries()) {
        const r = Math.floor(element / columns);
        // A run that the tile has a part of begins at the tile's first row.
        const place = r - Math.max(0, Math.floor((row + r) / of) * of - row);
        for (let b = 0; b < bits; b++) if ((place >> b) & 1) to[(n * bits + b) >> 3] |= 1 << ((n * bits + b) & 7);
      }
    }
  }
}

/** Copies unit `from` to place `n` of a stream of `bits` wide elements that is zero there. */
function putUnit(bits: number, units: Uint8Array, from: number, to: Uint8Array, n: number): void {
  if (bits < 8) {
    const perByte = 8 / bits;
    to[Math.floor(n / perByte)] |= units[from] << ((n % perByte) * bits);
    return;
  }
  const bytes = bits / 8;
  for (let b = 0; b < bytes; b++) to[n * bytes + b] = units[from * bytes + b];
}

function littleEndian(table: Uint32Array): Uint8Array {
  const bytes = new Uint8Array(table.byteLength);
  const view = new DataView(bytes.buffer);
  for (const [i, entry] of table.entries()) view.setUint32(4 * i, entry, true);
  return bytes;
}
