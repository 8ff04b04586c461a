/** Convolution as a matrix product: windows become columns, a chunk of output positions at a time. */
import { allocate, sizeOf, type TensorData } from '../../tensor/tensor.ts';
import type { DType } from '../../ir/types.ts';
import { dense, gemm } from './gemm.ts';
import { eachIndex, outputExtents, resolvedPads, type WindowAttrs } from './window.ts';

interface Image {
  readonly data: TensorData;
  readonly shape: readonly number[];
}

/** Elements of the column matrix held at a time. */
const CHUNK = 1 << 18;

/**
 * Grouped N-D convolution of x (batch, channels, ..) with w (filters, channels / groups, ..), without bias.
 * Padding contributes zeros: integer operands come with their zero points taken off.
 */
export function convolve(x: Image, w: Image, groups: number, window: WindowAttrs, dtype: DType): Image {
  const [batch, channels, ...extents] = x.shape;
  const [filters, depth] = w.shape;
  const out = outputExtents(window, extents);
  const { begin } = resolvedPads(window, extents, out);
  const pixels = sizeOf(out);
  const area = sizeOf(extents);
  const taps = sizeOf(window.kernel);
  const perGroup = filters / groups;
  const k = depth * taps;
  const result = allocate(dtype, batch * filters * pixels);
  const width = Math.min(pixels, Math.max(1, Math.floor(CHUNK / Math.max(1, k))));
  const columns = new (x.data.constructor as new (n: number) => TensorData)(k * width);
  const offsets = tapOffsets(window);
  const positions = new Int32Array(width * extents.length);
  for (let p0 = 0; p0 < pixels; p0 += width) {
    const count = Math.min(width, pixels - p0);
    cornersOf(positions, p0, count, out, window.strides, begin);
    for (let b = 0; b < batch; b++) {
      for (let g = 0; g < groups; g++) {
        for (let c = 0; c < depth; c++) {
          const plane = (b * channels + g * depth + c) * area;
          for (let t = 0; t < taps; t++) {
            fill(columns, (c * taps + t) * count, count, x.data, plane, extents, positions, offsets, t);
          }
        }
        const c = { data: result, offset: (b * filters + g * perGroup) * pixels + p0, rowStride: pixels, colStride: 1 };
        gemm(perGroup, count, k, dense(w.data, k, g * perGroup * k), dense(columns, count), c);
      }
    }
  }
  return { data: result, shape: [batch, filters, ...out] };
}

/** By tap, by dim: distance from the first element of the window. */
function tapOffsets({ kernel, dilations }: WindowAttrs): Int32Array {
  const out = new Int32Array(sizeOf(kernel) * kernel.length);
  eachIndex(kernel, (index, t) => {
    for (let d = 0; d < kernel.length; d++) out[t * kernel.length + d] = index[d] * dilations[d];
  });
  return out;
}

/** By output position, by dim: first element of its window, in the input's coordinates (negative in the padding). */
function cornersOf(
  into: Int32Array,
  first: number,
  count: number,
  out: readonly number[],
  strides: readonly number[],
  begin: readonly number[],
): void {
  const rank = out.length;
  for (let p = 0; p < count; p++) {
    let rest = first + p;
    for (let d = rank - 1; d >= 0; d--) {
      into[p * rank + d] = (rest % out[d]) * strides[d] - begin[d];
      rest = Math.floor(rest / out[d]);
    }
  }
}

/** One row of the column matrix: tap `t` of one channel, for `count` positions. */
function fill(
  columns: TensorData,
  to: number,
  count: number,
  x: TensorData,
  plane: number,
  extents: readonly number[],
  positions: Int32Array,
  offsets: Int32Array,
  t: number,
): void {
  const rank = extents.length;
  for (let p = 0; p < count; p++) {
    let at = 0;
    let inside = true;
    for (let d = 0; d < rank; d++) {
      const i = positions[p * rank + d] + offsets[t * rank + d];
      if (i < 0 || i >= extents[d]) inside = false;
      at = at * extents[d] + i;
    }
    columns[to + p] = inside ? x[plane + at] : 0;
  }
}
