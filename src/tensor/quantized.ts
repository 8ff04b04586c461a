/** Quantized constants (ir/constant.ts): decoding of rectangles, and making them from codes in memory. */
import {
  bytesSource,
  codesOf,
  type Constant,
  denseConstant,
  elementCount,
  groupCount,
  isQuantized,
  type Quantization,
  type Quantized,
} from '../ir/constant.ts';
import { bytesFor, DTYPE_BITS, type DType } from '../ir/types.ts';
import { pack, roundTo } from './pack.ts';
import type { Tensor, TensorData } from './tensor.ts';

/** Reads a box of a constant (read.ts). */
type Read = (c: Constant, starts: readonly number[], sizes: readonly number[]) => Tensor;

/**
 * Values of the box `starts[d] <= i < starts[d] + sizes[d]`, row-major, in f32: (code - zero) * scale, each step rounded to
 * f32, the result rounded to `rounded` and to the constant's type. Reads no codes, scales or zero points outside of the box.
 */
export function dequantize(
  c: Quantized,
  starts: readonly number[],
  sizes: readonly number[],
  read: Read,
): Float32Array {
  const { scales, zeros, block, phase, rounded } = c.quantization;
  const first = starts.map((start, d) => Math.floor((start + phase[d]) / block[d]));
  const groups = sizes.map((n, d) => groupCount(n, block[d], (starts[d] + phase[d]) % block[d]));
  const out = new Float32Array(elementCount(sizes));
  if (out.length === 0) return out;
  const scale = read(scales, first, groups).data;
  const zero = typeof zeros === 'number' ? new Float32Array(scale.length).fill(zeros) : read(zeros, first, groups).data;
  const codes = read(codesOf(c), starts, sizes).data;
  const width = sizes.at(-1) ?? 1;
  const row = rowDecoder(block.at(-1) ?? 1, ((starts.at(-1) ?? 0) + (phase.at(-1) ?? 0)) % (block.at(-1) ?? 1));
  const rowGroups = groups.at(-1) ?? 1;
  const rowOf = outerGroups(starts, sizes, first, groups, c.quantization);
  for (let r = 0; r * width < out.length; r++) row(out, codes, r * width, width, scale, zero, rowOf(r) * rowGroups);
  roundTo(rounded, out);
  return c.dtype === rounded ? out : roundTo(c.dtype, out);
}

/** Row of groups that row `r` of a box lies in, both counted row-major over all dims but the last. */
function outerGroups(
  starts: readonly number[],
  sizes: readonly number[],
  first: readonly number[],
  groups: readonly number[],
  { block, phase }: Quantization,
): (r: number) => number {
  const outer = sizes.length - 1;
  return (r) => {
    let [at, step] = [0, 1];
    for (let d = outer - 1; d >= 0; d--) {
      const i = starts[d] + (r % sizes[d]);
      at += (Math.floor((i + phase[d]) / block[d]) - first[d]) * step;
      step *= groups[d];
      r = Math.floor(r / sizes[d]);
    }
    return at;
  };
}

type RowDecoder = (
  out: Float32Array,
  codes: TensorData,
  at: number,
  width: number,
  scale: TensorData,
  zero: TensorData,
  group: number,
) => void;

/** Decodes rows whose groups are runs of `block`, the first one `skipped` elements short. */
function rowDecoder(block: number, skipped: number): RowDecoder {
  if (block === 1)
    return (out, codes, at, width, scale, zero, group) => {
      for (let i = 0; i < width; i++) out[at + i] = Math.fround(codes[at + i] - zero[group + i]) * scale[group + i];
    };
  return (out, codes, at, width, scale, zero, group) => {
    let end = block - skipped;
    for (let i = 0; i < width; group++, end += block) {
      const [z, s] = [zero[group], scale[group]];
      for (const stop = Math.min(end, width); i < stop; i++) out[at + i] = Math.fround(codes[at + i] - z) * s;
    }
  };
}

/** What an algorithm leaves of a matrix. */
export interface QuantizedData {
  /** Type of the codes, at most 8 bits. */
  readonly stored: DType;
  readonly shape: readonly number[];
  /** One number a code, row-major, in the units of `stored`; or the codes as `stored` packs them. */
  readonly codes: TensorData | { readonly packed: Uint8Array };
  /** By dim: elements that share a scale (see Quantization); the last group may be ragged. */
  readonly block: readonly number[];
  /** Row-major over the groups. Values are stored as `scaleType`: round them first if they must not change here. */
  readonly scales: TensorData | Constant;
  readonly scaleType: DType;
  /** One for all, or one a group; integers of `stored`, or floats of `zeroType`. */
  readonly zeros: number | TensorData | Constant;
  /** Default: the type of the codes. */
  readonly zeroType?: DType;
  /** Type that ops see, f32 unless said otherwise, and the type values are rounded to. */
  readonly dtype?: DType;
}

/** A quantized constant over codes in memory. Throws RangeError when counts do not agree. */
export function quantizedConstant(name: string, data: QuantizedData): Quantized {
  const { stored, shape, block, dtype = 'f32' } = data;
  const groups = shape.map((n, d) => groupCount(n, block[d]));
  const inMemory = (what: string, type: DType, extents: readonly number[], values: TensorData): Constant => {
    if (values.length !== elementCount(extents))
      throw new RangeError(`${name}: ${values.length} ${what} for [${extents}]`);
    return denseConstant(type, extents, bytesSource(`${name}.${what}`, pack(type, values)));
  };
  const given = (what: string, type: DType, values: TensorData | Constant): Constant => {
    if (!('source' in values)) return inMemory(what, type, groups, values);
    if (values.shape.join() !== groups.join())
      throw new RangeError(`${name}: ${what} [${values.shape}] for [${groups}]`);
    return values;
  };
  const codes =
    'packed' in data.codes
      ? denseConstant(stored, shape, bytesSource(name, data.codes.packed))
      : inMemory('codes', stored, shape, data.codes);
  if (codes.source.byteLength !== bytesFor(stored, elementCount(shape)))
    throw new RangeError(`${name}: ${codes.source.byteLength} bytes of ${stored} codes for [${shape}]`);
  const quantization: Quantization = {
    scales: given('scales', data.scaleType, data.scales),
    zeros: typeof data.zeros === 'number' ? data.zeros : given('zeros', data.zeroType ?? stored, data.zeros),
    block,
    phase: shape.map(() => 0),
    rounded: dtype,
  };
  return { ...codes, dtype, quantization };
}

/** Share of elements that are not zero: codes other than their zero point. Reads all codes, a block of rows at a time. */
export function densityOf(c: Constant, read: Read): number {
  const count = elementCount(c.shape);
  if (count === 0) return 0;
  const rows = c.shape[0] ?? 1;
  const step = Math.max(1, Math.floor(BLOCK_ELEMENTS / (count / rows)));
  const values = isQuantized(c) && DTYPE_BITS[c.stored] <= 16 ? c : { ...c, dtype: c.stored };
  let nonZeros = 0;
  for (let row = 0; row < rows; row += step) {
    const starts = c.shape.map((_, d) => (d === 0 ? row : 0));
    const sizes = c.shape.map((n, d) => (d === 0 ? Math.min(step, rows - row) : n));
    const { data } = read(values, starts, sizes);
    for (let i = 0; i < data.length; i++) if (data[i] !== 0) nonZeros++;
  }
  return nonZeros / count;
}

const BLOCK_ELEMENTS = 2 ** 22;
