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

/**
 * How the tiles of a sparse weight are stored (compression.md section 4): a bit a place, gaps of 4 bits, indices of 8 or 16
 * bits, or n of every m (`2:4`). Zeros are zeros in every form: this is about bytes, never about values.
 */
export type Sparsity = 'bitmap' | 'gap4' | 'csc8' | 'csc16' | `${number}:${number}`;

export interface Constant {
  /** Type that ops see. Differs from `stored` after a lazy cast, and where the constant is quantized. */
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Element type of the bytes in `source`. */
  readonly stored: DType;
  readonly source: ByteSource;
  /** In elements of `stored`; view element (i, j, ..) is source element `offset + i*strides[0] + ..`. */
  readonly offset: number;
  readonly strides: readonly number[];
  /** What turns the stored codes into values; a dense constant has none. */
  readonly quantization?: Quantization;
  /** Storage of its tiles, where that is not dense. */
  readonly sparsity?: Sparsity;
}

/**
 * What turns codes into values. Scales are constants themselves, so that they are lazy views, too, and may be quantized in
 * their turn (NVFP4: f8e4m3 scales of 16 codes, with one f32 scale for all).
 *
 * value = (code - zero) * scale, computed in f32 and rounded to `rounded`, as DequantizeLinear and MatMulNBits define it.
 * Element i of dim d belongs to group floor((i + phase[d]) / block[d]) of that dim. Codes are integers of at most 16 bits,
 * or floats of at most 8. A value that was zero stays zero: its code is its zero point.
 */
export interface Quantization {
  /** One for every group, of the constant's rank. May be negative. */
  readonly scales: Constant;
  /** As `scales`, or one number for all groups: 0 for signed codes and floats, 2^(bits - 1) for MatMulNBits without any. */
  readonly zeros: Constant | number;
  /** By dim: consecutive elements that share a scale; the last group may be ragged. */
  readonly block: readonly number[];
  /** By dim: elements of the first group that a slice has cut off, less than `block`. */
  readonly phase: readonly number[];
  /** What values are rounded to: the type of DequantizeLinear's result. */
  readonly rounded: DType;
}

/** A compressed constant: codes with scales. */
export type Quantized = Constant & { readonly quantization: Quantization };

export const isQuantized = (c: Constant): c is Quantized => c.quantization !== undefined;

/** The codes of a constant as numbers of the type they are stored in: the same view without its scales. */
export function codesOf({ shape, stored, source, offset, strides }: Constant): Constant {
  return { dtype: stored, shape, stored, source, offset, strides };
}

/** Groups that `extent` elements of a dim lie in. */
export const groupCount = (extent: number, block: number, phase = 0): number =>
  extent === 0 ? 0 : Math.floor((phase + extent - 1) / block) + 1;

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
  const view = { ...c, shape: perm.map((p) => c.shape[p]), strides: perm.map((p) => c.strides[p]) };
  return isQuantized(c) ? { ...view, quantization: transposedGroups(c.quantization, perm) } : view;
}

/** Elements `start <= i < end` of `axis`. */
export function sliceConstant(c: Constant, axis: number, start: number, end: number): Constant {
  const shape = c.shape.map((n, d) => (d === axis ? end - start : n));
  const view = { ...c, shape, offset: c.offset + start * c.strides[axis] };
  return isQuantized(c) ? { ...view, quantization: slicedGroups(c, axis, start, end) } : view;
}

/**
 * A new shape over the same elements, or undefined where that would need a copy. Groups of a quantized constant keep their
 * dims: only extents of 1 come and go.
 */
export function reshapeConstant(c: Constant, shape: readonly number[]): Constant | undefined {
  if (isQuantized(c)) {
    const view = reshapedView(c, shape);
    const quantization = reshapedGroups(c, shape);
    return view && quantization && { ...view, quantization };
  }
  return reshapedView(c, shape);
}

function reshapedView(c: Constant, shape: readonly number[]): Constant | undefined {
  if (isContiguous(c)) return { ...c, shape, strides: rowMajor(shape) };
  const kept = c.shape.flatMap((n, d) => (n === 1 ? [] : [d]));
  const wanted = shape.flatMap((n, d) => (n === 1 ? [] : [d]));
  if (kept.length !== wanted.length || kept.some((d, i) => c.shape[d] !== shape[wanted[i]])) return undefined;
  const strides = shape.map(() => 0);
  for (const [i, d] of wanted.entries()) strides[d] = c.strides[kept[i]];
  return { ...c, shape, strides };
}

/** The same change to scales and to zero points where those are many. */
const moved = (
  { scales, zeros }: Quantization,
  move: (c: Constant) => Constant,
): Pick<Quantization, 'scales' | 'zeros'> => ({
  scales: move(scales),
  zeros: typeof zeros === 'number' ? zeros : move(zeros),
});

function transposedGroups(q: Quantization, perm: readonly number[]): Quantization {
  return {
    ...q,
    ...moved(q, (c) => transposeConstant(c, perm)),
    block: perm.map((p) => q.block[p]),
    phase: perm.map((p) => q.phase[p]),
  };
}

/** Groups of the elements `start <= i < end` of `axis`; the first and the last may be cut. */
function slicedGroups({ quantization: q }: Quantized, axis: number, start: number, end: number): Quantization {
  const [block, from] = [q.block[axis], q.phase[axis] + start];
  const first = Math.floor(from / block);
  const phase = from - first * block;
  const groups = groupCount(end - start, block, phase);
  return {
    ...q,
    ...moved(q, (c) => sliceConstant(c, axis, first, first + groups)),
    phase: q.phase.with(axis, phase),
  };
}

/** Groups under a shape that differs in extents of 1 only; undefined for other shapes. */
function reshapedGroups(
  { shape: old, quantization: q }: Quantized,
  shape: readonly number[],
): Quantization | undefined {
  const kept = old.flatMap((n, d) => (n === 1 ? [] : [d]));
  const wanted = shape.flatMap((n, d) => (n === 1 ? [] : [d]));
  if (kept.length !== wanted.length || kept.some((d, i) => old[d] !== shape[wanted[i]])) return undefined;
  const place = <T>(from: readonly T[], one: T): T[] => {
    const out = shape.map(() => one);
    for (const [i, d] of wanted.entries()) out[d] = from[kept[i]];
    return out;
  };
  const extents = place(q.scales.shape, 1);
  const scales = reshapeConstant(q.scales, extents);
  const zeros = typeof q.zeros === 'number' ? q.zeros : reshapeConstant(q.zeros, extents);
  if (scales === undefined || zeros === undefined) return undefined;
  return { ...q, scales, zeros, block: place(q.block, 1), phase: place(q.phase, 0) };
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
