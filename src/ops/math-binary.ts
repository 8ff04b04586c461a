/** Arithmetic on two operands with numpy broadcasting. */
import { addDims, divDims, isKnown, mulDims, subDims } from '../ir/dim.ts';
import { type DType, isFloat } from '../ir/types.ts';
import { allocate, sizeOf, tensor } from '../tensor/tensor.ts';
import { defineOp, type OpDef } from './op.ts';
import { type BinaryRow, binaryInto, broadcastShapes, rowOf } from './support/broadcast.ts';
import { printShape } from './support/axes.ts';
import { binaryOp, operand, required, stored } from './support/elementwise.ts';
import { badValue } from './support/fault.ts';

const addRow: BinaryRow = (out, o, n, a, ai, as, b, bi, bs) => {
  for (let i = 0; i < n; i++) out[o + i] = a[ai + i * as] + b[bi + i * bs];
};
const subRow: BinaryRow = (out, o, n, a, ai, as, b, bi, bs) => {
  for (let i = 0; i < n; i++) out[o + i] = a[ai + i * as] - b[bi + i * bs];
};
const mulRow: BinaryRow = (out, o, n, a, ai, as, b, bi, bs) => {
  for (let i = 0; i < n; i++) out[o + i] = a[ai + i * as] * b[bi + i * bs];
};
// A product of two 32-bit integers may need more than 53 bits; imul keeps the low 32.
const mulRow32 = rowOf(Math.imul);
const divRow: BinaryRow = (out, o, n, a, ai, as, b, bi, bs) => {
  for (let i = 0; i < n; i++) out[o + i] = a[ai + i * as] / b[bi + i * bs];
};

/** Truncating division, exact where a / b would round up to the next integer. */
const divideInt = (x: number, y: number): number => {
  if (y === 0) badValue('Div', 'integer division by zero');
  return (x - (x % y)) / y + 0; // + 0 turns -0 into 0
};

/** Remainder with the sign of the divisor, as in Python. */
const floorMod = (x: number, y: number): number => {
  const r = x % y;
  return (r !== 0 && r < 0 !== y < 0 ? r + y : r) + 0;
};
const intMod = (f: (x: number, y: number) => number) => (x: number, y: number) =>
  y === 0 ? badValue('Mod', 'integer division by zero') : f(x, y);

const is32 = (dtype: DType) => dtype === 'i32' || dtype === 'u32';

const add = binaryOp({ name: 'Add', since: [7, 13, 14], fold: addDims, row: () => addRow });
const sub = binaryOp({ name: 'Sub', since: [7, 13, 14], fold: subDims, row: () => subRow });
const mul = binaryOp({
  name: 'Mul',
  since: [7, 13, 14],
  fold: mulDims,
  row: (dtype) => (is32(dtype) ? mulRow32 : mulRow),
});
const div = binaryOp({
  name: 'Div',
  since: [7, 13, 14],
  fold: (a, b) => (isKnown(a) && isKnown(b) ? (b === 0 ? undefined : Math.trunc(a / b) + 0) : divDims(a, b)),
  row: (dtype) => (isFloat(dtype) ? divRow : rowOf(divideInt)),
});
const mod = binaryOp({
  name: 'Mod',
  since: [10, 13],
  fold: (a, b) => {
    if (isKnown(a) && isKnown(b)) return b === 0 || a < 0 || b < 0 ? undefined : a % b;
    return divDims(a, b) === undefined ? undefined : 0;
  },
  row(dtype, { attrs }) {
    const f = attrs.int('fmod', 0) === 1 ? (x: number, y: number) => x % y : floorMod;
    return rowOf(isFloat(dtype) ? f : intMod((x, y) => f(x, y) + 0));
  },
});

/** The exponent has its own type; the result has the type of the base. */
const pow = defineOp({
  domain: '',
  name: 'Pow',
  since: [7, 12, 13, 15],
  trait: 'elementwise',
  infer(context) {
    const [base, exponent] = [required(context, 0), required(context, 1)];
    const shape = broadcastShapes(base.shape, exponent.shape);
    if (shape !== undefined) return { types: [{ dtype: base.dtype, shape }] };
    return context.mismatch({
      input: 1,
      expected: `a shape that broadcasts with ${printShape(base.shape)}`,
      found: printShape(exponent.shape),
    });
  },
  run(context) {
    const [a, b] = [operand(context, 0), operand(context, 1)];
    const shape = broadcastShapes(a.shape, b.shape) as readonly number[];
    const out = allocate(a.dtype, sizeOf(shape));
    binaryInto(out, shape, a, b, powRow(a.dtype, b));
    return [tensor(a.dtype, shape, stored(a.dtype, out))];
  },
});

/** Squares are most of what models raise to a power: no call for them. Integer bases drop the fraction. */
function powRow(dtype: DType, exponent: { readonly data: ArrayLike<number> }): BinaryRow {
  if (exponent.data.length === 1 && exponent.data[0] === 2 && isFloat(dtype)) {
    return (out, o, n, a, ai, as) => {
      for (let i = 0; i < n; i++) out[o + i] = a[ai + i * as] * a[ai + i * as];
    };
  }
  return isFloat(dtype) ? rowOf(Math.pow) : rowOf((x, y) => Math.trunc(x ** y));
}

/** Slopes broadcast to x, never the other way. */
const prelu = defineOp({
  domain: '',
  name: 'PRelu',
  since: [7, 9, 16],
  trait: 'elementwise',
  infer(context) {
    const [x, slope] = [required(context, 0), required(context, 1)];
    const shape = broadcastShapes(x.shape, slope.shape);
    if (shape === undefined || shape.length !== x.shape.length) {
      context.mismatch({
        input: 1,
        expected: `a shape that broadcasts to ${printShape(x.shape)}`,
        found: printShape(slope.shape),
      });
    }
    return { types: [x] };
  },
  run(context) {
    const [x, slope] = [operand(context, 0), operand(context, 1)];
    const out = allocate(x.dtype, x.data.length);
    binaryInto(
      out,
      x.shape,
      x,
      slope,
      rowOf((v, s) => (v < 0 ? v * s : v)),
    );
    return [tensor(x.dtype, x.shape, stored(x.dtype, out))];
  },
});

export const ops: readonly OpDef[] = [add, sub, mul, div, mod, pow, prelu];
