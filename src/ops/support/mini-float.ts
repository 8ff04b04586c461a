/** Rounding to the 4, 6 and 8-bit floats, with the overflow rules that Cast and QuantizeLinear let the model choose. */
import type { DType } from '../../ir/types.ts';

interface Format {
  readonly mantissa: number;
  /** Exponent of the smallest normal number. */
  readonly minExponent: number;
  readonly max: number;
  /** What overflow becomes when it does not saturate. */
  readonly overflow: number;
  readonly nan: number;
  readonly negativeZero: boolean;
}

const FORMATS: Partial<Record<DType, Format>> = {
  f8e4m3fn: { mantissa: 3, minExponent: -6, max: 448, overflow: Number.NaN, nan: Number.NaN, negativeZero: true },
  f8e4m3fnuz: { mantissa: 3, minExponent: -7, max: 240, overflow: Number.NaN, nan: Number.NaN, negativeZero: false },
  f8e5m2: {
    mantissa: 2,
    minExponent: -14,
    max: 57344,
    overflow: Number.POSITIVE_INFINITY,
    nan: Number.NaN,
    negativeZero: true,
  },
  f8e5m2fnuz: { mantissa: 2, minExponent: -15, max: 57344, overflow: Number.NaN, nan: Number.NaN, negativeZero: false },
  // The types without NaN and infinity always saturate.
  f6e2m3: { mantissa: 3, minExponent: 0, max: 7.5, overflow: 7.5, nan: 7.5, negativeZero: true },
  f6e3m2: { mantissa: 2, minExponent: -2, max: 28, overflow: 28, nan: 28, negativeZero: true },
  f4e2m1: { mantissa: 1, minExponent: 0, max: 6, overflow: 6, nan: 6, negativeZero: true },
};

export const isMiniFloat = (dtype: DType): boolean => FORMATS[dtype] !== undefined || dtype === 'f8e8m0';

/** The rounding function of a format other than f8e8m0: nearest, ties to even. */
export function miniRounder(dtype: DType, saturate: boolean): (x: number) => number {
  const format = FORMATS[dtype];
  if (format === undefined) throw new TypeError(`${dtype} is not a mini float`);
  const { mantissa, minExponent, max, overflow, nan, negativeZero } = format;
  const tooBig = saturate ? max : overflow;
  return (x) => {
    if (x !== x) return nan;
    const a = Math.abs(x);
    let y = tooBig;
    if (a !== Number.POSITIVE_INFINITY) {
      const step = 2 ** (Math.max(floorLog2(a), minExponent) - mantissa);
      const scaled = a / step;
      const low = Math.floor(scaled);
      const rest = scaled - low;
      const rounded = (rest > 0.5 || (rest === 0.5 && low % 2 === 1) ? low + 1 : low) * step;
      if (rounded <= max) y = rounded;
    }
    return x < 0 || (Object.is(x, -0) && negativeZero) ? (y === 0 && !negativeZero ? 0 : -y) : y;
  };
}

/** Exponent of the leading bit of a finite positive number; very small for 0. */
function floorLog2(a: number): number {
  if (a === 0) return -1100;
  const guess = Math.floor(Math.log2(a)); // may be one off next to a power of two
  return 2 ** guess > a ? guess - 1 : 2 ** (guess + 1) <= a ? guess + 1 : guess;
}

/** f8e8m0 is a bare exponent: powers of two from 2^-127 to 2^127, and NaN. The sign is dropped. */
export function scaleRounder(mode: string, saturate: boolean): (x: number) => number {
  const tooBig = saturate ? 2 ** 127 : Number.NaN;
  return (x) => {
    if (x !== x) return x;
    const a = Math.abs(x);
    if (a === 0) return 2 ** -127;
    if (a === Number.POSITIVE_INFINITY) return tooBig;
    const exponent = floorLog2(a);
    const fraction = a / 2 ** exponent; // in [1, 2)
    const up = mode === 'up' ? fraction > 1 : mode === 'nearest' && fraction >= 1.5;
    const rounded = exponent + (up ? 1 : 0);
    return rounded > 127 ? tooBig : 2 ** Math.max(-127, rounded);
  };
}
