/** Views that keep the elements in order and only rename the dims: Reshape, Squeeze, Unsqueeze, Flatten, Identity. */
import { type Dim, divDims, isKnown, printDim, productOf } from '../ir/dim.ts';
import type { InferContext, RunContext } from './op.ts';
import { sizeOf } from '../tensor/tensor.ts';
import { normalAxes, printShape } from './support/axes.ts';
import { badValue } from './support/fault.ts';
import { knownValues, lengthOf, numbersAt, typeAt } from './support/inputs.ts';
import { defineReshape } from './support/move.ts';

/** Resolves 0 (copy) and -1 (the rest) of a Reshape target; dims may be symbolic. */
function resolveTarget(
  context: InferContext,
  input: readonly Dim[],
  target: readonly Dim[],
  allowZero: boolean,
): Dim[] {
  const out = target.map((dim, d) =>
    dim === 0 && !allowZero ? (input[d] ?? wrongTarget(context, input, target)) : dim,
  );
  const total = productOf(input);
  const open = out.indexOf(-1);
  if (open < 0) {
    const wanted = productOf(out);
    if (isKnown(total) && isKnown(wanted) && total !== wanted) wrongTarget(context, input, target);
    return out;
  }
  const rest = productOf(out.filter((_, d) => d !== open));
  if (out.indexOf(-1, open + 1) >= 0)
    context.mismatch({ input: 1, expected: 'at most one -1', found: printShape(target) });
  if (rest === 0) wrongTarget(context, input, target);
  const quotient = divDims(total, rest);
  if (quotient === undefined && isKnown(total) && isKnown(rest)) wrongTarget(context, input, target);
  out[open] = quotient ?? context.fresh('reshape');
  return out;
}

const wrongTarget = (context: InferContext, input: readonly Dim[], target: readonly Dim[]): never =>
  context.mismatch({ input: 0, expected: `as many elements as in ${printShape(target)}`, found: printShape(input) });

function inferReshape(context: InferContext) {
  const { dtype, shape } = typeAt(context, 0);
  const allowZero = context.attrs.int('allowzero', 0) === 1;
  const target = context.version < 5 ? context.attrs.ints('shape') : context.valueOf(1);
  if (target !== undefined) return { types: [{ dtype, shape: resolveTarget(context, shape, target, allowZero) }] };
  const rank = lengthOf(context, 1);
  if (rank === undefined) context.mismatch({ input: 1, expected: 'a target of known length', found: 'a symbolic one' });
  return { types: [{ dtype, shape: Array.from({ length: rank }, () => context.fresh('reshape')) }] };
}

function reshapeTo(context: RunContext, from: readonly number[]): readonly number[] {
  const allowZero = context.attrs.int('allowzero', 0) === 1;
  const target = context.version < 5 ? context.attrs.ints('shape') : (numbersAt(context, 1) ?? []);
  const shape = target.map((n, d) => (n === 0 && !allowZero ? from[d] : n));
  const total = from.reduce((a, b) => a * b, 1);
  const open = shape.indexOf(-1);
  if (open >= 0) shape[open] = total / shape.reduce((a, b, d) => (d === open ? a : a * b), 1);
  if (shape.reduce((a, b) => a * b, 1) !== total || shape.some((n) => !Number.isInteger(n) || n < 0)) {
    badValue('Reshape', `expected a target of ${total} elements as in [${from}], found [${target}]`);
  }
  return shape;
}

const reshape = defineReshape({
  domain: '',
  name: 'Reshape',
  since: [1, 5, 13, 14, 19, 21, 23, 24],
  infer: inferReshape,
  shape: reshapeTo,
});

/** The axes of Squeeze and Unsqueeze: an attribute before 13, an input since; undefined when absent, null when unknown. */
function inferAxes(context: InferContext): readonly number[] | undefined | null {
  if (context.version < 13) return context.attrs.has('axes') ? context.attrs.ints('axes') : undefined;
  if (context.inputs[1] === undefined) return undefined;
  return knownValues(context, 1) ?? null;
}
/** Dims after Squeeze (-1) or Unsqueeze (1) by axes of which only the number is known. */
function freshAfter(context: InferContext, sign: 1 | -1): Dim[] {
  const count = lengthOf(context, 1);
  if (count === undefined) context.mismatch({ input: 1, expected: 'a known number of axes', found: 'a symbolic one' });
  const rank = typeAt(context, 0).shape.length + sign * count;
  return Array.from({ length: Math.max(0, rank) }, () => context.fresh('squeeze'));
}

const runAxes = (context: RunContext): readonly number[] | undefined =>
  context.version >= 13 ? numbersAt(context, 1) : context.attrs.has('axes') ? context.attrs.ints('axes') : undefined;

const squeeze = defineReshape({
  domain: '',
  name: 'Squeeze',
  since: [1, 11, 13, 21, 23, 24],
  infer(context: InferContext) {
    const { dtype, shape } = typeAt(context, 0);
    const given = inferAxes(context);
    if (given === null) return { types: [{ dtype, shape: freshAfter(context, -1) }] };
    const axes = given ? normalAxes(given, shape.length, context) : shape.flatMap((n, d) => (n === 1 ? [d] : []));
    const wide = axes.find((d) => isKnown(shape[d]) && shape[d] !== 1);
    if (wide !== undefined) {
      context.mismatch({ input: 0, expected: `1 at axis ${wide}`, found: printDim(shape[wide]) });
    }
    return { types: [{ dtype, shape: shape.filter((_, d) => !axes.includes(d)) }] };
  },
  shape(context, from) {
    const given = runAxes(context);
    const axes = given ? normalAxes(given, from.length) : from.flatMap((n, d) => (n === 1 ? [d] : []));
    const wide = axes.find((d) => from[d] !== 1);
    if (wide !== undefined) badValue('Squeeze', `expected 1 at axis ${wide}, found [${from}]`);
    return from.filter((_, d) => !axes.includes(d));
  },
});

/** `shape` with ones put in at `axes`, which count in the result. */
function insertOnes<D extends Dim>(shape: readonly D[], axes: readonly number[]): (D | 1)[] {
  const rest = shape.values();
  return Array.from({ length: shape.length + axes.length }, (_, d) =>
    axes.includes(d) ? 1 : (rest.next().value as D),
  );
}

const unsqueeze = defineReshape({
  domain: '',
  name: 'Unsqueeze',
  since: [1, 11, 13, 21, 23, 24],
  infer(context: InferContext) {
    const { dtype, shape } = typeAt(context, 0);
    const given = inferAxes(context);
    if (given === null) return { types: [{ dtype, shape: freshAfter(context, 1) }] };
    if (given === undefined) context.mismatch({ input: 1, expected: 'axes', found: 'none' });
    const axes = normalAxes(given, shape.length + given.length, context);
    if (axes.length !== given.length) context.mismatch({ expected: 'distinct axes', found: `[${given}]` });
    return { types: [{ dtype, shape: insertOnes(shape, axes) }] };
  },
  shape(context, from) {
    const given = runAxes(context) ?? [];
    return insertOnes(from, normalAxes(given, from.length + given.length));
  },
});

/** Axis of Flatten: 0..rank, where rank itself is allowed; negative since 11. */
const flattenAxis = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);

const flatten = defineReshape({
  domain: '',
  name: 'Flatten',
  since: [1, 9, 11, 13, 21, 23, 24],
  infer(context: InferContext) {
    const { dtype, shape } = typeAt(context, 0);
    const axis = context.attrs.int('axis', 1);
    if (axis < -shape.length || axis > shape.length) {
      context.mismatch({ expected: `an axis in ${-shape.length}..${shape.length}`, found: String(axis) });
    }
    const at = flattenAxis(axis, shape.length);
    return { types: [{ dtype, shape: [productOf(shape.slice(0, at)), productOf(shape.slice(at))] }] };
  },
  shape(context, from) {
    const at = flattenAxis(context.attrs.int('axis', 1), from.length);
    return [sizeOf(from.slice(0, at)), sizeOf(from.slice(at))];
  },
});

const identity = defineReshape({
  domain: '',
  name: 'Identity',
  since: [1, 13, 14, 16, 19, 21, 23, 24],
  infer: (context) => ({ types: [typeAt(context, 0)] }),
  shape: (_, from) => from,
});

export const ops = [reshape, squeeze, unsqueeze, flatten, identity];
