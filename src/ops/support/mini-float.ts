/** Rounding to f8e8m0, a bare exponent: powers of two from 2^-127 to 2^127, and NaN. */

/** The rounding function for `round_mode` of Cast: 'up' (away from zero), 'down' or 'nearest'. Signs are dropped. */
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

/** Exponent of the leading bit of a finite positive number. */
function floorLog2(a: number): number {
  const guess = Math.floor(Math.log2(a)); // may be one off next to a power of two
  return 2 ** guess > a ? guess - 1 : 2 ** (guess + 1) <= a ? guess + 1 : guess;
}
