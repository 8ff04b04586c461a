/** Reductions over sets of axes. */
import { type Dim, isKnown, mulDims } from '../ir/dim.ts';
import type { DType } from '../ir/types.ts';
import { allocate, sizeOf, type Tensor, type TensorData, tensor } from '../tensor/tensor.ts';
import { defineOp, type InferContext, type OpDef, type RunContext } from './op.ts';
import { normalAxes } from './support/axes.ts';
import { eachRow, planRows } from './support/broadcast.ts';
import { operand, required, stored } from './support/elementwise.ts';
import { limitsOf } from './support/limits.ts';
import { sumDims, type Values } from './support/values.ts';

/** Adds `n` elements from `x[o]` on to `acc`: all to `acc[at]` (step 0), or one each to `acc[at..]` (step 1). */
type ReduceRow = (acc: Float64Array, at: number, step: number, x: TensorData, o: number, n: number) => void;

interface Reducer {
  readonly name: string;
  /** Version from which the axes are an input. */
  readonly axesInputSince: 13 | 18;
  readonly since: readonly number[];
  start(dtype: DType): number;
  readonly row: ReduceRow;
  readonly finish?: (sum: number, count: number) => number;
  readonly fold?: (dims: readonly Dim[]) => Dim | undefined;
}

const sumRow: ReduceRow = (acc, at, step, x, o, n) => {
  if (step === 1) for (let i = 0; i < n; i++) acc[at + i] += x[o + i];
  else {
    let sum = 0;
    for (let i = 0; i < n; i++) sum += x[o + i];
    acc[at] += sum;
  }
};
const squareRow: ReduceRow = (acc, at, step, x, o, n) => {
  for (let i = 0; i < n; i++) acc[at + i * step] += x[o + i] * x[o + i];
};
const absRow: ReduceRow = (acc, at, step, x, o, n) => {
  for (let i = 0; i < n; i++) acc[at + i * step] += Math.abs(x[o + i]);
};
const productRow: ReduceRow = (acc, at, step, x, o, n) => {
  for (let i = 0; i < n; i++) acc[at + i * step] *= x[o + i];
};
const maxRow: ReduceRow = (acc, at, step, x, o, n) => {
  for (let i = 0; i < n; i++) acc[at + i * step] = Math.max(acc[at + i * step], x[o + i]);
};
const minRow: ReduceRow = (acc, at, step, x, o, n) => {
  for (let i = 0; i < n; i++) acc[at + i * step] = Math.min(acc[at + i * step], x[o + i]);
};

const zero = () => 0;
const SINCE = [1, 11, 13, 18];
const REDUCERS: readonly Reducer[] = [
  { name: 'ReduceSum', axesInputSince: 13, since: [1, 11, 13], start: zero, row: sumRow, fold: sumDims },
  { name: 'ReduceMean', axesInputSince: 18, since: SINCE, start: zero, row: sumRow, finish: (s, n) => s / n },
  {
    name: 'ReduceMax',
    axesInputSince: 18,
    since: [1, 11, 12, 13, 18, 20],
    start: (t) => limitsOf(t)[0],
    row: maxRow,
    fold: foldKnown(Math.max),
  },
  {
    name: 'ReduceMin',
    axesInputSince: 18,
    since: [1, 11, 12, 13, 18, 20],
    start: (t) => limitsOf(t)[1],
    row: minRow,
    fold: foldKnown(Math.min),
  },
  {
    name: 'ReduceProd',
    axesInputSince: 18,
    since: SINCE,
    start: () => 1,
    row: productRow,
    fold: (d) => d.reduce<Dim>(mulDims, 1),
  },
  { name: 'ReduceL1', axesInputSince: 18, since: SINCE, start: zero, row: absRow },
  { name: 'ReduceL2', axesInputSince: 18, since: SINCE, start: zero, row: squareRow, finish: Math.sqrt },
  { name: 'ReduceLogSum', axesInputSince: 18, since: SINCE, start: zero, row: sumRow, finish: Math.log },
  { name: 'ReduceSumSquare', axesInputSince: 18, since: SINCE, start: zero, row: squareRow },
];

function foldKnown(f: (...d: number[]) => number): (dims: readonly Dim[]) => Dim | undefined {
  return (dims) => (dims.every(isKnown) && dims.length > 0 ? f(...dims) : undefined);
}

/** The axes asked for, or undefined where they are an input whose elements are not known. */
function axesOf(
  context: InferContext | RunContext,
  axesInputSince: number,
  values: Values,
  rank: number,
): number[] | undefined {
  const given = context.version < axesInputSince ? context.attrs.ints('axes', []) : context.inputs[1] ? values : [];
  if (given === undefined || !given.every(isKnown)) return undefined;
  if (given.length > 0) return normalAxes(given, rank, 'mismatch' in context ? context : undefined);
  return context.attrs.int('noop_with_empty_axes', 0) === 1 ? [] : Array.from({ length: rank }, (_, d) => d);
}

/** Shape after a reduction. */
function reducedShape<D extends Dim>(shape: readonly D[], axes: readonly number[], keep: boolean): (D | 1)[] {
  return shape.flatMap<D | 1>((n, d) => (!axes.includes(d) ? [n] : keep ? [1] : []));
}

function inferReduction(context: InferContext, { axesInputSince, fold }: Pick<Reducer, 'axesInputSince' | 'fold'>) {
  const { dtype, shape } = required(context, 0);
  const keep = context.attrs.int('keepdims', 1) === 1;
  const axes = axesOf(context, axesInputSince, context.valueOf(1), shape.length);
  if (axes === undefined) {
    const count = context.inputs[1]?.shape[0];
    if (!keep && !(typeof count === 'number')) {
      context.mismatch({ input: 1, expected: 'axes known at compile time', found: 'a computed tensor' });
    }
    // Which dims survive is not known, only how many.
    const rank = keep ? shape.length : shape.length - Number(count);
    return { types: [{ dtype, shape: Array.from({ length: rank }, (_, d) => context.fresh(`reduced${d}`)) }] };
  }
  const types = [{ dtype, shape: reducedShape(shape, axes, keep) }];
  const value = context.valueOf(0);
  const folded = fold && value && shape.length === 1 && axes.length === 1 ? fold(value) : undefined;
  return folded === undefined ? { types } : { types, values: [[folded]] };
}

/** Reduces `x` over `axes` in double precision; `count` elements go into each result. */
function accumulate(x: Tensor, axes: readonly number[], start: number, row: ReduceRow): Float64Array {
  const kept = reducedShape(x.shape, axes, true);
  const acc = new Float64Array(sizeOf(kept)).fill(start);
  if (x.data.length === 0) return acc;
  const plan = planRows(x.shape, [kept]);
  eachRow(plan, (o, [at]) => row(acc, at, plan.steps[0], x.data, o, plan.length));
  return acc;
}

function store(x: Tensor, axes: readonly number[], keep: boolean, acc: Float64Array): Tensor {
  const out = allocate(x.dtype, acc.length);
  out.set(acc);
  return tensor(x.dtype, reducedShape(x.shape, axes, keep), stored(x.dtype, out));
}

const runAxes = (context: RunContext, since: number, rank: number): number[] =>
  axesOf(context, since, context.inputs[1] && Array.from(context.inputs[1].data), rank) ?? [];

const reduction = (reducer: Reducer): OpDef =>
  defineOp({
    domain: '',
    name: reducer.name,
    since: reducer.since,
    trait: 'compute',
    infer: (context) => inferReduction(context, reducer),
    run(context) {
      const x = operand(context, 0);
      const axes = runAxes(context, reducer.axesInputSince, x.shape.length);
      const acc = accumulate(x, axes, reducer.start(x.dtype), reducer.row);
      const { finish } = reducer;
      const count = axes.reduce((n, d) => n * x.shape[d], 1);
      if (finish) for (let i = 0; i < acc.length; i++) acc[i] = finish(acc[i], count);
      return [store(x, axes, context.attrs.int('keepdims', 1) === 1, acc)];
    },
  });

/** Two sweeps: the maximum, then the sum of exponentials below it. */
const logSumExp = defineOp({
  domain: '',
  name: 'ReduceLogSumExp',
  since: SINCE,
  trait: 'compute',
  infer: (context) => inferReduction(context, { axesInputSince: 18 }),
  run(context) {
    const x = operand(context, 0);
    const axes = runAxes(context, 18, x.shape.length);
    const max = accumulate(x, axes, Number.NEGATIVE_INFINITY, maxRow);
    for (let i = 0; i < max.length; i++) if (!Number.isFinite(max[i])) max[i] = 0; // inf - inf is no shift
    const acc = accumulate(x, axes, 0, (sum, at, step, data, o, n) => {
      for (let i = 0; i < n; i++) sum[at + i * step] += Math.exp(data[o + i] - max[at + i * step]);
    });
    for (let i = 0; i < acc.length; i++) acc[i] = Math.log(acc[i]) + max[i];
    return [store(x, axes, context.attrs.int('keepdims', 1) === 1, acc)];
  },
});

export const ops: readonly OpDef[] = [...REDUCERS.map(reduction), logSumExp];
