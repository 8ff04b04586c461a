/**
 * What a core does with a tile that is stored without its zeros: index and values to the tile as if all of it were stored, by the definition in
 * ARCHITECTURE.md ("weights.bin") and no code of the writer.
 */
import type { Sparsity } from '../../ir/sparsity.ts';

/** Where a tile lies in its weight. */
export interface TileBox {
  /** First row, and how many. */
  readonly row: number;
  readonly rows: number;
  readonly columns: number;
}

/** Elements that are stored, row by row numbered, in the order of their values; and the byte behind the index. */
interface Index {
  readonly elements: Uint32Array;
  readonly end: number;
}

/**
 * The elements of a tile packed, low bits first, filled up to 16 bits; and the byte at which what follows the values begins.
 *
 * @param zero bits of an element that is not stored
 * @throws RangeError for an index that names elements that the tile does not have
 */
export function expandTile(
  tile: Uint8Array,
  sparsity: Pick<Sparsity, 'kind' | 'keep' | 'of'>,
  box: TileBox,
  bits: number,
  zero: ((rest: number) => (element: number) => number) | undefined,
): { readonly packed: Uint8Array; readonly rest: number } {
  const all = box.rows * box.columns;
  const { elements, end } = indexOf(tile, sparsity, box);
  const rest = end + 2 * Math.ceil((elements.length * bits) / 16);
  if (rest > tile.length) throw new RangeError(`${elements.length} values of ${bits} bits end behind their tile`);
  const packed = new Uint8Array(2 * Math.ceil((all * bits) / 16));
  const code = zero?.(rest);
  if (code !== undefined) for (let i = 0; i < all; i++) put(packed, i, bits, code(i));
  for (const [n, element] of elements.entries()) {
    if (element >= all) throw new RangeError(`element ${element} of a tile of ${all}`);
    if (bits < 8)
      put(packed, element, bits, (tile[end + Math.floor((n * bits) / 8)] >> ((n * bits) % 8)) & (2 ** bits - 1));
    else for (let b = 0; b < bits / 8; b++) packed[(element * bits) / 8 + b] = tile[end + (n * bits) / 8 + b];
  }
  return { packed, rest };
}

function put(packed: Uint8Array, element: number, bits: number, code: number): void {
  const bit = element * bits;
  const at = Math.floor(bit / 8);
  if (bits >= 8) {
    packed[at] = code;
    return;
  }
  packed[at] = (packed[at] & ~((2 ** bits - 1) << (bit % 8))) | (code << (bit % 8));
}

function indexOf(tile: Uint8Array, { kind, keep, of }: Pick<Sparsity, 'kind' | 'keep' | 'of'>, box: TileBox): Index {
  const { row, rows, columns } = box;
  const view = new DataView(tile.buffer, tile.byteOffset, tile.byteLength);
  switch (kind) {
    case 'bitmap': {
      const found: number[] = [];
      for (let i = 0; i < rows * columns; i++) if ((tile[Math.floor(i / 8)] >> (i % 8)) % 2 === 1) found.push(i);
      return { elements: Uint32Array.from(found), end: 2 * Math.ceil((rows * columns) / 16) };
    }
    case 'gap4': {
      const elements = new Uint32Array(Math.min(view.getUint32(0, true), rows * columns));
      let next = 0;
      for (let n = 0; n < elements.length; n++) {
        const gap = (tile[4 + Math.floor(n / 2)] >> (n % 2 === 0 ? 0 : 4)) % 16;
        elements[n] = next + gap;
        next = elements[n] + 1;
      }
      return { elements, end: 4 + 2 * Math.ceil(elements.length / 4) };
    }
    case 'csc8': {
      const outputs = 2 * (rows + 1);
      const elements = new Uint32Array(view.getUint16(2 * rows, true));
      for (let r = 0; r < rows; r++)
        for (let n = view.getUint16(2 * r, true); n < view.getUint16(2 * (r + 1), true); n++)
          elements[n] = r * columns + tile[outputs + n];
      return { elements, end: outputs + 2 * Math.ceil(elements.length / 2) };
    }
    case 'n:m': {
      const width = of === 4 ? 2 : 3;
      const found: number[] = [];
      for (let first = row; first < row + rows; ) {
        // Up to where the run ends, or the tile.
        const last = Math.min(row + rows, first - (first % of) + of);
        for (let c = 0; c < columns; c++)
          for (let k = 0; k < Math.min(keep, last - first); k++) {
            const bit = found.length * width;
            const word = tile[Math.floor(bit / 8)] + 256 * (tile[Math.floor(bit / 8) + 1] ?? 0);
            const place = (word >> (bit % 8)) % 2 ** width;
            found.push((first - row + place) * columns + c);
          }
        first = last;
      }
      return { elements: Uint32Array.from(found), end: 2 * Math.ceil((found.length * width) / 16) };
    }
  }
}
