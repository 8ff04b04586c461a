/**
 * Constants as lazy strided views. A constant never owns a copy of a weight: it says where the bytes are
 * (a range of a file, or bytes in memory) and which strided view of them it is, so transposes, slices and
 * casts of weights cost nothing until a tile is read.
 */
import type { DType } from './types.ts';

/** Where bytes are. `read` copies a range; it never maps the whole source into memory. */
export interface ByteSource {
  /** Stable identity for printing and hashing: an initializer's name in the model. */
  readonly label: string;
  readonly byteLength: number;
  /** Fills `into` with the bytes from `offset` on. Throws Diagnosed when the file is shorter. */
  read(offset: number, into: Uint8Array): void;
}

export interface Constant {
  /** Type that ops see. Differs from `stored` after a lazy cast. */
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Element type of the bytes in `source`. */
  readonly stored: DType;
  readonly source: ByteSource;
  /** In elements of `stored`; view element (i, j, ..) is source element `offset + i*strides[0] + ..`. */
  readonly offset: number;
  readonly strides: readonly number[];
}

export const elementCount = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** Row-major strides, in elements. */
export function rowMajor(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let step = 1;
  for (let d = shape.length - 1; d >= 0; d--) {
    strides[d] = step;
    step *= shape[d];
  }
  return strides;
}

/** True when the view is its source in order, without gaps (any offset). */
export function isContiguous({ shape, strides }: Constant): boolean {
  let step = 1;
  for (let d = shape.length - 1; d >= 0; d--) {
    if (shape[d] !== 1 && strides[d] !== step) return false;
    step *= shape[d];
  }
  return true;
}

/** The whole of `source`, row-major. */
export const denseConstant = (dtype: DType, shape: readonly number[], source: ByteSource): Constant => ({
  dtype,
  shape,
  stored: dtype,
  source,
  offset: 0,
  strides: rowMajor(shape),
});

export function transposeConstant(c: Constant, perm: readonly number[]): Constant {
  return { ...c, shape: perm.map((p) => c.shape[p]), strides: perm.map((p) => c.strides[p]) };
}

/** Elements `start <= i < end` of `axis`. */
export function sliceConstant(c: Constant, axis: number, start: number, end: number): Constant {
  const shape = c.shape.map((n, d) => (d === axis ? end - start : n));
  return { ...c, shape, offset: c.offset + start * c.strides[axis] };
}

/** A new shape over the same elements, or undefined where that would need a copy. */
export function reshapeConstant(c: Constant, shape: readonly number[]): Constant | undefined {
  if (isContiguous(c)) return { ...c, shape, strides: rowMajor(shape) };
  const kept = c.shape.flatMap((n, d) => (n === 1 ? [] : [d]));
  const wanted = shape.flatMap((n, d) => (n === 1 ? [] : [d]));
  if (kept.length !== wanted.length || kept.some((d, i) => c.shape[d] !== shape[wanted[i]])) return undefined;
  const strides = shape.map(() => 0);
  for (const [i, d] of wanted.entries()) strides[d] = c.strides[kept[i]];
  return { ...c, shape, strides };
}

/** Bytes in memory as a source. */
export function bytesSource(label: string, bytes: Uint8Array): ByteSource {
  return {
    label,
    byteLength: bytes.byteLength,
    read(offset, into) {
      if (offset + into.byteLength > bytes.byteLength) throw new RangeError(`${label}: read past the end`);
      into.set(bytes.subarray(offset, offset + into.byteLength));
    },
  };
}
