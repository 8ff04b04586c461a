/**
 * Which weights of a matrix go: the lowest scores of each set of weights that must keep equally many. A set is a row,
 * what one core holds, a run of columns or the whole matrix. Matrices are [N, K] row-major: N outputs, K inputs.
 *
 * Equal scores go in order of their position, so a mask depends on nothing but the scores.
 */

/** Sets that lose the same share of their weights. */
export type Structure =
  /** The whole matrix. */
  | { readonly kind: 'layer'; readonly sparsity: number }
  /** Every output (Wanda's rule): rows of one length have equally many non-zeros. */
  | { readonly kind: 'row'; readonly sparsity: number }
  /**
   * What each core holds: tiles between bounds of rows and of columns, the first 0, the last the extent. Tiles keep equally many weights,
   * not the same share: the fullest core decides about SRAM, and tiles are not all of one size.
   */
  | {
      readonly kind: 'tile';
      readonly sparsity: number;
      readonly rows: readonly number[];
      readonly cols: readonly number[];
      /** By place in the tiles, the row and the column that stand there; absent where they stand in their order. */
      readonly rowOrder?: Int32Array;
      readonly colOrder?: Int32Array;
    }
  /** `keep` of every `of` adjacent inputs; a shorter run at the end loses the same share, rounded down. */
  | { readonly kind: 'n:m'; readonly keep: number; readonly of: number };

export interface Extents {
  readonly rows: number;
  readonly cols: number;
}

/**
 * 1 where a weight stays, 0 where it goes.
 *
 * @param scores [rows, cols], finite and not negative: importance of each weight
 * @throws RangeError for a share outside of [0, 1], for scores that are negative or no numbers, and for counts that
 *   do not agree
 */
export function selectMask(scores: Float32Array, { rows, cols }: Extents, structure: Structure): Uint8Array {
  if (scores.length !== rows * cols) throw new RangeError(`${scores.length} scores for [${rows}, ${cols}]`);
  if (structure.kind !== 'n:m' && !(structure.sparsity >= 0 && structure.sparsity <= 1))
    throw new RangeError(`a sparsity of ${structure.sparsity}`);
  if (structure.kind === 'tile' && structure.rowOrder !== undefined && structure.colOrder !== undefined)
    return inOrder(scores, { rows, cols }, structure.rowOrder, structure.colOrder, structure);
  const mask = new Uint8Array(scores.length).fill(1);
  const select = new LowestOf(scores, mask);
  switch (structure.kind) {
    case 'layer':
      select.drop(0, rows, 0, cols, cols, Math.floor(rows * cols * structure.sparsity));
      break;
    case 'row':
      for (let r = 0; r < rows; r++) select.drop(r, r + 1, 0, cols, cols, Math.floor(cols * structure.sparsity));
      break;
    case 'tile': {
      const { rows: down, cols: across } = structure;
      if (!areBounds(down, rows) || !areBounds(across, cols))
        throw new RangeError('tiles that do not cover the matrix');
      const kept = keptByTile(down, across, structure.sparsity);
      for (let i = 0, t = 0; i + 1 < down.length; i++)
        for (let j = 0; j + 1 < across.length; j++, t++) {
          const size = (down[i + 1] - down[i]) * (across[j + 1] - across[j]);
          select.drop(down[i], down[i + 1], across[j], across[j + 1], cols, size - kept[t]);
        }
      break;
    }
    case 'n:m': {
      const { keep, of } = structure;
      if (!(keep >= 0 && keep <= of && of >= 1)) throw new RangeError(`${keep} of ${of} weights`);
      for (let r = 0; r < rows; r++)
        for (let c = 0; c < cols; c += of) {
          const width = Math.min(of, cols - c);
          select.drop(r, r + 1, c, c + width, cols, Math.floor((width * (of - keep)) / of));
        }
      break;
    }
  }
  return mask;
}

/** The mask of tiles whose rows and columns stand in another order. */
function inOrder(
  scores: Float32Array,
  extents: Extents,
  rowOrder: Int32Array,
  colOrder: Int32Array,
  { sparsity, rows, cols }: Extract<Structure, { kind: 'tile' }>,
): Uint8Array {
  const origin = (place: number): number =>
    rowOrder[Math.floor(place / extents.cols)] * extents.cols + colOrder[place % extents.cols];
  const moved = scores.map((_, place) => scores[origin(place)]);
  const mask = new Uint8Array(scores.length);
  for (const [place, stays] of selectMask(moved, extents, { kind: 'tile', sparsity, rows, cols }).entries())
    mask[origin(place)] = stays;
  return mask;
}

const areBounds = (bounds: readonly number[], extent: number): boolean =>
  bounds[0] === 0 && bounds.at(-1) === extent && bounds.every((b, i) => i === 0 || b >= bounds[i - 1]);

/**
 * Weights that each tile keeps, row-major: as many as every other, or all of a tile that is smaller. Where that is so few that rounding
 * would change the share, each keeps its share of the running sum instead: tiles of three lose half of theirs on average, too.
 */
function keptByTile(rows: readonly number[], cols: readonly number[], sparsity: number): Uint32Array {
  const [down, across] = [rows.length - 1, cols.length - 1];
  const kept = new Uint32Array(down * across);
  const size = (t: number): number => {
    const [i, j] = [Math.floor(t / across), t % across];
    return (rows[i + 1] - rows[i]) * (cols[j + 1] - cols[j]);
  };
  const all = rows[down] * cols[across];
  const wanted = all - Math.floor(all * sparsity);
  // Tiles of one size stand for each other.
  const sizes = new Map<number, number>();
  for (let t = 0; t < kept.length; t++) sizes.set(size(t), (sizes.get(size(t)) ?? 0) + 1);
  let [left, tiles, level] = [wanted, kept.length, 0];
  for (const [n, count] of [...sizes].sort(([a], [b]) => a - b)) {
    level = left / tiles;
    if (n > level) break;
    left -= n * count;
    tiles -= count;
  }
  if (level >= FEW_KEPT) {
    for (let t = 0; t < kept.length; t++) kept[t] = Math.min(size(t), Math.round(level));
    return kept;
  }
  for (let t = 0, before = 0; t < kept.length; t++) {
    const after = before + size(t);
    kept[t] = size(t) - (Math.floor(after * sparsity) - Math.floor(before * sparsity));
    before = after;
  }
  return kept;
}
/** From here on, rounding moves a share by 1 in 16 at most. */
const FEW_KEPT = 8;

/** Bounds of the parts that axes of `sizes` cores cut `extent` into, outermost first: part i of p of n is [floor(i n / p), floor((i + 1) n / p)). */
export function nestedBounds(extent: number, sizes: readonly number[]): readonly number[] {
  let bounds: readonly number[] = [0, extent];
  for (const p of sizes)
    bounds = [
      ...bounds
        .slice(0, -1)
        .flatMap((from, b) => Array.from({ length: p }, (_, i) => from + Math.floor((i * (bounds[b + 1] - from)) / p))),
      extent,
    ];
  return bounds;
}

/**
 * Finds the k lowest scores of a rectangle by radix selection: scores are not negative, so their bits are ordered as
 * they are. Linear in the rectangle, and exact.
 */
class LowestOf {
  private readonly bits: Uint32Array;
  private readonly mask: Uint8Array;
  private readonly counts = new Uint32Array(BINS);

  constructor(scores: Float32Array, mask: Uint8Array) {
    this.bits = new Uint32Array(scores.buffer, scores.byteOffset, scores.length);
    this.mask = mask;
  }

  /** Clears the mask at the `count` lowest scores of rows [r0, r1) and columns [c0, c1) of a matrix of `cols` columns. */
  drop(r0: number, r1: number, c0: number, c1: number, cols: number, count: number): void {
    if (count <= 0) return;
    const { bits, mask, counts } = this;
    let [prefix, known, below] = [0, 0, 0];
    // From the most significant digit on: the digit in which the count-th lowest score lies.
    for (const digit of [11, 11, 10]) {
      const shift = 32 - known - digit;
      counts.fill(0);
      for (let r = r0; r < r1; r++)
        for (let i = r * cols + c0; i < r * cols + c1; i++)
          if (known === 0 || bits[i] >>> (32 - known) === prefix) counts[(bits[i] >>> shift) & ((1 << digit) - 1)]++;
      let bin = 0;
      while (below + counts[bin] < count) below += counts[bin++];
      prefix = ((prefix << digit) | bin) >>> 0;
      known += digit;
    }
    if (prefix > MOST) throw new RangeError('scores must be finite and not negative');
    let ties = count - below;
    for (let r = r0; r < r1; r++)
      for (let i = r * cols + c0; i < r * cols + c1; i++)
        if (bits[i] < prefix || (bits[i] === prefix && ties-- > 0)) mask[i] = 0;
  }
}

const BINS = 2048;
/** Bits of the largest finite float. */
const MOST = 0x7f7fffff;
