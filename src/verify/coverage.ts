/**
 * weights.bin holds the model: every weight is put together again from its tiles and compared with the constant it was
 * made of. Own code from the definition of the format on; blocks of some MB at a time.
 *
 * C1: every weight is a constant of the model, of the same elements
 * C2: every element of a weight is in exactly one tile, and the file has all tiles
 * C3: the elements of every tile are those of the constant, byte for byte
 * C4: sparse tiles have the bytes, values and non-zeros that the plan states: no tile more, and one as many
 */
import { closeSync, openSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Diagnostic } from '../diag/diagnostic.ts';
import {
  bytesSource,
  type Constant,
  denseConstant,
  elementCount,
  isQuantized,
  reshapeConstant,
} from '../ir/constant.ts';
import { bytesFor, DTYPE_BITS } from '../ir/types.ts';
import type { Blob, Plan } from '../plan/types.ts';
import { readPacked } from '../tensor/read.ts';
import { compareCoded } from './coded-coverage.ts';
import { compareSparse, TileFigures } from './sparse-coverage.ts';
import { type Block, blocksOf } from './tile-blocks.ts';
import { firstDifference, readElementsAt } from './tile-bytes.ts';
import { type TileTable, tileTable } from './tile-table.ts';
import { asWoven } from './woven.ts';

/** Largest constant that is copied because no view of it has the weight's shape. */
const COPY_BYTES = 256 * 2 ** 20;

/** The constant that a weight of a stage holds, as the model has it. */
export type WeightOf = (stage: number, weight: number) => Constant | undefined;

/** One error for every weight that cannot be recovered; empty when all can, and for a plan made without weights. */
export function checkCoverage(plan: Plan, folder: string, weightOf: WeightOf): Diagnostic[] {
  if (plan.weights.sha256 === null) return [];
  const path = join(folder, 'weights.bin');
  if (statSync(path, { throwIfNoEntry: false })?.isFile() !== true)
    return [broken('C2', `expected the tiles of the plan in ${path}, found no such file`)];
  const found: Diagnostic[] = [];
  const tables = new Map<string, TileTable>();
  const figures = new Map<string, { readonly what: string; readonly tiles: TileFigures }>();
  const fd = openSync(path, 'r');
  try {
    for (const [s, stage] of plan.stages.entries()) {
      const { program } = plan.templates[stage.template];
      for (const [w, blob] of stage.weights.entries()) {
        const tensor = program.tensors[program.weights[w]];
        const { shape, layout, coding, sparsity } = tensor;
        const what = `weight ${blob.name} of stage ${stage.name}`;
        if (sparsity !== undefined) {
          const constant = weightOf(s, w);
          const key = `${stage.template} ${w}`;
          const known = figures.get(key) ?? { what, tiles: new TileFigures(sparsity) };
          figures.set(key, known);
          const fault = constant
            ? compareSparse(fd, blob, { ...tensor, sparsity }, program.shape, constant, known.tiles)
            : ({ rule: 'C1', message: 'expected a constant of the model, found none' } as const);
          if (fault !== undefined) found.push(broken(fault.rule, `${what}: ${fault.message}`));
          continue;
        }
        if (coding !== undefined) {
          const constant = weightOf(s, w);
          const fault = constant
            ? compareCoded(fd, blob, tensor, coding, program.shape, constant)
            : ({ rule: 'C1', message: 'expected a constant of the model, found none' } as const);
          if (fault !== undefined) found.push(broken(fault.rule, `${what}: ${fault.message}`));
          continue;
        }
        if (shape.length > 2) {
          found.push(broken('C2', `${what}: expected rows and columns, found rank ${shape.length}`));
          continue;
        }
        const extents: readonly [number, number] = [shape.length === 2 ? shape[0] : 1, shape.at(-1) ?? 1];
        const plain = viewOf(weightOf(s, w), blob, extents);
        const view = typeof plain === 'string' ? plain : asWoven(plain, layout.woven);
        if (typeof view === 'string') {
          found.push(broken('C1', `${what}: ${view}`));
          continue;
        }
        const key = `${stage.template} ${w}`;
        const table = tables.get(key) ?? tileTable(extents, layout, program.shape);
        tables.set(key, table);
        const fault = table.faults[0] ?? compareWeight({ fd, blob, view, table });
        if (typeof fault === 'string') found.push(broken('C2', `${what}: ${fault}`));
        else if (fault !== undefined)
          found.push(broken('C3', `${what}: ${describe(fault, table, program.shape.width)}`));
      }
    }
  } finally {
    closeSync(fd);
  }
  if (found.length > 0) return found;
  for (const { what, tiles } of figures.values()) {
    const fault = tiles.fault();
    if (fault !== undefined) found.push(broken(fault.rule, `${what}: ${fault.message}`));
  }
  return found;
}

const broken = (rule: string, message: string): Diagnostic => ({
  code: `verify/${rule}`,
  severity: 'error',
  message,
  where: 'weights.bin',
});

/** The constant with the weight's rows and columns, or what keeps it from being the weight. */
function viewOf(
  constant: Constant | undefined,
  { dtype }: Blob,
  extents: readonly [number, number],
): Constant | string {
  if (constant === undefined) return 'expected a constant of the model, found none';
  if (isQuantized(constant)) return `expected a dense ${dtype}[${extents}], found ${constant.stored} codes with scales`;
  const { stored, shape } = constant;
  const [is, want] = [`${stored}[${shape}]`, `${dtype}[${extents}]`];
  if (stored !== dtype || elementCount(shape) !== extents[0] * extents[1])
    return `expected the elements of ${want}, found ${is}`;
  const view = reshapeConstant(constant, extents);
  if (view !== undefined) return view;
  const bytes = bytesFor(stored, elementCount(shape));
  if (bytes > COPY_BYTES) return `expected a view of ${is} as ${want}, found that it needs a copy of ${bytes} bytes`;
  const copy = new Uint8Array(bytes);
  readPacked(
    constant,
    shape.map(() => 0),
    [...shape],
    copy,
  );
  return denseConstant(stored, extents, bytesSource(constant.source.label, copy));
}

interface Weight {
  readonly fd: number;
  readonly blob: Blob;
  readonly view: Constant;
  readonly table: TileTable;
}

interface Mismatch {
  /** Tiles that differ. */
  tiles: number;
  /** Of the first one. */
  readonly tile: number;
  readonly row: number;
  readonly col: number;
}

/** What differs, or a text when the file does not have all of it. */
function compareWeight(weight: Weight): Mismatch | string | undefined {
  let first: Mismatch | undefined;
  const { rows, cols, owners } = weight.table;
  const [down, across] = [rows.length - 1, cols.length - 1];
  const byRows = across === 1 || down === 1 || owners[1] <= owners[across];
  for (const block of blocksOf(rows, cols, byRows, DTYPE_BITS[weight.blob.dtype])) {
    const found = compareBlock(weight, block);
    if (typeof found === 'string') return found;
    if (first === undefined) first = found;
    else first.tiles += found?.tiles ?? 0;
  }
  return first;
}

function compareBlock({ fd, blob, view, table }: Weight, { r0, r1, c0, c1 }: Block): Mismatch | string | undefined {
  const { rows, cols, offsets } = table;
  const across = cols.length - 1;
  const sizes = [rows[r1] - rows[r0], cols[c1] - cols[c0]];
  const count = sizes[0] * sizes[1];
  if (count === 0) return undefined;
  const wanted = new Uint8Array(bytesFor(view.stored, count));
  readPacked(view, [rows[r0], cols[c0]], sizes, wanted);
  const tiles: number[] = [];
  let [low, high] = [Number.POSITIVE_INFINITY, 0];
  for (let r = r0; r < r1; r++)
    for (let c = c0; c < c1; c++) {
      const elements = (rows[r + 1] - rows[r]) * (cols[c + 1] - cols[c]);
      if (elements === 0) continue;
      const tile = r * across + c;
      tiles.push(tile);
      low = Math.min(low, offsets[tile]);
      high = Math.max(high, offsets[tile] + elements);
    }
  // Tiles that do not lie together are read one by one.
  const together = high - low === count;
  const all = together ? readElementsAt(fd, blob, low, count) : undefined;
  if (typeof all === 'string') return all;
  let first: Mismatch | undefined;
  for (const tile of tiles) {
    const [r, c] = [Math.floor(tile / across), tile % across];
    const [height, width] = [rows[r + 1] - rows[r], cols[c + 1] - cols[c]];
    const own = all ?? readElementsAt(fd, blob, offsets[tile], height * width);
    if (typeof own === 'string') return own;
    const at = own.skip + offsets[tile] - (all === undefined ? offsets[tile] : low);
    const from = (rows[r] - rows[r0]) * sizes[1] + cols[c] - cols[c0];
    const differs = firstDifference(
      { found: own.bytes, at, wanted, from, stride: sizes[1], height, width },
      DTYPE_BITS[view.stored],
    );
    if (differs < 0) continue;
    if (first !== undefined) first.tiles++;
    else first = { tiles: 1, tile, row: rows[r] + Math.floor(differs / width), col: cols[c] + (differs % width) };
  }
  return first;
}

function describe({ tiles, tile, row, col }: Mismatch, { owners }: TileTable, width: number): string {
  const [x, y] = [owners[tile] % width, Math.floor(owners[tile] / width)];
  const others = tiles === 1 ? '1 tile differs' : `${tiles} tiles differ`;
  return `${others} of ${owners.length}; the first is that of core (${x},${y}) of the region, at row ${row}, column ${col}`;
}
