/** Ranges of element types. */
import { type DType, isFloat } from '../../ir/types.ts';

/** Smallest and largest element of a type: what Max and Min of nothing are. */
export function limitsOf(dtype: DType): readonly [number, number] {
  if (isFloat(dtype)) return [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
  if (dtype === 'bool') return [0, 1];
  const bits = Number(dtype.slice(1));
  return dtype.startsWith('u') ? [0, 2 ** bits - 1] : [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1];
}
