/** Constants and attributes as TypeScript. */
import type { Constant } from '../ir/constant.ts';
import { elementCount } from '../ir/constant.ts';
import { readConstant } from '../tensor/read.ts';
import { isFloat } from '../ir/types.ts';
import { list, quote } from './syntax.ts';

/** Constants up to this many elements stand in the code; more of them say less than a name does. */
const INLINE_INTEGERS = 16;
const INLINE_FLOATS = 4;

export const isInline = (c: Constant): boolean =>
  c.dtype !== 'string' && elementCount(c.shape) <= (isFloat(c.dtype) ? INLINE_FLOATS : INLINE_INTEGERS);

/** `tensor('i64', [2], [0, -1])`. */
export function tensorLiteral(constant: Constant): string {
  const { dtype, shape, data } = readConstant(constant);
  const numbers = data instanceof Float32Array ? Array.from(data, shortest) : data;
  return `tensor(${quote(dtype)}, ${list(shape)}, ${list(numbers)})`;
}

/** The number of fewest digits that is the same f32. */
function shortest(value: number): number {
  if (value === 0) return value; // keeps its sign
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return value;
}
