/**
 * What a core does with the bytes of a coded or sparse tile: codes, scales and zero points to values, by the definition in
 * ARCHITECTURE.md ("weights.bin") and no code of the writer or of the reference's decoding.
 */
import type { Coding } from '../../ir/coding.ts';
import type { ProgramTensor } from '../../ir/program.ts';
import type { Sparsity } from '../../ir/sparsity.ts';
import { DTYPE_BITS, type DType, isFloat } from '../../ir/types.ts';
import { roundTo, unpack } from '../../tensor/pack.ts';
import { expandTile } from './expand.ts';
import type { Cores, Ranges, Spread } from './geometry.ts';

/** Elements `start <= i < end` of a dim, and the first group they touch and the one after the last. */
interface Span {
  readonly start: number;
  readonly end: number;
  readonly firstGroup: number;
  readonly endGroup: number;
}

/** Values of one tile, row by row. */
type Decode = (tile: Uint8Array, rows: Span, columns: Span) => Float32Array;

/**
 * Decodes the tile of every core into `tiles`. Returns the bytes that all tiles take together, with the table of sparse ones: what `blob` must
 * have.
 */
export function unpackTiles(blob: Uint8Array, tensor: ProgramTensor, tiles: Spread, cores: Cores): number {
  const { dtype, layout, coding, sparsity } = tensor;
  const [rows, columns] = [0, 1].map((d) => spansOf(tiles.ranges[d], coding?.block[d] ?? 1, coding?.phase[d] ?? 0));
  const byColumns = layout.dims[1].includes('y');
  const places = new Map<string, Place>();
  const count = rows.length * columns.length;
  const table = new DataView(blob.buffer, blob.byteOffset, blob.byteLength);
  // Where a sparse tile ends, only the table says.
  const first = sparsity === undefined ? 0 : 4 * (count + 1);
  if (first > blob.length) return first;
  let [at, n] = [first, 0];
  for (const outer of byColumns ? columns : rows)
    for (const inner of byColumns ? rows : columns) {
      const [r, c] = byColumns ? [inner, outer] : [outer, inner];
      const end =
        sparsity === undefined ? at + tileBytes(dtype, coding, r, c) : first + 2 * table.getUint32(4 * (n + 1), true);
      places.set(`${r.start} ${c.start}`, { rows: r, columns: c, start: at, end });
      at = end;
      n++;
    }
  const decode: Decode = (tile, r, c) => {
    const whole = sparsity === undefined ? tile : wholeTile(tile, tensor, sparsity, r, c);
    if (coding !== undefined) return decodeTile(whole, dtype, coding, r, c);
    return Float32Array.from(unpack(dtype, whole, (r.end - r.start) * (c.end - c.start)));
  };
  const decoded = new Map<Place, Float32Array>();
  for (let core = 0; core < cores.count && at <= blob.length; core++) {
    const [r, c] = tiles.ranges;
    if (r.size[core] === 0 || c.size[core] === 0) continue;
    const place = places.get(`${r.start[core]} ${c.start[core]}`);
    if (place === undefined) throw new Error(`core ${core} holds a tile that is in no part`);
    // Replicas are stored once.
    const values = decoded.get(place) ?? decode(blob.subarray(place.start, place.end), place.rows, place.columns);
    decoded.set(place, values);
    tiles.data.set(values, core * tiles.stride);
  }
  return at;
}

interface Place {
  readonly rows: Span;
  readonly columns: Span;
  readonly start: number;
  readonly end: number;
}

/** A sparse tile as it would be with all of its elements. */
function wholeTile(
  tile: Uint8Array,
  { dtype, coding }: ProgramTensor,
  sparsity: Sparsity,
  rows: Span,
  columns: Span,
): Uint8Array {
  const box = { row: rows.start, rows: rows.end - rows.start, columns: columns.end - columns.start };
  const bits = DTYPE_BITS[dtype];
  if (coding === undefined) return expandTile(tile, sparsity, box, bits, undefined).packed;
  const groupOf = groupsOf(coding, rows, columns);
  const { packed, rest } = expandTile(tile, sparsity, box, bits, (from) => {
    const { zeros } = sectionsOf(from, coding, groupOf.count);
    const points = typeof coding.zero === 'number' ? undefined : numbers(tile, zeros, coding.zero, groupOf.count);
    return (element) => {
      const group = groupOf.at(Math.floor(element / box.columns), element % box.columns);
      // As bits of a code; a zero point that is no code stands for no element that was left out.
      return Number(points === undefined ? coding.zero : points[group]) & (2 ** bits - 1);
    };
  });
  const whole = new Uint8Array(packed.length + tile.length - rest);
  whole.set(packed);
  whole.set(tile.subarray(rest), packed.length);
  return whole;
}

/** The parts of a dim that hold something, in order. */
function spansOf({ start, size }: Ranges, block: number, phase: number): Span[] {
  const sizes = new Map<number, number>();
  for (let core = 0; core < start.length; core++) if (size[core] > 0) sizes.set(start[core], size[core]);
  return [...sizes]
    .sort(([a], [b]) => a - b)
    .map(([from, n]) => ({
      start: from,
      end: from + n,
      firstGroup: Math.floor((from + phase) / block),
      endGroup: Math.floor((from + n - 1 + phase) / block) + 1,
    }));
}

/** Groups that a tile touches, row-major, and the one of an element. */
function groupsOf(
  { block, phase }: Coding,
  rows: Span,
  columns: Span,
): { readonly count: number; at(row: number, column: number): number } {
  const across = columns.endGroup - columns.firstGroup;
  return {
    count: (rows.endGroup - rows.firstGroup) * across,
    at: (row, column) =>
      (Math.floor((rows.start + row + phase[0]) / block[0]) - rows.firstGroup) * across +
      (Math.floor((columns.start + column + phase[1]) / block[1]) - columns.firstGroup),
  };
}

/** Bytes of a section: it ends on an even byte. */
const sectionBytes = (type: DType | number | null, count: number): number =>
  type === null || typeof type === 'number' ? 0 : 2 * Math.ceil((count * DTYPE_BITS[type]) / 16);

/** Where the sections behind the codes begin, and where the last one ends. */
function sectionsOf(
  scales: number,
  coding: Coding,
  groups: number,
): { readonly scales: number; readonly tensorScale: number; readonly zeros: number; readonly end: number } {
  const tensorScale = scales + sectionBytes(coding.scale, groups);
  const zeros = tensorScale + sectionBytes(coding.tensorScale, 1);
  return { scales, tensorScale, zeros, end: zeros + sectionBytes(coding.zero, groups) };
}

function tileBytes(dtype: DType, coding: Coding | undefined, rows: Span, columns: Span): number {
  const elements = (rows.end - rows.start) * (columns.end - columns.start);
  if (coding === undefined) return Math.ceil((elements * DTYPE_BITS[dtype]) / 8);
  return sectionsOf(sectionBytes(dtype, elements), coding, groupsOf(coding, rows, columns).count).end;
}

function decodeTile(tile: Uint8Array, dtype: DType, coding: Coding, rows: Span, columns: Span): Float32Array {
  const [height, width] = [rows.end - rows.start, columns.end - columns.start];
  const groups = groupsOf(coding, rows, columns);
  const at = sectionsOf(sectionBytes(dtype, height * width), coding, groups.count);
  const scales = Float32Array.from(numbers(tile, at.scales, coding.scale, groups.count));
  if (coding.tensorScale !== null) {
    const [factor] = numbers(tile, at.tensorScale, coding.tensorScale, 1);
    for (let g = 0; g < groups.count; g++) scales[g] *= factor;
  }
  const { zero } = coding;
  const zeros = typeof zero === 'number' ? undefined : numbers(tile, at.zeros, zero, groups.count);
  const codes = numbers(tile, 0, dtype, height * width);
  const out = new Float32Array(codes.length);
  const across = Int32Array.from({ length: width }, (_, j) => groups.at(0, j) - groups.at(0, 0));
  for (let i = 0, n = 0; i < height; i++) {
    const first = groups.at(i, 0);
    for (let j = 0; j < width; j++, n++) {
      const group = first + across[j];
      const offset = zeros === undefined ? Number(zero) : zeros[group];
      out[n] = Math.fround(codes[n] - offset) * scales[group];
    }
  }
  return roundTo(coding.rounded, out);
}

/** `count` numbers from byte `at` on: integers of 2, 4 and 8 bits by shifts and masks, floats by their tables. */
function numbers(blob: Uint8Array, at: number, type: DType, count: number): ArrayLike<number> & Iterable<number> {
  const bits = DTYPE_BITS[type];
  if (isFloat(type)) return unpack(type, blob.subarray(at, at + Math.ceil((count * bits) / 8)), count);
  const perByte = 8 / bits;
  const sign = type.startsWith('i') ? 2 ** (bits - 1) : 0;
  const out = new Int16Array(count);
  for (let i = 0; i < count; i++) {
    const code = (blob[at + Math.floor(i / perByte)] >> ((i % perByte) * bits)) & (2 ** bits - 1);
    out[i] = code >= sign && sign > 0 ? code - 2 * sign : code;
  }
  return out;
}
