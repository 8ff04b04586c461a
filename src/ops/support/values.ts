/**
 * Value propagation: exporters compute shapes with small integer tensors, so infer carries their elements as
 * dims. Symbols stand for extents and are never negative; that decides most comparisons they meet.
 */
import { addDims, type Dim, equalDims, isKnown, subDims } from '../../ir/dim.ts';
import { sizeOf } from '../../tensor/tensor.ts';
import type { InferContext } from '../op.ts';
import { knownDims } from './axes.ts';
import { eachRow, planRows } from './broadcast.ts';

/** Elements of a tensor, as dims; undefined where they are not known. */
export type Values = readonly Dim[] | undefined;

/** `f` over the elements of inputs 0 and 1 broadcast to `shape`; undefined when one input or one result is unknown. */
export function foldBinary(
  context: InferContext,
  shape: readonly Dim[],
  f: (a: Dim, b: Dim) => Dim | undefined,
): Values {
  const a = context.valueOf(0);
  const b = context.valueOf(1);
  const out = knownDims(shape);
  const sa = knownDims(context.inputs[0]?.shape ?? []);
  const sb = knownDims(context.inputs[1]?.shape ?? []);
  if (!a || !b || !out || !sa || !sb) return undefined;
  const plan = planRows(out, [sa, sb]);
  const values: (Dim | undefined)[] = new Array(sizeOf(out));
  eachRow(plan, (o, [ia, ib]) => {
    for (let i = 0; i < plan.length; i++) values[o + i] = f(a[ia + i * plan.steps[0]], b[ib + i * plan.steps[1]]);
  });
  return allKnown(values);
}

/** `f` over the elements of input 0. */
export const foldUnary = (context: InferContext, f: (a: Dim) => Dim | undefined): Values => {
  const a = context.valueOf(0);
  return a && allKnown(a.map(f));
};

const isDim = (d: Dim | undefined): d is Dim => d !== undefined;
export const allKnown = (values: readonly (Dim | undefined)[]): Values => (values.every(isDim) ? values : undefined);

/** Lower and upper bound of a dim for symbols >= 0. */
export function boundsOf(dim: Dim): { low: number; high: number } {
  if (isKnown(dim)) return { low: dim, high: dim };
  let low = 0;
  let high = 0;
  for (const [mono, coef] of dim.terms) {
    if (mono === '' || coef > 0) low += mono === '' ? coef : 0;
    else low = Number.NEGATIVE_INFINITY;
    if (mono === '' || coef < 0) high += mono === '' ? coef : 0;
    else high = Number.POSITIVE_INFINITY;
  }
  return { low, high };
}

/** 1 or 0 for a < b, undefined when it depends on the symbols. */
export function lessDims(a: Dim, b: Dim): Dim | undefined {
  const { low, high } = boundsOf(subDims(a, b));
  return high < 0 ? 1 : low >= 0 ? 0 : undefined;
}

/** 1 or 0 for a == b, undefined when it depends on the symbols. */
export function sameDims(a: Dim, b: Dim): Dim | undefined {
  if (equalDims(a, b)) return 1;
  const { low, high } = boundsOf(subDims(a, b));
  return high < 0 || low > 0 ? 0 : undefined;
}

/** The larger (or, `sign` -1, the smaller) of two dims, when it is always the same one. */
export function extremeDim(a: Dim, b: Dim, sign: 1 | -1): Dim | undefined {
  const { low, high } = boundsOf(subDims(a, b));
  if (low >= 0) return sign === 1 ? a : b;
  if (high <= 0) return sign === 1 ? b : a;
  return undefined;
}

export const sumDims = (dims: readonly Dim[]): Dim => dims.reduce<Dim>(addDims, 0);
