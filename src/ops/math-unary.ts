/** Functions of one operand, and Clip. */
import { type Dim, isKnown, mulDims } from '../ir/dim.ts';
import { tensor } from '../tensor/tensor.ts';
import { defineOp, type OpDef, type RunContext } from './op.ts';
import { commonDtype, mapTensor, operand, required, unaryOp } from './support/elementwise.ts';
import { erf, roundEven } from './support/special.ts';
import { boundsOf, foldUnary } from './support/values.ts';

const plain = (
  name: string,
  since: readonly number[],
  f: (x: number) => number,
  fold?: (d: Dim) => Dim | undefined,
): OpDef => unaryOp({ name, since, f: () => f, ...(fold ? { fold } : {}) });

/** Limits are attributes before 11, optional scalar inputs from then on; the upper one wins when they cross. */
const clip = defineOp({
  domain: '',
  name: 'Clip',
  since: [6, 11, 12, 13],
  trait: 'elementwise',
  infer(context) {
    const { shape } = required(context, 0);
    const dtype = commonDtype(context);
    for (const input of [1, 2]) {
      const limit = context.inputs[input];
      if (limit && limit.shape.length > 1) {
        context.mismatch({ input, expected: 'a scalar', found: `a tensor of rank ${limit.shape.length}` });
      }
    }
    const known = (i: number, fallback: number) => (context.inputs[i] ? context.valueOf(i)?.[0] : fallback);
    const low = known(1, Number.NEGATIVE_INFINITY);
    const high = known(2, Number.POSITIVE_INFINITY);
    const inside = (d: Dim) => clipDim(d, low, high);
    return { types: [{ dtype, shape }], values: [foldUnary(context, inside)] };
  },
  run(context) {
    const x = operand(context, 0);
    const { low, high } = clipLimits(context);
    const out = mapTensor(x, (v) => (v < low ? Math.min(low, high) : v > high ? high : v));
    return [tensor(x.dtype, x.shape, out.data)];
  },
});

function clipLimits({ version, attrs, inputs }: RunContext): { low: number; high: number } {
  const low = version < 11 ? attrs.float('min', Number.NEGATIVE_INFINITY) : inputs[1]?.data[0];
  const high = version < 11 ? attrs.float('max', Number.POSITIVE_INFINITY) : inputs[2]?.data[0];
  return { low: low ?? Number.NEGATIVE_INFINITY, high: high ?? Number.POSITIVE_INFINITY };
}

function clipDim(d: Dim, low: Dim | undefined, high: Dim | undefined): Dim | undefined {
  if (low === undefined || high === undefined || !isKnown(low) || !isKnown(high)) return undefined;
  if (isKnown(d)) return Math.min(high, Math.max(low, d));
  const bounds = boundsOf(d);
  return bounds.low >= low && bounds.high <= high ? d : undefined;
}

const isInf = unaryOp({
  name: 'IsInf',
  since: [10, 20],
  result: 'bool',
  f({ attrs }) {
    const positive = attrs.int('detect_positive', 1) === 1;
    const negative = attrs.int('detect_negative', 1) === 1;
    return (x) =>
      (positive && x === Number.POSITIVE_INFINITY) || (negative && x === Number.NEGATIVE_INFINITY) ? 1 : 0;
  },
});

export const ops: readonly OpDef[] = [
  plain('Abs', [6, 13], Math.abs, (d) => (isKnown(d) ? Math.abs(d) : boundsOf(d).low >= 0 ? d : undefined)),
  plain(
    'Neg',
    [6, 13],
    (x) => -x,
    (d) => mulDims(d, -1),
  ),
  plain('Sign', [9, 13], Math.sign),
  plain('Sqrt', [6, 13], Math.sqrt),
  plain('Reciprocal', [6, 13], (x) => 1 / x),
  plain('Exp', [6, 13], Math.exp),
  plain('Log', [6, 13], Math.log),
  plain('Ceil', [6, 13], Math.ceil),
  plain('Floor', [6, 13], Math.floor),
  plain('Round', [11, 22], roundEven),
  plain('Sin', [7, 22], Math.sin),
  plain('Cos', [7, 22], Math.cos),
  plain('Tan', [7, 22], Math.tan),
  plain('Asin', [7, 22], Math.asin),
  plain('Acos', [7, 22], Math.acos),
  plain('Atan', [7, 22], Math.atan),
  plain('Sinh', [9, 22], Math.sinh),
  plain('Cosh', [9, 22], Math.cosh),
  plain('Asinh', [9, 22], Math.asinh),
  plain('Acosh', [9, 22], Math.acosh),
  plain('Atanh', [9, 22], Math.atanh),
  plain('Erf', [9, 13], erf),
  unaryOp({ name: 'IsNaN', since: [9, 13, 20], result: 'bool', f: () => (x) => (x !== x ? 1 : 0) }),
  isInf,
  clip,
];
