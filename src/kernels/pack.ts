/** The layouts that gemm.wat reads: right-hand matrices in panels of 8 columns, rows of a panel one after another. */
import type { Block, KernelMemory } from './memory.ts';

export const PANEL = 8;

export interface Strided {
  readonly data: ArrayLike<number>;
  readonly offset: number;
  readonly rowStride: number;
  readonly colStride: number;
}

const panels = (n: number): number => Math.ceil(n / PANEL);

/** Bytes of a [k, n] matrix of f32 in panels. */
export const packedBytes = (k: number, n: number): number => panels(n) * PANEL * k * 4;

/** Fills panels with `b` [k, n]; columns beyond n are zero. */
export function packPanels(into: Float32Array, b: Strided, k: number, n: number): void {
  const { data, offset, rowStride, colStride } = b;
  for (let j0 = 0, at = 0; j0 < n; j0 += PANEL) {
    const width = Math.min(PANEL, n - j0);
    const first = offset + j0 * colStride;
    if (width < PANEL) into.fill(0, at, at + k * PANEL);
    for (let p = 0; p < k; p++, at += PANEL) {
      const row = first + p * rowStride;
      for (let j = 0; j < width; j++) into[at + j] = data[row + j * colStride];
    }
  }
}

/** Fills panels of pairs along k with whole numbers of at most 16 bits; an odd k is padded with a zero. */
export function packPairs(into: Int16Array, b: Strided, k: number, n: number): void {
  const { data, offset, rowStride, colStride } = b;
  into.fill(0, 0, panels(n) * PANEL * 2 * Math.ceil(k / 2));
  for (let j0 = 0, base = 0; j0 < n; j0 += PANEL, base += PANEL * 2 * Math.ceil(k / 2)) {
    const width = Math.min(PANEL, n - j0);
    for (let p = 0; p < k; p++) {
      const to = base + (p >> 1) * 2 * PANEL + (p & 1);
      const row = offset + j0 * colStride + p * rowStride;
      for (let j = 0; j < width; j++) into[to + 2 * j] = data[row + j * colStride];
    }
  }
}

/** A right-hand matrix that stays in the memory as codes: value = (code - zero) * scale. */
export interface CodeMatrix {
  readonly bits: 8 | 4;
  readonly k: number;
  readonly n: number;
  /** Rows of k that share a scale. */
  readonly block: number;
  readonly codes: Block;
  readonly scales: Block;
  readonly zeros: Block;
  /** Bytes from one block's scales to the next one's. */
  readonly stride: number;
}

export interface CodeSource {
  readonly bits: 8 | 4;
  readonly k: number;
  readonly n: number;
  readonly block: number;
  /** Unsigned code of row p, column j. */
  code(p: number, j: number): number;
  /** Of block i, column j; the zero is on the scale of the unsigned codes. */
  scale(i: number, j: number): number;
  zero(i: number, j: number): number;
}

/** Whether the kernels read such blocks: 4-bit rows come in pairs, which no block may split. */
export const fitsCodes = ({ bits, block, k }: Pick<CodeSource, 'bits' | 'block' | 'k'>): boolean =>
  bits === 8 || block % 2 === 0 || block >= k;

/** Packs codes into panels; undefined when the memory is full. */
export function packCodes(memory: KernelMemory, source: CodeSource): CodeMatrix | undefined {
  const { bits, k, n, block } = source;
  const columns = panels(n) * PANEL;
  const rows = bits === 8 ? k : Math.ceil(k / 2);
  const blocks = Math.ceil(k / block);
  const [codes, scales, zeros] = [rows * columns, blocks * columns * 4, blocks * columns * 4].map((bytes) =>
    memory.take(bytes),
  );
  if (codes === undefined || scales === undefined || zeros === undefined) {
    for (const taken of [codes, scales, zeros]) if (taken !== undefined) memory.give(taken);
    return undefined;
  }
  const out = memory.u8(codes.at, rows * columns).fill(0);
  for (let j = 0; j < n; j++) {
    const base = Math.floor(j / PANEL) * PANEL * rows + (j % PANEL);
    for (let p = 0; p < k; p++) {
      if (bits === 8) out[base + p * PANEL] = source.code(p, j);
      else out[base + (p >> 1) * PANEL] |= source.code(p, j) << (4 * (p & 1));
    }
  }
  const [s, z] = [scales, zeros].map(({ at }) => memory.f32(at, blocks * columns).fill(0));
  for (let i = 0; i < blocks; i++) {
    for (let j = 0; j < n; j++) {
      s[i * columns + j] = source.scale(i, j);
      z[i * columns + j] = source.zero(i, j);
    }
  }
  return { bits, k, n, block, codes, scales, zeros, stride: columns * 4 };
}
