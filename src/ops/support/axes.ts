/** Axis arguments: negative axes, sets of axes, and the three-part view (outer, axis, inner) of a shape. */
import { type Dim, isKnown, printDim } from '../../ir/dim.ts';
import { sizeOf } from '../../tensor/tensor.ts';
import type { InferContext } from '../op.ts';
import { badValue } from './fault.ts';

type Mismatch = Pick<InferContext, 'mismatch'>;

const outOfRange: Mismatch = {
  mismatch({ expected, found }) {
    return badValue('axis', `expected ${expected}, found ${found}`);
  },
};

/** `axis` counted from the front. Out of range: `context.mismatch`, or `run/bad-value` at run time. */
export function normalAxis(axis: number, rank: number, context: Mismatch = outOfRange): number {
  if (!Number.isInteger(axis) || axis < -rank || axis >= rank) {
    context.mismatch({ expected: `an axis in ${-rank}..${rank - 1}`, found: String(axis) });
  }
  return axis < 0 ? axis + rank : axis;
}

/** Sorted distinct axes counted from the front. */
export function normalAxes(axes: readonly number[], rank: number, context: Mismatch = outOfRange): number[] {
  if (axes.length === 1) return [normalAxis(axes[0], rank, context)];
  const set = new Set(axes.map((axis) => normalAxis(axis, rank, context)));
  return [...set].sort((a, b) => a - b);
}

/** `shape` as outer x extent x inner around `axis`: element (o, k, i) is at `(o * extent + k) * inner + i`. */
export function splitAt(shape: readonly number[], axis: number): { outer: number; extent: number; inner: number } {
  return { outer: sizeOf(shape.slice(0, axis)), extent: shape[axis], inner: sizeOf(shape.slice(axis + 1)) };
}

/** All of `dims` as numbers, or undefined when one is symbolic. */
export const knownDims = (dims: readonly Dim[]): readonly number[] | undefined =>
  dims.every(isKnown) ? dims : undefined;

export const printShape = (dims: readonly Dim[]): string => `[${dims.map(printDim).join(',')}]`;

/** False only when the two are known to differ; symbols are taken to agree. */
export const mayEqual = (a: Dim, b: Dim): boolean => !isKnown(a) || !isKnown(b) || a === b;
