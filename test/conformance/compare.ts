/** Comparing tensors the way the conformance suites do: exact integers, floats within a tolerance by element type. */
import { type DType, isFloat, printType } from '../../src/ir/types.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';

export interface Tolerance {
  readonly absolute: number;
  readonly relative: number;
}

/** ONNX's own tests use 1e-3 relative; narrower formats get two steps of their last bit. */
export function toleranceOf(dtype: DType): Tolerance {
  if (!isFloat(dtype)) return { absolute: 0, relative: 0 };
  if (dtype === 'f32' || dtype === 'f64') return { absolute: 1e-5, relative: 1e-3 };
  if (dtype === 'f16') return { absolute: 1e-3, relative: 2e-3 };
  if (dtype === 'bf16') return { absolute: 1e-3, relative: 1.6e-2 };
  return { absolute: 0, relative: 0 };
}

/** The first disagreement in words, or undefined when `found` is `expected` within the tolerance. */
export function difference(
  expected: Tensor,
  found: Tensor,
  tolerance = toleranceOf(expected.dtype),
): string | undefined {
  const sameShape =
    expected.shape.length === found.shape.length && expected.shape.every((n, d) => n === found.shape[d]);
  if (expected.dtype !== found.dtype || !sameShape) return `expected ${printType(expected)}, found ${printType(found)}`;
  if (expected.strings) {
    const at = expected.strings.findIndex((s, i) => s !== found.strings?.[i]);
    return at < 0 ? undefined : `at ${at}: expected '${expected.strings[at]}', found '${found.strings?.[at]}'`;
  }
  let count = 0;
  let first = '';
  for (let i = 0; i < expected.data.length; i++) {
    const e = expected.data[i];
    const f = found.data[i];
    if (e === f || (Number.isNaN(e) && Number.isNaN(f))) continue;
    if (Math.abs(e - f) <= tolerance.absolute + tolerance.relative * Math.abs(e)) continue;
    if (count++ === 0) first = `at ${i}: expected ${e}, found ${f}`;
  }
  return count === 0 ? undefined : `${first} (${count} of ${expected.data.length} differ)`;
}
