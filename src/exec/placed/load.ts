/** Reads a stage's tiles from weights.bin, by the definition in ARCHITECTURE.md and no code of the writer. */
import { readSync } from 'node:fs';
import { fail } from '../../diag/diagnostic.ts';
import type { ProgramTensor } from '../../ir/program.ts';
import { bytesFor } from '../../ir/types.ts';
import type { Blob } from '../../plan/types.ts';
import { unpack } from '../../tensor/pack.ts';
import { type Cores, type Spread, spread } from './geometry.ts';
import { unpackTiles } from './unpack.ts';

/** The tiles of one weight on all cores that hold a replica. */
export function loadWeight(fd: number, blob: Blob, tensor: ProgramTensor, cores: Cores): Spread {
  const tiles = spread(cores, tensor);
  const bytes = new Uint8Array(blob.bytes);
  const got = readSync(fd, bytes, 0, blob.bytes, blob.offset);
  if (got !== blob.bytes) {
    fail({
      code: 'plan/truncated',
      message: `weights.bin ends inside ${blob.name}: expected ${blob.bytes} bytes at ${blob.offset}, found ${got}`,
    });
  }
  const wrongSize = (what: string, expected: number): never =>
    fail({ code: 'plan/blob-size', message: `${blob.name} has ${blob.bytes} bytes, but ${what} needs ${expected}` });
  if (tensor.coding !== undefined || tensor.sparsity !== undefined) {
    const expected = unpackTiles(bytes, tensor, tiles, cores);
    const rest = tensor.sparsity === undefined ? 'with its scales' : 'without its zeros';
    if (expected !== blob.bytes) wrongSize(`${tensor.dtype}[${tensor.shape}] ${rest}`, expected);
    return tiles;
  }
  const elements = tensor.shape.reduce((a, b) => a * b, 1);
  const expected = bytesFor(tensor.dtype, elements);
  if (expected !== blob.bytes) wrongSize(`${tensor.dtype}[${tensor.shape}]`, expected);
  const values = unpack(tensor.dtype, bytes, elements);
  const [rowsExtent, colsExtent] = tensor.shape;
  const columnsFirst = tensor.layout.dims[1].includes('y');
  const [rows, cols] = tiles.ranges;
  for (let core = 0; core < cores.count; core++) {
    const [r, h] = [rows.start[core], rows.size[core]];
    const [c, w] = [cols.start[core], cols.size[core]];
    // Tiles before this one: everything above (left of) it in the outer loop, then its own band.
    const before = columnsFirst ? c * rowsExtent + r * w : r * colsExtent + c * h;
    for (let i = 0; i < h * w; i++) tiles.data[core * tiles.stride + i] = values[before + i];
  }
  return tiles;
}
