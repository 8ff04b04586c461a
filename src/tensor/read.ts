/**
 * Reads constants: whole, or rectangular regions of their strided views. Only the rows of the file that a region
 * touches are read, in its order in the file, through a small buffer; a transposed view is read by blocks of
 * source rows and scattered. Memory beyond the result stays under 260 MB; elements of sub-byte types take one more byte each.
 */
import { type Constant, elementCount, isQuantized } from '../ir/constant.ts';
import { bytesFor, DTYPE_BITS, type DType, isFloat } from '../ir/types.ts';
import { type Axis, coalesce, gather, type Words } from './gather.ts';
import { packedView, roundTo, unpackInto, valuesOfCodes } from './pack.ts';
import { dequantize } from './quantized.ts';
import { packCodes, unpackCodes } from './sub-byte.ts';
import { allocate, type Tensor, type TensorData } from './tensor.ts';

/** Bytes read at once: large against the cost of a call, small enough to stay in the second-level cache. */
const CHUNK = 2 ** 20;
/** Gaps up to this many bytes are read and thrown away: one larger read is faster than two small ones. */
const GAP = 16 * 1024;
/** Packed bytes, and elements, converted at once. */
const CONVERT = 2 ** 27;

/** The whole constant as a dense tensor of `c.dtype`, converted from `c.stored` where they differ, and dequantized. */
export function readConstant(c: Constant): Tensor {
  return readElements(
    c,
    c.shape.map(() => 0),
    c.shape,
  );
}

/**
 * Elements `starts[d] <= i < starts[d] + sizes[d]` as a dense tensor of `c.dtype`. Throws RangeError when the
 * region leaves the constant, Diagnosed when the file does not hold it.
 */
export function readElements(c: Constant, starts: readonly number[], sizes: readonly number[]): Tensor {
  if (c.dtype === 'string' || c.stored === 'string')
    throw new TypeError(`${c.source.label}: strings are not read here`);
  checkRegion(c, starts, sizes);
  if (isQuantized(c)) return { dtype: c.dtype, shape: [...sizes], data: dequantize(c, starts, sizes, readElements) };
  const count = elementCount(sizes);
  const stored = allocate(c.stored, count);
  if (DTYPE_BITS[c.stored] < 8) {
    valuesOfCodes(c.stored, readCodes(c, starts, sizes), stored);
    return { dtype: c.dtype, shape: [...sizes], data: convert(c.stored, c.dtype, stored) };
  }
  const own = packedView(c.stored, stored);
  if (own !== undefined) readPacked(c, starts, sizes, own);
  else readConverted(c, starts, sizes, stored);
  return { dtype: c.dtype, shape: [...sizes], data: convert(c.stored, c.dtype, stored) };
}

/**
 * Copies the stored elements of a region (the codes of a quantized constant) in row-major order into `into`, packed as `c.stored` is.
 * `into` must have exactly `bytesFor(c.stored, elements of the region)` bytes.
 */
export function readPacked(c: Constant, starts: readonly number[], sizes: readonly number[], into: Uint8Array): void {
  checkRegion(c, starts, sizes);
  const count = elementCount(sizes);
  if (into.length !== bytesFor(c.stored, count))
    throw new RangeError(`${c.source.label}: a region of ${count} ${c.stored} is not ${into.length} bytes`);
  if (count === 0) return;
  const { first, axes } = boxOf(c, starts, sizes);
  const bits = DTYPE_BITS[c.stored];
  if (bits < 8) {
    const box = coalesce(axes);
    if (isWholeBytes(bits, first, box)) readBytes(c, bits, first, box, into, count);
    else into.set(packCodes(bits, codesOfBox(c, bits, first, box, count)));
  } else {
    // Wider words need an aligned destination; else every element is a row of bytes.
    const bytes = bits / 8;
    const word = Math.min(bytes, 4);
    const width = into.byteOffset % word === 0 ? word : 1;
    const parts = bytes / width;
    const scaled = axes.map((a) => ({ size: a.size, from: a.from * parts, to: a.to * parts }));
    const inWords = coalesce([...scaled, { size: parts, from: 1, to: 1 }]);
    readBox(c, width, first * parts, inWords, wordsOf(into, width));
  }
}

/** A region as the element of the source it starts at, and its axes there and in row-major order. */
function boxOf(c: Constant, starts: readonly number[], sizes: readonly number[]): { first: number; axes: Axis[] } {
  const first = c.offset + starts.reduce((at, start, d) => at + start * c.strides[d], 0);
  const axes: Axis[] = [];
  for (let d = sizes.length - 1, step = 1; d >= 0; step *= sizes[d--])
    axes.unshift({ size: sizes[d], from: c.strides[d], to: step });
  return { first, axes };
}

/** Narrow and 64-bit types: packed blocks of whole outermost slices, unpacked one after the other. */
function readConverted(c: Constant, starts: readonly number[], sizes: readonly number[], out: TensorData): void {
  if (out.length === 0) return;
  if (sizes.length === 0) sizes = [1];
  const shape = c.shape.length === 0 ? [1] : c.shape;
  const strides = c.strides.length === 0 ? [1] : c.strides;
  const at = starts.length === 0 ? [0] : [...starts];
  const slice = out.length / sizes[0];
  const rows = Math.max(1, Math.floor(CONVERT / Math.max(bytesFor(c.stored, slice), slice)));
  const view: Constant = { ...c, shape, strides };
  for (let row = 0; row < sizes[0]; row += rows) {
    const count = Math.min(rows, sizes[0] - row);
    const bytes = new Uint8Array(bytesFor(c.stored, count * slice));
    readPacked(view, [at[0] + row, ...at.slice(1)], [count, ...sizes.slice(1)], bytes);
    unpackInto(c.stored, bytes, out.subarray(row * slice, (row + count) * slice));
  }
}

/** ONNX Cast between element types in memory; the array itself where nothing changes. */
function convert(from: DType, to: DType, data: TensorData): TensorData {
  if (from === to) return data;
  const out = allocate(to, data.length);
  if (to === 'bool') for (let i = 0; i < out.length; i++) out[i] = data[i] === 0 ? 0 : 1;
  else {
    out.set(data);
    if (isFloat(to) && out instanceof Float32Array) roundTo(to, out);
    const bits = DTYPE_BITS[to];
    if (bits < 8 && !isFloat(to)) {
      const flip = to.startsWith('i') ? 1 << (bits - 1) : 0;
      const mask = (1 << bits) - 1;
      for (let i = 0; i < out.length; i++) out[i] = ((out[i] & mask) ^ flip) - flip;
    }
    if (to === 'i64' || to === 'u64') for (let i = 0; i < out.length; i++) out[i] = Math.trunc(out[i]);
  }
  return out;
}

const wordsOf = (bytes: Uint8Array, width: number): Words =>
  width === 4
    ? new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2)
    : width === 2
      ? new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 1)
      : bytes;

/** First and one-past-last element, relative to the first of the box, that `axes` reach. */
function extent(axes: readonly Axis[]): [number, number] {
  let low = 0;
  let high = 1;
  for (const { size, from } of axes) {
    if (from < 0) low += (size - 1) * from;
    else high += (size - 1) * from;
  }
  return [low, high];
}

/** Reads the box of `axes` (strides in words of `width` bytes) that starts at word `first` of the source. */
function readBox(c: Constant, width: number, first: number, axes: readonly Axis[], out: Words): void {
  const outBytes = new Uint8Array(out.buffer, out.byteOffset, out.byteLength);
  let buffer = Buffer.alloc(0);
  split(axes, width, first, 0, (box, at, to) => {
    const only = box.length === 1 ? box[0] : undefined;
    if (box.length === 0 || (only?.from === 1 && only.to === 1)) {
      const bytes = (only?.size ?? 1) * width;
      c.source.read(at * width, outBytes.subarray(to * width, to * width + bytes));
      return;
    }
    const [low, high] = extent(box);
    const bytes = (high - low) * width;
    if (buffer.length < bytes) buffer = Buffer.allocUnsafeSlow(bytes);
    const span = buffer.subarray(0, bytes);
    c.source.read((at + low) * width, span);
    gather(wordsOf(span, width), -low, out, to, box);
  });
}

/** Calls `leaf` with sub-boxes that are one run, or whose span in the source is at most CHUNK with small gaps. */
function split(
  axes: readonly Axis[],
  width: number,
  first: number,
  to: number,
  leaf: (box: readonly Axis[], first: number, to: number) => void,
): void {
  if (axes.length === 0 || (axes.length === 1 && axes[0].from === 1 && axes[0].to === 1)) {
    leaf(axes, first, to);
    return;
  }
  const [low, high] = extent(axes);
  const dense = axes.every(({ from, size }) => {
    const inner = axes.filter((a) => Math.abs(a.from) < Math.abs(from));
    const [l, h] = extent(inner);
    return size === 1 || (Math.abs(from) - (h - l)) * width <= GAP;
  });
  if (dense && (high - low) * width <= CHUNK) {
    leaf(axes, first, to);
    return;
  }
  // Cut the axis that is outermost in the file, whichever place it has in the view.
  const longest = Math.max(...axes.map((a) => Math.abs(a.from)));
  const index = axes.findIndex((a) => Math.abs(a.from) === longest);
  const axis = axes[index];
  const fitting = dense ? Math.max(1, Math.floor(CHUNK / (longest * width))) : 1;
  const block = Math.min(fitting, Math.ceil(axis.size / 2)); // views that overlap themselves must get smaller, too
  for (let i = 0; i < axis.size; i += block) {
    const size = Math.min(block, axis.size - i);
    const part = axes.map((a, d) => (d === index ? { ...a, size } : a));
    split(coalesce(part), width, first + i * axis.from, to + i * axis.to, leaf);
  }
}

/** The bits of the elements of a box of a type narrower than a byte, one a byte, row-major. */
export function readCodes(c: Constant, starts: readonly number[], sizes: readonly number[]): Uint8Array {
  checkRegion(c, starts, sizes);
  const bits = DTYPE_BITS[c.stored];
  const count = elementCount(sizes);
  if (count === 0) return new Uint8Array(0);
  const { first, axes } = boxOf(c, starts, sizes);
  const box = coalesce(axes);
  if (!isWholeBytes(bits, first, box)) return codesOfBox(c, bits, first, box, count);
  const bytes = new Uint8Array(bytesFor(c.stored, count));
  readBytes(c, bits, first, box, bytes, count);
  return unpackCodes(bits, bytes, 0, count);
}

const isWhole = (bits: number, n: number): boolean => (n * bits) % 8 === 0;

/** Whether the rows of a box are runs of whole bytes. */
function isWholeBytes(bits: number, first: number, axes: readonly Axis[]): boolean {
  const { size, from, to } = axes.at(-1) ?? { size: 1, from: 1, to: 1 };
  const steps = axes.slice(0, -1);
  const isRun = from === 1 && to === 1 && isWhole(bits, first) && (isWhole(bits, size) || steps.length === 0);
  return isRun && steps.every((a) => isWhole(bits, a.from));
}

function readBytes(
  c: Constant,
  bits: number,
  first: number,
  axes: readonly Axis[],
  into: Uint8Array,
  count: number,
): void {
  const inner = axes.at(-1) ?? { size: 1, from: 1, to: 1 };
  const steps = axes.slice(0, -1);
  const bytes = steps.map((a) => ({ size: a.size, from: (a.from * bits) / 8, to: (a.to * bits) / 8 }));
  bytes.push({ size: bytesFor(c.stored, inner.size), from: 1, to: 1 });
  readBox(c, 1, (first * bits) / 8, coalesce(bytes), into);
  clearPadding(into, count * bits);
}

/** Code by code: rows that start inside of bytes, and transposed views. */
function codesOfBox(c: Constant, bits: number, first: number, axes: readonly Axis[], count: number): Uint8Array {
  const codes = new Uint8Array(count);
  split(axes, 1, first, 0, (box, at, to) => {
    const [low, high] = extent(box);
    const from = Math.floor(((at + low) * bits) / 8);
    const bytes = new Uint8Array(Math.ceil(((at + high) * bits) / 8) - from);
    c.source.read(from, bytes);
    const skipped = at + low - (from * 8) / bits; // whole for 2 and 4 bits; 6-bit streams are handled below
    if (Number.isInteger(skipped)) gather(unpackCodes(bits, bytes, skipped, high - low), -low, codes, to, box);
    else gather(unpackFrom(bits, bytes, (at + low) * bits - from * 8, high - low), -low, codes, to, box);
  });
  return codes;
}

/** As unpackCodes, from any bit. */
function unpackFrom(bits: number, bytes: Uint8Array, firstBit: number, count: number): Uint8Array {
  // Shift the stream down to a byte boundary; at most 6 bits of carry.
  const shifted = new Uint8Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) shifted[i] = ((bytes[i] | ((bytes[i + 1] ?? 0) << 8)) >>> firstBit) & 255;
  return unpackCodes(bits, shifted, 0, count);
}

/** Zero the bits behind the last element, so that equal regions have equal bytes. */
function clearPadding(bytes: Uint8Array, usedBits: number): void {
  if (usedBits % 8 !== 0) bytes[bytes.length - 1] &= (1 << (usedBits % 8)) - 1;
}

function checkRegion(c: Constant, starts: readonly number[], sizes: readonly number[]): void {
  const bad =
    starts.length !== c.shape.length ||
    sizes.length !== c.shape.length ||
    sizes.some((size, d) => !(size >= 0 && starts[d] >= 0 && starts[d] + size <= c.shape[d]));
  if (bad)
    throw new RangeError(`${c.source.label}: region [${starts}] + [${sizes}] of a constant of shape [${c.shape}]`);
}
