/** Indices into tensors: bounds, and walks over all positions of a shape. */
import { badValue } from './fault.ts';

/** `index` into `extent` elements, negative ones from the end. */
export function wrapIndex(op: string, index: number, extent: number): number {
  const at = index < 0 ? index + extent : index;
  if (at < 0 || at >= extent) badValue(op, `expected an index in ${-extent}..${extent - 1}, found ${index}`);
  return at;
}

/** Visits all positions of `shape` in order, with the offset under `strides` and the running number. */
export function eachOffset(
  shape: readonly number[],
  strides: readonly number[],
  visit: (offset: number, position: number) => void,
): void {
  const count = shape.reduce((a, b) => a * b, 1);
  const index = shape.map(() => 0);
  let offset = 0;
  for (let position = 0; position < count; position++) {
    visit(offset, position);
    for (let d = shape.length - 1; d >= 0; d--) {
      offset += strides[d];
      if (++index[d] < shape[d]) break;
      offset -= strides[d] * shape[d];
      index[d] = 0;
    }
  }
}
