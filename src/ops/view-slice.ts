/** Slice, with numpy's clamping; a length over symbols is given under the assumption that the slice is inside. */
import { addDims, type Dim, isKnown, subDims } from '../ir/dim.ts';
import type { InferContext, RunContext } from './op.ts';
import { normalAxis } from './support/axes.ts';
import { badValue } from './support/fault.ts';
import { knownValues, lengthOf, numbersAt, typeAt } from './support/inputs.ts';
import { defineStrided } from './support/move.ts';

interface Cut<D extends Dim> {
  readonly axis: number;
  readonly start: D;
  readonly end: D;
  readonly step: number;
}

/** First index and number of the elements that `cut` takes of `extent`, for known numbers. */
export function clampCut(
  extent: number,
  { start, end, step }: Omit<Cut<number>, 'axis'>,
): { first: number; count: number } {
  const clamp = (i: number, low: number, high: number) => Math.min(Math.max(i < 0 ? i + extent : i, low), high);
  const first = step > 0 ? clamp(start, 0, extent) : clamp(start, 0, extent - 1);
  const stop = step > 0 ? clamp(end, 0, extent) : clamp(end, -1, extent - 1);
  return { first, count: Math.max(0, Math.ceil((stop - first) / step)) };
}

/** Bounds from here on mean "to the end": exporters write INT32_MAX or INT64_MAX, and their negatives. */
const FAR = 2 ** 31 - 1;

/**
 * Length of a slice when a bound or the extent is symbolic. A bound over symbols is taken to lie inside the dim, and
 * a symbolic dim to be long enough for known bounds: exporters cut masks and caches so. Undefined for other cases.
 */
function symbolicLength(extent: Dim, { start, end, step }: Cut<Dim>): Dim | undefined {
  const reversed = step === -1 && (start === -1 || (isKnown(start) && start >= FAR)) && isKnown(end) && end <= -FAR;
  if (reversed) return extent;
  if (step !== 1) return undefined;
  const place = (bound: Dim): Dim => {
    if (!isKnown(bound)) return bound;
    if (bound >= FAR) return extent;
    if (bound <= -FAR) return 0;
    if (isKnown(extent)) return Math.min(Math.max(bound < 0 ? bound + extent : bound, 0), extent);
    return bound < 0 ? addDims(extent, bound) : bound;
  };
  const length = subDims(place(end), place(start));
  return isKnown(length) ? Math.max(0, length) : length;
}

/** The cuts when they are known; undefined for a bound that only run time tells, null when even the axes are unknown. */
function inferCuts(context: InferContext, rank: number): readonly (Cut<Dim> | { readonly axis: number })[] | null {
  const { attrs, version } = context;
  const fromInputs = version >= 10;
  const starts = fromInputs ? context.valueOf(1) : attrs.ints('starts');
  const ends = fromInputs ? context.valueOf(2) : attrs.ints('ends');
  const count = starts?.length ?? ends?.length ?? lengthOf(context, 1) ?? rank;
  const allAxes = Array.from({ length: count }, (_, d) => d);
  const axes = fromInputs
    ? context.inputs[3] === undefined
      ? allAxes
      : knownValues(context, 3)
    : attrs.ints('axes', allAxes);
  const steps = fromInputs && context.inputs[4] !== undefined ? knownValues(context, 4) : allAxes.map(() => 1);
  for (const [i, list] of [starts, ends, axes, steps].entries())
    if (list !== undefined && list.length !== count)
      context.mismatch({ input: fromInputs ? i + 1 : 0, expected: `${count} of each list`, found: `${list.length}` });
  if (axes === undefined) return null;
  return axes.map((given, i) => {
    const axis = normalAxis(given, rank, context);
    if (starts === undefined || ends === undefined || steps === undefined) return { axis };
    if (steps[i] === 0) context.mismatch({ input: 4, expected: 'a step other than 0', found: '0' });
    return { axis, start: starts[i], end: ends[i], step: steps[i] };
  });
}

function inferSlice(context: InferContext) {
  const { dtype, shape } = typeAt(context, 0);
  const cuts = inferCuts(context, shape.length);
  if (cuts === null) return { types: [{ dtype, shape: shape.map(() => context.fresh('slice')) }] };
  const out: Dim[] = [...shape];
  for (const cut of cuts) {
    const extent = out[cut.axis];
    if (!('start' in cut)) out[cut.axis] = context.fresh('slice');
    else if (isKnown(extent) && isKnown(cut.start) && isKnown(cut.end)) {
      out[cut.axis] = clampCut(extent, { start: cut.start, end: cut.end, step: cut.step }).count;
    } else out[cut.axis] = symbolicLength(extent, cut) ?? context.fresh('slice');
  }
  return { types: [{ dtype, shape: out }] };
}

function runCuts(context: RunContext, rank: number): readonly Cut<number>[] {
  const { attrs, version } = context;
  const fromInputs = version >= 10;
  const starts = (fromInputs ? numbersAt(context, 1) : attrs.ints('starts')) ?? [];
  const ends = (fromInputs ? numbersAt(context, 2) : attrs.ints('ends')) ?? [];
  const axes = (fromInputs ? numbersAt(context, 3) : attrs.ints('axes', [...starts.keys()])) ?? [...starts.keys()];
  const steps = (fromInputs ? numbersAt(context, 4) : undefined) ?? starts.map(() => 1);
  if (steps.includes(0)) badValue('Slice', 'expected a step other than 0, found 0');
  return axes.map((axis, i) => ({ axis: normalAxis(axis, rank), start: starts[i], end: ends[i], step: steps[i] }));
}

const slice = defineStrided({
  domain: '',
  name: 'Slice',
  since: [1, 10, 11, 13],
  infer: inferSlice,
  view(context, source) {
    const shape = [...source.shape];
    const strides = [...source.strides];
    let { offset } = source;
    for (const { axis, ...cut } of runCuts(context, shape.length)) {
      const { first, count } = clampCut(shape[axis], cut);
      if (count > 0) offset += first * strides[axis];
      shape[axis] = count;
      strides[axis] *= cut.step;
    }
    return [{ shape, strides, offset }];
  },
});

export const ops = [slice];
