/** Sparse tiles of weights.bin read back for comparison, from the definition in ARCHITECTURE.md alone: where the value of each element stands. */
import type { Sparsity } from '../ir/sparsity.ts';

export interface ReadTile {
  /** By element, row-major: which of the stored values it is, -1 for none. */
  readonly valueOf: Int32Array;
  /** Values stored. */
  readonly count: number;
  /** Byte of the tile at which they begin. */
  readonly valuesAt: number;
}

/** A bit stream, low bits first. */
const bitsAt = (bytes: Uint8Array, bit: number, count: number): number => {
  let value = 0;
  for (let b = 0; b < count; b++) value |= ((bytes[(bit + b) >>> 3] >>> ((bit + b) & 7)) & 1) << b;
  return value;
};

const words = (bytes: number): number => bytes + (bytes & 1);

/** The index of a tile whose first row of the weight is `row`; or what is wrong with it. */
export function readSparseTile(
  tile: Uint8Array,
  { kind, keep, of }: Pick<Sparsity, 'kind' | 'keep' | 'of'>,
  row: number,
  rows: number,
  columns: number,
): ReadTile | string {
  const valueOf = new Int32Array(rows * columns).fill(-1);
  let count = 0;
  let fault: string | undefined;
  const store = (element: number, value: number): void => {
    if (element >= valueOf.length) fault = `expected elements of ${valueOf.length}, found ${element}`;
    else if (valueOf[element] >= 0) fault = `expected an element once, found ${element} again`;
    else valueOf[element] = value;
    count++;
  };
  const low = (at: number): number => (tile[at] ?? 0) | ((tile[at + 1] ?? 0) << 8);
  let valuesAt = 0;
  if (kind === 'bitmap') {
    for (let element = 0; element < valueOf.length; element++)
      if (bitsAt(tile, element, 1) === 1) store(element, count);
    valuesAt = words(Math.ceil(valueOf.length / 8));
  } else if (kind === 'gap4') {
    const stated = low(0) + low(2) * 65_536;
    if (stated > valueOf.length) return `expected at most ${valueOf.length} values, found ${stated}`;
    for (let n = 0, element = -1; n < stated; n++) {
      element += bitsAt(tile, 32 + 4 * n, 4) + 1;
      store(element, n);
    }
    valuesAt = 4 + words(Math.ceil(stated / 2));
  } else if (kind === 'csc8') {
    const starts = Array.from({ length: rows + 1 }, (_, r) => low(2 * r));
    if (starts[0] !== 0 || starts.some((s, r) => r > 0 && s < starts[r - 1]) || starts[rows] > valueOf.length)
      return `expected starts from 0 up to at most ${valueOf.length}, found ${starts[0]} .. ${starts[rows]}`;
    for (let r = 0; r < rows; r++)
      for (let n = starts[r]; n < starts[r + 1]; n++) {
        const column = tile[2 * (rows + 1) + n] ?? 0;
        if (column >= columns) return `expected a column below ${columns}, found ${column}`;
        store(r * columns + column, n);
      }
    valuesAt = words(2 * (rows + 1) + starts[rows]);
  } else {
    const width = Math.log2(of);
    for (let r = 0; r < rows; r++) {
      // A run is read at its first row in the tile.
      if (r > 0 && (row + r) % of !== 0) continue;
      const length = Math.min(rows - r, of - ((row + r) % of));
      for (let c = 0; c < columns; c++)
        for (let k = 0; k < Math.min(keep, length); k++) {
          const place = bitsAt(tile, count * width, width);
          if (place >= length) return `expected a place below ${length}, found ${place}`;
          store((r + place) * columns + c, count);
        }
    }
    valuesAt = words(Math.ceil((count * width) / 8));
  }
  return fault ?? { valueOf, count, valuesAt };
}
