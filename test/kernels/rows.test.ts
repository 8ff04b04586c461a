/** The SIMD rows against the arithmetic of src/ops. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { KernelMemory } from '../../src/kernels/memory.ts';
import { softmaxInto } from '../../src/ops/support/softmax.ts';
import { geluTanh, sigmoid } from '../../src/ops/support/special.ts';

const memory = KernelMemory.open();
if (memory === undefined) throw new Error('no SIMD in this engine');
const { rows } = memory;
const take = (count: number): number => {
  const block = memory.take(4 * count);
  if (block === undefined) throw new Error('memory is full');
  return block.at;
};
const resident = (values: ArrayLike<number>): number => {
  const at = take(values.length);
  memory.f32(at, values.length).set(values);
  return at;
};

const SPECIAL = [0, -0, 1e-40, -1e-30, 87, 89, -88, -104, 700, -700, 3e38, Infinity, -Infinity, NaN];
const number = fc.oneof(fc.float({ noNaN: true, min: -30, max: 30 }), fc.constantFrom(...SPECIAL));
const numbers = fc.array(number, { minLength: 1, maxLength: 23 });

/** Equal, or neighbours among the f32. */
function expectNear(found: number, exact: number): void {
  const expected = Math.fround(exact);
  if (Object.is(found, expected)) return;
  expect(Math.abs(found - expected)).toBeLessThanOrEqual(Math.max(Math.abs(expected) * 2 ** -23, 2 ** -149));
}

test('arithmetic gives the bits of f32, whatever the operands are', () => {
  const OPS = [
    (a: number, b: number) => a + b,
    (a: number, b: number) => a - b,
    (a: number, b: number) => a * b,
    (a: number, b: number) => a / b,
  ];
  fc.assert(
    fc.property(numbers, fc.nat({ max: 3 }), fc.boolean(), fc.boolean(), (values, op, spreadX, spreadY) => {
      const n = values.length;
      const [x, y] = [resident(values), resident(values.toReversed())];
      const out = take(2 * n);
      const table = take(4);
      // Two rows: the operands, and the operands changed over.
      memory.i32(table, 4).set([x, y, y, x]);
      rows.binary(op, out, 2, n, table, spreadX ? 1 : 0, table + 8, spreadY ? 1 : 0);
      const operands = [values, values.toReversed()].map((v) => Float32Array.from(v));
      const expected = [0, 1].flatMap((r) =>
        values.map((_, i) => Math.fround(OPS[op](operands[r][spreadX ? i : 0], operands[1 - r][spreadY ? i : 0]))),
      );
      expect(Array.from(memory.f32(out, 2 * n))).toEqual(expected);
    }),
    { numRuns: 60 },
  );
});

test('functions are the nearest f32, or its neighbour', () => {
  const FUNCTIONS = [Math.exp, sigmoid, (x: number) => x * sigmoid(x), geluTanh];
  fc.assert(
    fc.property(numbers, fc.nat({ max: 3 }), (values, op) => {
      const out = take(values.length);
      rows.map(op, out, resident(values), values.length);
      const found = memory.f32(out, values.length);
      for (const [i, x] of Float32Array.from(values).entries()) {
        // Gelu by tanh loses digits in 1 + tanh where x is far below zero; the kernel does not.
        if (op === 3 && x < -3) expect(Math.abs(found[i] - FUNCTIONS[op](x)) || 0).toBeLessThan(1e-9);
        else expectNear(found[i], FUNCTIONS[op](x));
      }
    }),
    { numRuns: 100 },
  );
});

test('softmax of rows', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 19 }),
      fc.array(number, { minLength: 57, maxLength: 57 }),
      (length, values) => {
        const x = Float32Array.from(values.slice(0, 3 * length));
        const out = take(x.length);
        rows.softmax(out, resident(x), 3, length);
        const expected = new Float32Array(x.length);
        softmaxInto(expected, x, { outer: 3, extent: length, inner: 1 });
        for (const [i, v] of memory.f32(out, x.length).entries()) expectNear(v, expected[i]);
      },
    ),
    { numRuns: 60 },
  );
});
