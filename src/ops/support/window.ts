/** Geometry of sliding windows (Conv, pools): output extents, symbolic or not, and paddings. */
import { addDims, type Dim, divDims, isKnown, subDims } from '../../ir/dim.ts';
import type { AttrReader } from '../op.ts';

/** The attributes that convolutions and pools share, with one entry per spatial dim. */
export interface WindowAttrs {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  /** Begin of every dim, then end of every dim. */
  readonly pads: readonly number[];
  readonly autoPad: string;
  readonly ceil: boolean;
}

/** Reads the window attributes for `kernel`, which Conv may take from the shape of its weight. */
export function windowAttrs(attrs: AttrReader, kernel: readonly number[]): WindowAttrs {
  const ones = kernel.map(() => 1);
  return {
    kernel,
    strides: attrs.ints('strides', ones),
    dilations: attrs.ints('dilations', ones),
    pads: attrs.ints(
      'pads',
      [...kernel, ...kernel].map(() => 0),
    ),
    autoPad: attrs.string('auto_pad', 'NOTSET'),
    ceil: attrs.int('ceil_mode', 0) === 1,
  };
}

/** Which list in `w` is not as long as there are spatial dims, for a diagnostic. */
export function windowFault(w: WindowAttrs, spatial: number): string | undefined {
  if (w.kernel.length !== spatial) return `kernel_shape [${w.kernel}]`;
  if (w.strides.length !== spatial || w.strides.some((s) => s < 1)) return `strides [${w.strides}]`;
  if (w.dilations.length !== spatial || w.dilations.some((s) => s < 1)) return `dilations [${w.dilations}]`;
  if (w.pads.length !== 2 * spatial) return `pads [${w.pads}]`;
  return undefined;
}

/** Extent from the first to one past the last element that a window touches. */
const reach = (w: WindowAttrs, d: number): number => (w.kernel[d] - 1) * w.dilations[d] + 1;

const isSame = (w: WindowAttrs): boolean => w.autoPad === 'SAME_UPPER' || w.autoPad === 'SAME_LOWER';

/** `ceil(dim / by)` or `floor`; a `fresh` dim where the division does not come out even. */
function divide(dim: Dim, by: number, ceil: boolean, fresh: (hint: string) => Dim): Dim {
  if (isKnown(dim)) return ceil ? Math.ceil(dim / by) : Math.floor(dim / by);
  return divDims(dim, by) ?? fresh('window');
}

/** Number of window positions along spatial dim `d` of extent `extent`. */
export function outputExtent(w: WindowAttrs, d: number, extent: Dim, fresh: (hint: string) => Dim): Dim {
  if (isSame(w)) return divide(extent, w.strides[d], true, fresh);
  const padded = w.autoPad === 'VALID' ? 0 : w.pads[d] + w.pads[d + w.kernel.length];
  const free = addDims(extent, padded - reach(w, d));
  const count = addDims(divide(free, w.strides[d], w.ceil, fresh), 1);
  if (!w.ceil || !isKnown(count) || !isKnown(extent)) return count;
  // A last window that would start in the padding at the end is dropped.
  return (count - 1) * w.strides[d] >= extent + (w.autoPad === 'VALID' ? 0 : w.pads[d]) ? count - 1 : count;
}

/** Padding at the begin and at the end of every spatial dim, auto_pad resolved. */
export function resolvedPads(
  w: WindowAttrs,
  extents: readonly number[],
  out: readonly number[],
): { begin: number[]; end: number[] } {
  const n = extents.length;
  if (w.autoPad === 'VALID') return { begin: extents.map(() => 0), end: extents.map(() => 0) };
  if (!isSame(w)) return { begin: w.pads.slice(0, n), end: w.pads.slice(n) };
  const total = extents.map((e, d) => Math.max(0, (out[d] - 1) * w.strides[d] + reach(w, d) - e));
  const small = total.map((t) => Math.floor(t / 2));
  const large = total.map((t, d) => t - small[d]);
  return w.autoPad === 'SAME_UPPER' ? { begin: small, end: large } : { begin: large, end: small };
}

/** Numeric {@link outputExtent} of all dims. */
export const outputExtents = (w: WindowAttrs, extents: readonly number[]): number[] =>
  extents.map((e, d) => {
    const out = outputExtent(w, d, e, () => 0);
    return isKnown(out) ? Math.max(0, out) : 0;
  });

/** False where a window is known to be larger than the padded input. */
export const windowFits = (w: WindowAttrs, d: number, extent: Dim): boolean => {
  if (isSame(w)) return true;
  const free = subDims(
    addDims(extent, w.autoPad === 'VALID' ? 0 : w.pads[d] + w.pads[d + w.kernel.length]),
    reach(w, d),
  );
  return !isKnown(free) || free >= 0;
};

/** Calls `visit` with every index below `shape`, row-major; the array is reused. */
export function eachIndex(shape: readonly number[], visit: (index: readonly number[], at: number) => void): void {
  const total = shape.reduce((a, b) => a * b, 1);
  const index = shape.map(() => 0);
  for (let at = 0; at < total; at++) {
    visit(index, at);
    for (let d = shape.length - 1; d >= 0 && ++index[d] === shape[d]; d--) index[d] = 0;
  }
}
