/**
 * What a core does with the bytes of a coded tile: codes, scales and zero points to values, by the definition in
 * ARCHITECTURE.md ("weights.bin") and no code of the writer or of the reference's decoding.
 */
import type { Coding } from '../../ir/coding.ts';
import type { ProgramTensor } from '../../ir/program.ts';
import { DTYPE_BITS, type DType, isFloat } from '../../ir/types.ts';
import { roundTo, unpack } from '../../tensor/pack.ts';
import type { Cores, Ranges, Spread } from './geometry.ts';

/** Elements `start <= i < end` of a dim, and the first group they touch and the one after the last. */
interface Span {
  readonly start: number;
  readonly end: number;
  readonly firstGroup: number;
  readonly endGroup: number;
}

/** Decodes the tile of every core into `tiles`. Returns the bytes that all tiles take together, which `blob` must have. */
export function unpackTiles(
  blob: Uint8Array,
  { dtype, layout }: ProgramTensor,
  coding: Coding,
  tiles: Spread,
  cores: Cores,
): number {
  const [rows, columns] = [0, 1].map((d) => spansOf(tiles.ranges[d], coding.block[d], coding.phase[d]));
  const byColumns = layout.dims[1].includes('y');
  const places = new Map<string, Tile>();
  let at = 0;
  for (const outer of byColumns ? columns : rows)
    for (const inner of byColumns ? rows : columns) {
      const tile = tileAt(at, dtype, coding, byColumns ? [inner, outer] : [outer, inner]);
      places.set(`${tile.rows.start} ${tile.columns.start}`, tile);
      at = tile.end;
    }
  const decoded = new Map<Tile, Float32Array>();
  for (let core = 0; core < cores.count && at <= blob.length; core++) {
    const [r, c] = tiles.ranges;
    if (r.size[core] === 0 || c.size[core] === 0) continue;
    const tile = places.get(`${r.start[core]} ${c.start[core]}`);
    if (tile === undefined) throw new Error(`core ${core} holds a tile that is in no part`);
    // Replicas are stored once.
    const values = decoded.get(tile) ?? decode(blob, tile, dtype, coding);
    decoded.set(tile, values);
    tiles.data.set(values, core * tiles.stride);
  }
  return at;
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

/** Where a tile and its sections begin; each section ends on an even byte. */
interface Tile {
  readonly rows: Span;
  readonly columns: Span;
  readonly codes: number;
  readonly scales: number;
  readonly tensorScale: number;
  readonly zeros: number;
  readonly end: number;
}

function tileAt(at: number, dtype: DType, coding: Coding, [rows, columns]: readonly Span[]): Tile {
  const elements = (rows.end - rows.start) * (columns.end - columns.start);
  const groups = (rows.endGroup - rows.firstGroup) * (columns.endGroup - columns.firstGroup);
  const after = (from: number, type: DType | number | null, count: number): number =>
    type === null || typeof type === 'number' ? from : from + 2 * Math.ceil((count * DTYPE_BITS[type]) / 16);
  const scales = after(at, dtype, elements);
  const tensorScale = after(scales, coding.scale, groups);
  const zeros = after(tensorScale, coding.tensorScale, 1);
  return { rows, columns, codes: at, scales, tensorScale, zeros, end: after(zeros, coding.zero, groups) };
}

function decode(blob: Uint8Array, tile: Tile, dtype: DType, coding: Coding): Float32Array {
  const { rows, columns } = tile;
  const across = columns.endGroup - columns.firstGroup;
  const groups = (rows.endGroup - rows.firstGroup) * across;
  const scales = Float32Array.from(numbers(blob, tile.scales, coding.scale, groups));
  if (coding.tensorScale !== null) {
    const [factor] = numbers(blob, tile.tensorScale, coding.tensorScale, 1);
    for (let g = 0; g < groups; g++) scales[g] *= factor;
  }
  const { zero, block, phase } = coding;
  const zeros = typeof zero === 'number' ? undefined : numbers(blob, tile.zeros, zero, groups);
  const codes = numbers(blob, tile.codes, dtype, (rows.end - rows.start) * (columns.end - columns.start));
  const out = new Float32Array(codes.length);
  let n = 0;
  for (let i = rows.start; i < rows.end; i++) {
    const row = (Math.floor((i + phase[0]) / block[0]) - rows.firstGroup) * across - columns.firstGroup;
    for (let j = columns.start; j < columns.end; j++, n++) {
      const group = row + Math.floor((j + phase[1]) / block[1]);
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
