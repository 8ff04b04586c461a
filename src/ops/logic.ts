/** Comparisons, boolean and bitwise ops. */
import { type Dim, isKnown } from '../ir/dim.ts';
import type { DType } from '../ir/types.ts';
import { allocate, sizeOf, type Tensor, tensor } from '../tensor/tensor.ts';
import { defineOp, type OpDef } from './op.ts';
import {
  type BinaryRow,
  binaryInto,
  broadcastInputs,
  broadcastNumbers,
  broadcastTo,
  rowOf,
} from './support/broadcast.ts';
import { binaryOp, commonDtype, operand, unaryOp } from './support/elementwise.ts';
import { foldBinary, lessDims, sameDims } from './support/values.ts';

const equalRow: BinaryRow = (out, o, n, a, ai, as, b, bi, bs) => {
  for (let i = 0; i < n; i++) out[o + i] = a[ai + i * as] === b[bi + i * bs] ? 1 : 0;
};
const lessRow: BinaryRow = (out, o, n, a, ai, as, b, bi, bs) => {
  for (let i = 0; i < n; i++) out[o + i] = a[ai + i * as] < b[bi + i * bs] ? 1 : 0;
};
const greaterRow: BinaryRow = (out, o, n, a, ai, as, b, bi, bs) => {
  for (let i = 0; i < n; i++) out[o + i] = a[ai + i * as] > b[bi + i * bs] ? 1 : 0;
};

/** Equal also compares strings (19). */
const equal = defineOp({
  domain: '',
  name: 'Equal',
  since: [7, 11, 13, 19],
  trait: 'elementwise',
  infer(context) {
    commonDtype(context);
    const shape = broadcastInputs(context);
    return { types: [{ dtype: 'bool', shape }], values: [foldBinary(context, shape, sameDims)] };
  },
  run(context) {
    const [a, b] = [operand(context, 0), operand(context, 1)];
    const shape = broadcastNumbers(a.shape, b.shape);
    if (a.dtype === 'string') return [equalStrings(broadcastTo(a, shape), broadcastTo(b, shape))];
    const out = allocate('bool', sizeOf(shape));
    binaryInto(out, shape, a, b, equalRow);
    return [tensor('bool', shape, out)];
  },
});

function equalStrings({ shape, strings }: Tensor, other: Tensor): Tensor {
  const out = Uint8Array.from(strings ?? [], (s, i) => (s === other.strings?.[i] ? 1 : 0));
  return tensor('bool', shape, out);
}

const not = (d: Dim | undefined): Dim | undefined => (d === undefined || !isKnown(d) ? undefined : 1 - d);

const compare = (
  name: string,
  since: readonly number[],
  row: BinaryRow,
  fold: (a: Dim, b: Dim) => Dim | undefined,
): OpDef => binaryOp({ name, since, result: 'bool', fold, row: () => row });

const logical = (name: string, f: (x: number, y: number) => number, fold: (a: Dim, b: Dim) => Dim | undefined): OpDef =>
  binaryOp({ name, since: [7], result: 'bool', dtypes: ['bool'], fold, row: () => rowOf(f) });

const bothKnown = (f: (a: number, b: number) => number) => (a: Dim, b: Dim) =>
  isKnown(a) && isKnown(b) ? f(a, b) : undefined;

/** Bitwise ops: 32 bits natively, 64-bit integers by way of BigInt (exact to 2^53, as they are held). */
const bitwise = (name: string, f: (x: number, y: number) => number, big: (x: bigint, y: bigint) => bigint): OpDef =>
  binaryOp({
    name,
    since: [18],
    row: (dtype) =>
      rowOf(dtype === 'i64' || dtype === 'u64' ? (x, y) => Number(wrapBig(dtype, big(BigInt(x), BigInt(y)))) : f),
  });

const wrapBig = (dtype: DType, v: bigint): bigint => (dtype === 'i64' ? BigInt.asIntN(64, v) : BigInt.asUintN(64, v));

const BITS: Partial<Record<DType, number>> = { u8: 8, u16: 16, u32: 32, u64: 64 };

/** By arithmetic, not by JS shifts: those take the count modulo 32. Scaling by powers of two is exact. */
const bitShift = binaryOp({
  name: 'BitShift',
  since: [11],
  dtypes: ['u8', 'u16', 'u32', 'u64'],
  row(dtype, { attrs }) {
    const bits = BITS[dtype] ?? 64;
    const range = 2 ** bits;
    if (attrs.string('direction') === 'LEFT') return rowOf((x, n) => (n >= bits ? 0 : (x * 2 ** n) % range));
    return rowOf((x, n) => (n >= bits ? 0 : Math.floor(x / 2 ** n)));
  },
});

export const ops: readonly OpDef[] = [
  equal,
  compare('Less', [7, 9, 13], lessRow, lessDims),
  compare('Greater', [7, 9, 13], greaterRow, (a, b) => lessDims(b, a)),
  compare(
    'LessOrEqual',
    [12, 16],
    rowOf((x, y) => (x <= y ? 1 : 0)),
    (a, b) => not(lessDims(b, a)),
  ),
  compare(
    'GreaterOrEqual',
    [12, 16],
    rowOf((x, y) => (x >= y ? 1 : 0)),
    (a, b) => not(lessDims(a, b)),
  ),
  logical(
    'And',
    (x, y) => x & y,
    (a, b) => (a === 0 || b === 0 ? 0 : bothKnown((x, y) => x & y)(a, b)),
  ),
  logical(
    'Or',
    (x, y) => x | y,
    (a, b) => (a === 1 || b === 1 ? 1 : bothKnown((x, y) => x | y)(a, b)),
  ),
  logical(
    'Xor',
    (x, y) => x ^ y,
    bothKnown((x, y) => x ^ y),
  ),
  unaryOp({ name: 'Not', since: [1], dtypes: ['bool'], fold: not, f: () => (x) => 1 - x }),
  bitwise(
    'BitwiseAnd',
    (x, y) => x & y,
    (x, y) => x & y,
  ),
  bitwise(
    'BitwiseOr',
    (x, y) => x | y,
    (x, y) => x | y,
  ),
  bitwise(
    'BitwiseXor',
    (x, y) => x ^ y,
    (x, y) => x ^ y,
  ),
  // -x - 1 is the complement in every signed width; unsigned widths wrap on store.
  unaryOp({ name: 'BitwiseNot', since: [18], f: () => (x) => -x - 1 }),
  bitShift,
];
