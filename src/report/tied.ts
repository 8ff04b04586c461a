/** Whether the projection to the vocabulary is the word embedding: by where the bytes are, else by what they hold. */
import { type Constant, elementCount } from '../ir/constant.ts';
import { readElements } from '../tensor/read.ts';

/**
 * `tied`: one tensor of the file serves both. `copy`: two tensors with equal elements. `untied`: different elements or
 * sizes. `unknown`: the elements cannot be read, or hold nothing to tell them apart by.
 */
export type Tie = 'tied' | 'copy' | 'untied' | 'unknown';

/** Rows and columns compared at once, and tables up to this many elements are compared whole. */
const BLOCK = 64;
const WHOLE = 2 ** 20;
/** Blocks of larger tables, spread over rows and columns. */
const BLOCKS = 8;

/** `table` is [vocabulary, hidden], `head` [hidden, vocabulary]. Reads at most some megabytes. */
export function compareTables(table: Constant, head: Constant, isReadable: (c: Constant) => boolean): Tie {
  const [rows, width] = table.shape;
  if (head.shape.length !== 2 || head.shape[0] !== width || head.shape[1] !== rows) return 'untied';
  const turned = head.strides[0] === table.strides[1] && head.strides[1] === table.strides[0];
  if (head.source === table.source && head.offset === table.offset && turned) return 'tied';
  if (!isReadable(table) || !isReadable(head)) return 'unknown';
  const small = elementCount(table.shape) <= WHOLE;
  const starts = (extent: number): number[] => {
    const last = Math.max(0, extent - BLOCK);
    const count = small ? Math.ceil(extent / BLOCK) : BLOCKS;
    return Array.from({ length: count }, (_, i) => Math.min(last, small ? i * BLOCK : Math.round((i * last) / BLOCKS)));
  };
  const places = small
    ? starts(rows).flatMap((row) => starts(width).map((column) => [row, column] as const))
    : starts(rows).map((row, i) => [row, starts(width)[(i * 3) % BLOCKS]] as const);
  let informative = false;
  for (const [row, column] of places) {
    const size = [Math.min(BLOCK, rows - row), Math.min(BLOCK, width - column)] as const;
    const { data: a } = readElements(table, [row, column], size);
    const { data: b } = readElements(head, [column, row], [size[1], size[0]]);
    for (let i = 0; i < size[0]; i++)
      for (let j = 0; j < size[1]; j++) {
        if (a[i * size[1] + j] !== b[j * size[0] + i]) return 'untied';
        informative ||= a[i * size[1] + j] !== a[0];
      }
  }
  return informative ? 'copy' : 'unknown';
}
