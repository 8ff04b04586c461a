/**
 * Coverage of a quantized weight: codes, scales and zero points of every tile of weights.bin against those of the constant,
 * byte for byte. Nothing is decoded: equal codes and scales are equal values. Own code from the definition of the format on.
 */
import { readSync } from 'node:fs';
import type { Coding } from '../ir/coding.ts';
import { type Constant, isQuantized, type Quantized } from '../ir/constant.ts';
import type { ProgramTensor, RegionShape } from '../ir/program.ts';
import { DTYPE_BITS } from '../ir/types.ts';
import type { Blob } from '../plan/types.ts';
import { readUnits } from '../tensor/codes.ts';
import { readConstant } from '../tensor/read.ts';
import { unpackCodes } from '../tensor/sub-byte.ts';
import { firstDifference } from './tile-bytes.ts';
import { blocksOf } from './tile-blocks.ts';
import { codedTileBytes } from './tile-sizes.ts';
import { cutsOf } from './tile-table.ts';

/** What differs, in words: `file` where the file cannot hold the tiles, else the contents. */
export interface CodedFault {
  readonly rule: 'C1' | 'C2' | 'C3';
  readonly message: string;
}

/** Compares the tiles of `blob` with `constant`; undefined when all are equal. */
export function compareCoded(
  fd: number,
  blob: Blob,
  tensor: ProgramTensor,
  coding: Coding,
  region: RegionShape,
  constant: Constant,
): CodedFault | undefined {
  const mismatch = codingMismatch(tensor, coding, constant);
  if (mismatch !== undefined) return { rule: 'C1', message: mismatch };
  if (!isQuantized(constant)) throw new Error('a constant without codes has no coding');
  const faults: string[] = [];
  const [rows, cols] = tensor.shape.map((extent, d) => cutsOf(extent, tensor.layout.dims[d], region, faults));
  if (faults.length > 0) return { rule: 'C2', message: faults[0] };
  const byRows = !tensor.layout.dims[1].includes('y');
  const across = cols.length - 1;
  const starts = new Float64Array((rows.length - 1) * across + 1);
  const order = byRows
    ? (at: number): number => at
    : (at: number): number => (at % (rows.length - 1)) * across + Math.floor(at / (rows.length - 1));
  let end = 0;
  for (let at = 0; at + 1 < starts.length; at++) {
    const tile = order(at);
    const [r, c] = [Math.floor(tile / across), tile % across];
    starts[tile] = end;
    end += codedTileBytes(tensor, coding, [rows[r], rows[r + 1]], [cols[c], cols[c + 1]]);
  }
  if (end !== blob.bytes) return { rule: 'C2', message: `expected tiles of ${blob.bytes} bytes, found ${end}` };
  const tables = tablesOf(constant, coding);
  const flip = signBit(tensor, coding, constant);
  const differing: string[] = [];
  for (const { r0, r1, c0, c1 } of blocksOf(rows, cols, byRows, DTYPE_BITS[tensor.dtype])) {
    const sizes = [rows[r1] - rows[r0], cols[c1] - cols[c0]];
    if (sizes[0] * sizes[1] === 0) continue;
    const codes = readUnits(constant, [rows[r0], cols[c0]], sizes);
    if (flip !== 0) for (let i = 0; i < codes.length; i++) codes[i] ^= flip;
    const wanted = { codes, row: rows[r0], col: cols[c0], width: sizes[1] };
    for (let r = r0; r < r1; r++)
      for (let c = c0; c < c1; c++) {
        const box = { rows: [rows[r], rows[r + 1]], cols: [cols[c], cols[c + 1]] } as const;
        const bytes = new Uint8Array(codedTileBytes(tensor, coding, box.rows, box.cols));
        if (bytes.length === 0) continue;
        const got = readSync(fd, bytes, 0, bytes.length, blob.offset + starts[r * across + c]);
        if (got !== bytes.length)
          return { rule: 'C2', message: `expected ${bytes.length} bytes of a tile in weights.bin, found ${got}` };
        const what = compareTile(bytes, tensor, coding, box, wanted, tables);
        if (what !== undefined) differing.push(what);
      }
  }
  if (differing.length === 0) return undefined;
  const tiles = differing.length === 1 ? '1 tile differs' : `${differing.length} tiles differ`;
  return { rule: 'C3', message: `${tiles} of ${starts.length - 1}; the first in ${differing[0]}` };
}

/** What keeps the constant from being the weight that the plan describes. */
export function codingMismatch({ dtype, shape }: ProgramTensor, coding: Coding, c: Constant): string | undefined {
  if (!isQuantized(c)) return `expected ${dtype} codes with scales, found a dense ${c.stored}[${c.shape}]`;
  const { scales, zeros, block, phase, rounded } = c.quantization;
  const groups = (b: readonly number[]): string => shape.map((n, d) => Math.min(b[d], n + phase[d])).join(' x ');
  const moved = signBit({ dtype }, coding, c) !== 0;
  const pairs: [what: string, expected: unknown, found: unknown][] = [
    ['elements', `${dtype}[${shape}]`, `${moved ? dtype : c.stored}[${c.shape}]`],
    ['scales of type', coding.scale, scales.stored],
    ['a scale of scales of type', coding.tensorScale, scales.quantization?.scales.stored ?? null],
    ['zero points', coding.zero, moved ? 0 : zeroOf(zeros, coding)],
    ['groups of', groups(coding.block), groups(block)],
    ['first groups short of', coding.phase.join(), phase.join()],
    ['values rounded to', coding.rounded, rounded],
  ];
  const wrong = pairs.find(([, expected, found]) => expected !== found);
  return wrong && `expected ${wrong[0]} ${String(wrong[1])}, found ${String(wrong[2])}`;
}

/** The type of the zero points; the number that all are, where the plan has one number. */
function zeroOf(zeros: Constant | number, { zero }: Coding): unknown {
  if (typeof zeros === 'number' || typeof zero !== 'number') return typeof zeros === 'number' ? zeros : zeros.stored;
  const different = readConstant(zeros).data.find((z) => z !== zero);
  return different ?? zero;
}

/**
 * The sign bit of a code where the model has signed codes as unsigned ones around the middle, as MatMulNBits does: the same
 * numbers with another first bit. 0 where codes are those of the plan.
 */
export function signBit({ dtype }: Pick<ProgramTensor, 'dtype'>, { zero }: Coding, c: Quantized): number {
  const bits = DTYPE_BITS[dtype];
  const middle = 2 ** (bits - 1);
  return dtype.startsWith('i') && c.stored === `u${bits}` && c.quantization.zeros === middle && zero === 0 ? middle : 0;
}

/** All scales, the scale of scales, all zero points, as the model stores them: bytes each, or codes, one a byte. */
export interface Table {
  readonly what: string;
  readonly bits: number;
  readonly units: Uint8Array;
  /** Entries of a row of groups; 0 where one entry serves all. */
  readonly width: number;
}

export function tablesOf({ quantization: { scales, zeros } }: Quantized, coding: Coding): Table[] {
  const table = (what: string, c: Constant, width: number): Table => {
    const units = readUnits(
      c,
      c.shape.map(() => 0),
      c.shape,
    );
    return { what, bits: DTYPE_BITS[c.stored], units, width };
  };
  const outer = scales.quantization?.scales;
  return [
    table('its scales', scales, scales.shape[1]),
    ...(coding.tensorScale !== null && outer !== undefined ? [table('its scale of scales', outer, 0)] : []),
    ...(typeof zeros === 'number' || typeof coding.zero === 'number'
      ? []
      : [table('its zero points', zeros, zeros.shape[1])]),
  ];
}

interface Box {
  readonly rows: readonly [number, number];
  readonly cols: readonly [number, number];
}

/** The first section of a tile that differs, and where. */
function compareTile(
  tile: Uint8Array,
  { dtype }: ProgramTensor,
  coding: Coding,
  { rows, cols }: Box,
  wanted: { readonly codes: Uint8Array; readonly row: number; readonly col: number; readonly width: number },
  tables: readonly Table[],
): string | undefined {
  const [height, width] = [rows[1] - rows[0], cols[1] - cols[0]];
  const from = (rows[0] - wanted.row) * wanted.width + cols[0] - wanted.col;
  const codes = sectionOf(tile, 0, DTYPE_BITS[dtype], height * width);
  const code = firstDifference(
    { found: codes, at: 0, wanted: wanted.codes, from, stride: wanted.width, height, width },
    8,
  );
  if (code >= 0) return `the code at row ${rows[0] + Math.floor(code / width)}, column ${cols[0] + (code % width)}`;
  return compareTables(tile, Math.ceil((height * width * DTYPE_BITS[dtype]) / 16), coding, { rows, cols }, tables);
}

/** The first table of a tile, from its 16-bit word `word` on, that differs, and where. */
export function compareTables(
  tile: Uint8Array,
  from: number,
  { block, phase }: Coding,
  { rows, cols }: Box,
  tables: readonly Table[],
): string | undefined {
  const group = (i: number, d: 0 | 1): number => Math.floor((i + phase[d]) / block[d]);
  const [g0, h0] = [group(rows[0], 0), group(cols[0], 1)];
  const [down, across] = [group(rows[1] - 1, 0) - g0 + 1, group(cols[1] - 1, 1) - h0 + 1];
  let word = from;
  for (const { what, bits, units, width: entries } of tables) {
    const one = entries === 0;
    const [r, c] = one ? [1, 1] : [down, across];
    // Scales of several bytes are compared as bytes: they may lie on any 16-bit word.
    const wide = Math.max(1, bits / 8);
    const found = sectionOf(tile, word * 2, bits, r * c);
    const place = { from: (one ? 0 : g0 * entries + h0) * wide, stride: entries * wide, height: r, width: c * wide };
    const differs = firstDifference({ found, at: 0, wanted: units, ...place }, 8);
    if (differs >= 0) {
      const entry = Math.floor(differs / wide);
      return `${what}, of the group at ${g0 + Math.floor(entry / c)}, ${h0 + (entry % c)}`;
    }
    word += Math.ceil((r * c * bits) / 16);
  }
  return undefined;
}

/** `count` elements of a tile from byte `at` on: codes, one a byte, or the bytes of wider ones. */
const sectionOf = (tile: Uint8Array, at: number, bits: number, count: number): Uint8Array =>
  bits < 8 ? unpackCodes(bits, tile.subarray(at), 0, count) : tile.subarray(at, at + (count * bits) / 8);
