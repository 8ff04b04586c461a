/** Weights that lie beyond the last code of their grid. */
import { codesOf, type Quantized } from '../ir/constant.ts';
import { DTYPE_BITS } from '../ir/types.ts';
import { readConstant } from '../tensor/read.ts';

/**
 * Whether the weight in a row (output) and column (input) of a weight [inputs, outputs] is cut off, by what its value misses: its code is the least or
 * the largest, and the error is more than half a step. Undefined where codes are no integers.
 */
export function codeError(weight: Quantized): ((row: number, column: number, error: number) => boolean) | undefined {
  if (!/^[iu]\d+$/.test(weight.stored)) return undefined;
  const { scales, block, phase } = weight.quantization;
  const codes = readConstant(codesOf(weight)).data;
  const steps = readConstant(scales).data;
  const bits = DTYPE_BITS[weight.stored];
  const isSigned = weight.stored.startsWith('i');
  const [least, most] = isSigned ? [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] : [0, 2 ** bits - 1];
  const [width, perRow] = [weight.shape[1], scales.shape[1]];
  return (row, column, error) => {
    const code = codes[column * width + row];
    // Symmetric grids leave the least code out.
    if (code !== most && code > least + (isSigned ? 1 : 0)) return false;
    const group = Math.floor((column + phase[0]) / block[0]) * perRow + Math.floor((row + phase[1]) / block[1]);
    // A little more than half: the value itself was rounded.
    return Math.abs(error) > 0.501 * Math.abs(steps[group]);
  };
}
