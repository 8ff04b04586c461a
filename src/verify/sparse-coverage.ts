/**
 * Coverage of a weight that is stored without its zeros: every tile put together again and compared with the constant, byte for byte, and
 * the figures that the plan states of its tiles. Own code from the definition of the format on.
 */
import { readSync } from 'node:fs';
import { type Constant, isQuantized } from '../ir/constant.ts';
import type { ProgramTensor, RegionShape } from '../ir/program.ts';
import type { Sparsity } from '../ir/sparsity.ts';
import { DTYPE_BITS } from '../ir/types.ts';
import type { Blob } from '../plan/types.ts';
import { readUnits } from '../tensor/codes.ts';
import { readConstant } from '../tensor/read.ts';
import { codingMismatch, compareTables, signBit, type Table, tablesOf } from './coded-coverage.ts';
import { readSparseTile } from './sparse-tile.ts';
import { blocksOf } from './tile-blocks.ts';
import { codedTileBytes } from './tile-sizes.ts';
import { cutsOf } from './tile-table.ts';
import { asWoven } from './woven.ts';

export interface SparseFault {
  readonly rule: 'C1' | 'C2' | 'C3' | 'C4';
  readonly message: string;
}

/** What the tiles of a template's weight have, over its stages. */
export class TileFigures {
  private readonly stated: Sparsity;
  private readonly found = { values: 0, bytes: 0, min: Number.POSITIVE_INFINITY, max: 0, total: 0, tiles: 0 };

  constructor(stated: Sparsity) {
    this.stated = stated;
  }

  add(values: number, bytes: number, nonZeros: number): void {
    const { found } = this;
    found.values = Math.max(found.values, values);
    found.bytes = Math.max(found.bytes, bytes);
    found.min = Math.min(found.min, nonZeros);
    found.max = Math.max(found.max, nonZeros);
    found.total += nonZeros;
    found.tiles++;
  }

  /** C4, once all stages are compared. */
  fault(): SparseFault | undefined {
    const { values, bytes, nonZeros, tiles } = this.stated;
    const pairs = Object.entries({ values, bytes, ...nonZeros, tiles });
    const found: ReadonlyMap<string, number> = new Map(Object.entries(this.found));
    const wrong = pairs.find(([key, stated]) => stated !== found.get(key));
    return (
      wrong && {
        rule: 'C4',
        message: `expected ${wrong[0]} ${wrong[1]} of its tiles as stated, found ${found.get(wrong[0])}`,
      }
    );
  }
}

/** Compares the tiles of `blob` with `constant`; undefined when all are equal. */
export function compareSparse(
  fd: number,
  blob: Blob,
  tensor: ProgramTensor & { readonly sparsity: Sparsity },
  region: RegionShape,
  given: Constant,
  figures: TileFigures,
): SparseFault | undefined {
  const { coding, dtype, shape, layout } = tensor;
  const mismatch = coding === undefined ? denseMismatch(tensor, given) : codingMismatch(tensor, coding, given);
  if (mismatch !== undefined) return { rule: 'C1', message: mismatch };
  const constant = asWoven(given, layout.woven);
  if (typeof constant === 'string') return { rule: 'C1', message: constant };
  const faults: string[] = [];
  const [rows, cols] = shape.map((extent, d) => {
    // A woven dim is cut between groups of places, one of each lane.
    const lanes = layout.woven?.dim === d ? layout.woven.lanes : 1;
    return cutsOf(extent / lanes, layout.dims[d], region, faults).map((start) => start * lanes);
  });
  if (faults.length > 0) return { rule: 'C2', message: faults[0] };
  const byRows = !layout.dims[1].includes('y');
  const places = placesOf(fd, blob, rows, cols, byRows);
  if (typeof places === 'string') return { rule: 'C2', message: places };
  const isCoded = coding !== undefined && isQuantized(constant);
  const tables = isCoded ? tablesOf(constant, coding) : [];
  const flip = isCoded ? signBit(tensor, coding, constant) : 0;
  const zeroAt = zeroUnits(constant, flip);
  const bits = DTYPE_BITS[dtype];
  const across = cols.length - 1;
  const differing: string[] = [];
  for (const { r0, r1, c0, c1 } of blocksOf(rows, cols, byRows, Math.max(8, bits))) {
    const sizes = [rows[r1] - rows[r0], cols[c1] - cols[c0]];
    if (sizes[0] * sizes[1] === 0) continue;
    const units = readUnits(constant, [rows[r0], cols[c0]], sizes);
    if (flip !== 0) for (let i = 0; i < units.length; i++) units[i] ^= flip;
    for (let r = r0; r < r1; r++)
      for (let c = c0; c < c1; c++) {
        const [start, end] = [places[2 * (r * across + c)], places[2 * (r * across + c) + 1]];
        if (end === start) continue;
        const tile = new Uint8Array(end - start);
        if (readSync(fd, tile, 0, tile.length, blob.offset + start) !== tile.length)
          return { rule: 'C2', message: `expected ${tile.length} bytes of a tile in weights.bin, found less` };
        const box = { rows: [rows[r], rows[r + 1]], cols: [cols[c], cols[c + 1]] } as const;
        const from = { row: rows[r0], col: cols[c0], width: sizes[1] };
        const what = compareOne(tile, tensor, box, { ...from, units, zeroAt }, tables, figures);
        if (what !== undefined) differing.push(what);
      }
  }
  if (differing.length === 0) return undefined;
  const tiles = differing.length === 1 ? '1 tile differs' : `${differing.length} tiles differ`;
  return { rule: 'C3', message: `${tiles} of ${places.length / 2}; the first in ${differing[0]}` };
}

function denseMismatch({ dtype, shape }: ProgramTensor, c: Constant): string | undefined {
  const [is, want] = [`${c.stored}[${c.shape}]`, `${dtype}[${shape}]`];
  if (isQuantized(c)) return `expected a dense ${want}, found ${c.stored} codes with scales`;
  return is === want ? undefined : `expected the elements of ${want}, found ${is}`;
}

/** By tile, row part by row part: its first byte in the blob and the one after its last; equal for a tile of nothing. */
function placesOf(
  fd: number,
  blob: Blob,
  rows: Float64Array,
  cols: Float64Array,
  byRows: boolean,
): Float64Array | string {
  const [down, across] = [rows.length - 1, cols.length - 1];
  const places = new Float64Array(2 * down * across);
  const isEmpty = (tile: number): boolean => {
    const [r, c] = [Math.floor(tile / across), tile % across];
    return rows[r] === rows[r + 1] || cols[c] === cols[c + 1];
  };
  const order = Array.from({ length: down * across }, (_, at) =>
    byRows ? at : (at % down) * across + Math.floor(at / down),
  ).filter((tile) => !isEmpty(tile));
  const head = new Uint8Array(4 * (order.length + 1));
  if (head.length > blob.bytes || readSync(fd, head, 0, head.length, blob.offset) !== head.length)
    return `expected a table of ${head.length} bytes, found ${blob.bytes} in all`;
  const view = new DataView(head.buffer);
  const entry = (n: number): number => head.length + 2 * view.getUint32(4 * n, true);
  if (entry(0) !== head.length) return `expected tiles from byte ${head.length} on, found ${entry(0)}`;
  for (const [n, tile] of order.entries()) {
    const [start, end] = [entry(n), entry(n + 1)];
    if (end <= start || end > blob.bytes)
      return `expected tile ${n} inside ${blob.bytes} bytes, found ${start} to ${end}`;
    places[2 * tile] = start;
    places[2 * tile + 1] = end;
  }
  const last = entry(order.length);
  return last === blob.bytes ? places : `expected tiles of ${blob.bytes} bytes, found ${last}`;
}

/** The bits of an element that is left out: those of +0, or the code of the zero point of its group; -1 where no code is zero. */
type ZeroAt = (row: number, col: number) => number;

function zeroUnits(c: Constant, flip: number): ZeroAt {
  if (!isQuantized(c)) return () => 0;
  const { zeros, block, phase } = c.quantization;
  const bits = DTYPE_BITS[c.stored];
  const least = c.stored.startsWith('i') ? -(2 ** (bits - 1)) : 0;
  const isCode = (z: number): boolean =>
    /^[iu]\d+$/.test(c.stored) ? Number.isInteger(z) && z >= least && z < least + 2 ** bits : z === 0;
  const codeOf = (z: number): number => (isCode(z) ? (z & (2 ** bits - 1)) ^ flip : -1);
  if (typeof zeros === 'number') return () => codeOf(zeros);
  const { data, shape } = readConstant(zeros);
  return (row, col) =>
    codeOf(data[Math.floor((row + phase[0]) / block[0]) * shape[1] + Math.floor((col + phase[1]) / block[1])]);
}

interface Wanted {
  readonly units: Uint8Array;
  readonly row: number;
  readonly col: number;
  readonly width: number;
  readonly zeroAt: ZeroAt;
}

/** Where a tile differs. */
function compareOne(
  tile: Uint8Array,
  tensor: ProgramTensor & { readonly sparsity: Sparsity },
  box: { readonly rows: readonly [number, number]; readonly cols: readonly [number, number] },
  wanted: Wanted,
  tables: readonly Table[],
  figures: TileFigures,
): string | undefined {
  const { dtype, coding, sparsity } = tensor;
  const { rows, cols } = box;
  const [height, width] = [rows[1] - rows[0], cols[1] - cols[0]];
  const read = readSparseTile(tile, sparsity, rows[0], height, width);
  if (typeof read === 'string') return `its index: ${read}`;
  const bits = DTYPE_BITS[dtype];
  const size = Math.max(1, bits / 8);
  const rest = read.valuesAt + 2 * Math.ceil((read.count * bits) / 16);
  const dense = { dtype };
  const codes = 2 * Math.ceil((height * width * bits) / 16);
  const tail = coding === undefined ? 0 : codedTileBytes(dense, coding, rows, cols) - codes;
  if (rest + tail !== tile.length) return `a tile of ${tile.length} bytes, of which ${rest + tail} have a meaning`;
  let nonZeros = 0;
  for (let i = 0; i < height; i++)
    for (let j = 0; j < width; j++) {
      const at = ((rows[0] - wanted.row + i) * wanted.width + cols[0] - wanted.col + j) * size;
      const zero = wanted.zeroAt(rows[0] + i, cols[0] + j);
      const value = read.valueOf[i * width + j];
      let isZero = true;
      for (let b = 0; b < size; b++) {
        const unit = wanted.units[at + b];
        if (unit !== zero) isZero = false;
        const found =
          value < 0
            ? zero
            : bits < 8
              ? codeAt(tile, read.valuesAt, value, bits)
              : tile[read.valuesAt + value * size + b];
        if (found !== unit) return `the element at row ${rows[0] + i}, column ${cols[0] + j}`;
      }
      if (!isZero) nonZeros++;
    }
  figures.add(read.count, tile.length, nonZeros);
  return coding === undefined ? undefined : compareTables(tile, rest / 2, coding, box, tables);
}

const codeAt = (tile: Uint8Array, from: number, n: number, bits: number): number =>
  (tile[from + Math.floor((n * bits) / 8)] >>> ((n * bits) % 8)) & (2 ** bits - 1);
