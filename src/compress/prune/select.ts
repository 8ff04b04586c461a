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
   * Every tile of a grid of cores: parts `[floor(i n / p), floor((i + 1) n / p))` of rows and of columns. Balances what
   * the fullest core has to hold.
   */
  | { readonly kind: 'tile'; readonly sparsity: number; readonly rowParts: number; readonly colParts: number }
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
      const { rowParts, colParts, sparsity } = structure;
      let before = 0;
      for (let i = 0; i < rowParts; i++) {
        const [r0, r1] = [part(rows, rowParts, i), part(rows, rowParts, i + 1)];
        for (let j = 0; j < colParts; j++) {
          const [c0, c1] = [part(cols, colParts, j), part(cols, colParts, j + 1)];
          // Rounded on the running sum, so that tiles of three weights lose half of theirs on average, too.
          const after = before + (r1 - r0) * (c1 - c0);
          select.drop(r0, r1, c0, c1, cols, Math.floor(after * sparsity) - Math.floor(before * sparsity));
          before = after;
        }
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

const part = (n: number, parts: number, i: number): number => Math.floor((i * n) / parts);

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
