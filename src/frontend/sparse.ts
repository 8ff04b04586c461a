/**
 * Sparse tensors as dense ones, lazily: a range of the dense bytes is made of the entries that lie in it, when it is read. What
 * stays in memory is where every 65,536th entry lies.
 */
import { fail } from '../diag/diagnostic.ts';
import { type ByteSource, denseConstant, elementCount } from '../ir/constant.ts';
import { bytesFor, DTYPE_BITS } from '../ir/types.ts';
import type { OnnxSparseTensor, OnnxTensor } from '../onnx/model.ts';
import { readElements } from '../tensor/read.ts';

/** Entries read at once. */
const CHUNK = 2 ** 16;

/**
 * The same elements as a dense tensor, zeros in between. Nothing is read before the tensor is.
 * @throws Diagnosed `onnx/sparse` for indices that do not fit the values; reading does for indices out of range or order.
 */
export function denseTensor({ values, indices, shape }: OnnxSparseTensor): OnnxTensor {
  const { name, dtype } = values;
  const [count = 1] = values.shape;
  const wrong = (message: string): never => fail({ code: 'onnx/sparse', message: `sparse tensor ${name} ${message}` });
  if (DTYPE_BITS[dtype] === 0 || DTYPE_BITS[dtype] % 8 !== 0)
    wrong(`is of ${dtype}; elements of whole bytes are expected`);
  const flat = indices.shape.length === 1;
  const fits = indices.dtype === 'i64' && values.shape.length === 1 && indices.shape[0] === count;
  if (!fits || !(flat || (indices.shape.length === 2 && indices.shape[1] === shape.length)))
    wrong(
      `has values [${values.shape}] at indices ${indices.dtype}[${indices.shape}]; i64[${count}] or i64[${count},${shape.length}] is expected`,
    );
  return { name, dtype, shape, source: new Scattered({ values, indices, shape }) };
}

/** Dense bytes of values at their places. */
class Scattered implements ByteSource {
  readonly label: string;
  readonly byteLength: number;
  private readonly values: OnnxTensor;
  private readonly indices: OnnxTensor;
  private readonly extents: readonly number[];
  private readonly count: number;
  /** Place of the first entry of each chunk, checked; made by the first read. */
  private firsts: Float64Array | undefined;
  private held: { readonly chunk: number; readonly places: Float64Array } | undefined;

  constructor({ values, indices, shape }: OnnxSparseTensor) {
    this.values = values;
    this.indices = indices;
    this.extents = indices.shape.length === 1 ? [elementCount(shape)] : shape;
    this.count = values.shape[0];
    this.label = values.name;
    this.byteLength = bytesFor(values.dtype, elementCount(shape));
  }

  read(offset: number, into: Uint8Array): void {
    const size = DTYPE_BITS[this.values.dtype] / 8;
    into.fill(0);
    const [first, end] = [Math.floor(offset / size), Math.ceil((offset + into.length) / size)];
    this.firsts ??= this.check();
    for (let chunk = lastAtMost(this.firsts, first); chunk < this.firsts.length; chunk++) {
      if (this.firsts[chunk] >= end) break;
      const places = this.placesOf(chunk);
      const bytes = new Uint8Array(places.length * size);
      this.values.source.read(chunk * CHUNK * size, bytes);
      for (const [i, place] of places.entries()) {
        if (place < first || place >= end) continue;
        // The first and the last element may be asked for in part.
        for (let b = 0; b < size; b++) {
          const at = place * size + b - offset;
          if (at >= 0 && at < into.length) into[at] = bytes[i * size + b];
        }
      }
    }
  }

  /** One pass over the indices. */
  private check(): Float64Array {
    const firsts = new Float64Array(Math.ceil(this.count / CHUNK));
    let last = -1;
    for (let chunk = 0; chunk < firsts.length; chunk++) {
      const places = this.placesOf(chunk);
      firsts[chunk] = places[0];
      for (const [i, place] of places.entries()) {
        if (place <= last)
          fail({
            code: 'onnx/sparse',
            message: `sparse tensor ${this.label} has element ${place} after ${last}; ascending order is expected, each once`,
            where: `element ${chunk * CHUNK + i}`,
          });
        last = place;
      }
    }
    return firsts;
  }

  /** Places of the entries of a chunk in the dense tensor, row-major. */
  private placesOf(chunk: number): Float64Array {
    if (this.held?.chunk === chunk) return this.held.places;
    const from = chunk * CHUNK;
    const count = Math.min(CHUNK, this.count - from);
    const rank = this.extents.length;
    const view = denseConstant('i64', [this.count, rank], this.indices.source);
    const { data } = readElements(view, [from, 0], [count, rank]);
    const places = new Float64Array(count);
    for (let i = 0; i < count; i++) {
      for (const [d, extent] of this.extents.entries()) {
        const index = data[i * rank + d];
        if (!(index >= 0 && index < extent))
          fail({
            code: 'onnx/sparse',
            message: `sparse tensor ${this.label} has an element at ${index} of an extent of ${extent}`,
            where: `element ${from + i}, axis ${d}`,
          });
        places[i] = places[i] * extent + index;
      }
    }
    this.held = { chunk, places };
    return places;
  }
}

/** The last of ascending `values` that is at most `x`; 0 where none is. */
function lastAtMost(values: Float64Array, x: number): number {
  let [low, high] = [0, values.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] <= x) low = middle + 1;
    else high = middle;
  }
  return Math.max(0, low - 1);
}
