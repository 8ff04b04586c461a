/** Constants whose rows or columns stand in another order: a source that reads the original where it is asked, so nothing is copied. */
import { type ByteSource, type Constant, isQuantized, rowMajor, transposeConstant } from '../ir/constant.ts';
import { DTYPE_BITS } from '../ir/types.ts';
import { readPacked } from './read.ts';

/** Whether {@link permutedColumns} can take the constant: whole bytes an element, and no scales beside them. */
export const canPermute = (c: Constant): boolean => !isQuantized(c) && DTYPE_BITS[c.stored] % 8 === 0;

/** The matrix [R, N] with column `perm[j]` of `c` as its column j; `perm` may leave columns out. A vector is a matrix of one row. */
export function permutedColumns(c: Constant, perm: Int32Array): Constant {
  if (c.shape.length === 1) {
    const row = permutedColumns(
      { ...c, shape: [1, ...c.shape], strides: [c.shape[0] * c.strides[0], ...c.strides] },
      perm,
    );
    return { ...row, shape: [perm.length], strides: [1] };
  }
  // In the order of the file: where columns are its rows, whole rows change places.
  if (c.strides[1] > c.strides[0])
    return transposeConstant(dense(c, [perm.length, c.shape[0]], rowsOf(transposeConstant(c, [1, 0]), perm)), [1, 0]);
  return dense(c, [c.shape[0], perm.length], columnsOf(c, perm));
}

const dense = (c: Constant, shape: readonly number[], source: ByteSource): Constant => ({
  ...c,
  shape,
  source,
  offset: 0,
  strides: rowMajor(shape),
});

/** Reads row by row: `readRow(row, from, count, into)` gives the elements `from ..` of a row of the result. */
function rowSource(
  { source, stored }: Constant,
  [rows, width]: readonly [number, number],
  order: string,
  readRow: (row: number, from: number, count: number, into: Uint8Array) => void,
): ByteSource {
  const bytes = DTYPE_BITS[stored] / 8;
  return {
    label: `${source.label} (${order})`,
    byteLength: rows * width * bytes,
    read(offset, into) {
      if (offset % bytes !== 0 || into.length % bytes !== 0)
        throw new RangeError(`${source.label}: elements of ${bytes} bytes are read whole`);
      for (let at = 0; at < into.length; ) {
        const element = (offset + at) / bytes;
        const from = element % width;
        const count = Math.min(width - from, (into.length - at) / bytes);
        readRow(Math.floor(element / width), from, count, into.subarray(at, at + count * bytes));
        at += count * bytes;
      }
    },
  };
}

const rowsOf = (c: Constant, perm: Int32Array): ByteSource =>
  rowSource(c, [perm.length, c.shape[1]], 'rows moved', (row, from, count, into) =>
    readPacked(c, [perm[row], from], [1, count], into),
  );

function columnsOf(c: Constant, perm: Int32Array): ByteSource {
  const bytes = DTYPE_BITS[c.stored] / 8;
  return rowSource(c, [c.shape[0], perm.length], 'columns moved', (row, from, count, into) => {
    const wanted = perm.subarray(from, from + count);
    const low = wanted.reduce((a, b) => Math.min(a, b));
    const high = wanted.reduce((a, b) => Math.max(a, b)) + 1;
    const span = new Uint8Array((high - low) * bytes);
    readPacked(c, [row, low], [1, high - low], span);
    for (let j = 0; j < count; j++) {
      const start = (wanted[j] - low) * bytes;
      for (let b = 0; b < bytes; b++) into[j * bytes + b] = span[start + b];
    }
  });
}
