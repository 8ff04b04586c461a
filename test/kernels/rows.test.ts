/** The SIMD rows against the arithmetic of src/ops. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { KernelMemory } from '../../src/kernels/memory.ts';
import { softmaxInto } from '../../src/ops/support/softmax.ts';
import { erf, gelu, geluTanh, sigmoid } from '../../src/ops/support/special.ts';
import { roundTo } from '../../src/tensor/pack.ts';

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

/** Equal, or next to each other among the f32; `more` for differences that cancel. */
function expectNear(found: number, exact: number, more = 0): void {
  const expected = Math.fround(exact);
  if (Object.is(found, expected) || found === expected) return;
  // Or two away; nothing is promised of numbers below the normal ones.
  expect(Math.abs(found - expected)).toBeLessThanOrEqual(Math.max(Math.abs(expected) * 2 ** -22, 2 ** -125) + more);
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
      const table = take(6);
      // Two rows: the operands, and the operands changed over.
      memory.i32(table, 6).set([x, y, y, x, out, out + 4 * n]);
      rows.binary(op, table + 16, 2, n, table, spreadX ? 1 : 0, table + 8, spreadY ? 1 : 0);
      const operands = [values, values.toReversed()].map((v) => Float32Array.from(v));
      const expected = [0, 1].flatMap((r) =>
        values.map((_, i) => Math.fround(OPS[op](operands[r][spreadX ? i : 0], operands[1 - r][spreadY ? i : 0]))),
      );
      expect(Array.from(memory.f32(out, 2 * n))).toEqual(expected);
    }),
    { numRuns: 60 },
  );
});

test('functions are the nearest f32, or next to it', () => {
  const FUNCTIONS = [
    Math.exp,
    sigmoid,
    (x: number) => x * sigmoid(x),
    Math.tanh,
    erf,
    gelu,
    geluTanh,
    (x: number) => x ** 3,
  ];
  fc.assert(
    fc.property(numbers, fc.nat({ max: FUNCTIONS.length - 1 }), (values, op) => {
      const out = take(values.length);
      rows.map(op, out, resident(values), values.length);
      const found = memory.f32(out, values.length);
      for (const [i, x] of Float32Array.from(values).entries())
        expectNear(found[i], FUNCTIONS[op](x), op === 5 ? Math.abs(x) * 2 ** -37 : 0);
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

test('sums of rows, and copies of rows', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 9 }),
      fc.array(fc.float({ noNaN: true, min: -9, max: 9 }), { minLength: 27, maxLength: 27 }),
      (length, values) => {
        const x = Float32Array.from(values.slice(0, 3 * length));
        const [from, out, table] = [resident(x), take(x.length), take(6)];
        rows.sums(out, from, 3, length, 2);
        const sums = [0, 1, 2].map((r) => x.subarray(r * length, (r + 1) * length).reduce((a, b) => a + b, 0) / 2);
        for (const [r, sum] of memory.f32(out, 3).entries()) expect(sum).toBeCloseTo(sums[r], 4);
        const at = (base: number, r: number): number => base + 4 * r * length;
        memory.i32(table, 6).set([at(from, 2), at(from, 0), at(from, 1), at(out, 0), at(out, 1), at(out, 2)]);
        rows.copy(table + 12, table, 3, length);
        const [a, b, c] = [0, 1, 2].map((r) => Array.from(x.subarray(r * length, (r + 1) * length)));
        expect(Array.from(memory.f32(out, x.length))).toEqual([...c, ...a, ...b]);
      },
    ),
    { numRuns: 20 },
  );
});

test('f16 and bf16 round as the plain code does, every bit', () => {
  const floats = fc.oneof(
    number,
    fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }).map((bits) => new Float32Array(Int32Array.of(bits).buffer)[0]),
    // Ties, the largest ones, and those below the normal ones.
    fc.integer({ min: 0, max: 2 ** 14 }).map((i) => i * 2 ** -25),
    fc.constantFrom(65504, 65519.99, 65520, 65536, 2 ** -24, 2 ** -25, 3 * 2 ** -26),
  );
  fc.assert(
    fc.property(fc.array(floats, { minLength: 1, maxLength: 23 }), fc.nat({ max: 1 }), (values, kind) => {
      const at = resident(values);
      rows.narrow(kind, at, values.length);
      const expected = roundTo(kind === 0 ? 'f16' : 'bf16', Float32Array.from(values));
      for (const [i, found] of memory.f32(at, values.length).entries())
        expect(Object.is(found, expected[i]) ? '' : `${values[i]}: ${found}, not ${expected[i]}`).toBe('');
    }),
    { numRuns: 300 },
  );
});

test('norms of rows', () => {
  const plain = fc.array(fc.float({ noNaN: true, min: -30, max: 30 }), { minLength: 57, maxLength: 57 });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 19 }), plain, fc.nat({ max: 7 }), (length, values, which) => {
      const x = Float32Array.from(values.slice(0, 3 * length));
      const [gain, bias] = [values.slice(0, length), values.slice(-length)];
      const [hasGain, hasBias, centred] = [1, 2, 4].map((bit) => (which & bit) !== 0);
      const out = take(x.length);
      const at = [hasGain ? resident(gain) : 0, hasBias ? resident(bias) : 0];
      rows.norm(out, resident(x), 3, length, at[0], at[1], 1e-5, centred ? 1 : 0);
      const found = memory.f32(out, x.length);
      for (let r = 0; r < 3; r++) {
        const row = x.subarray(r * length, (r + 1) * length);
        const mean = centred ? row.reduce((a, b) => a + b, 0) / length : 0;
        const factor = 1 / Math.sqrt(row.reduce((sum, v) => sum + (v - mean) ** 2, 0) / length + 1e-5);
        for (let i = 0; i < length; i++) {
          const scaled = (row[i] - mean) * factor * (hasGain ? Math.fround(gain[i]) : 1);
          const exact = scaled + (hasBias ? Math.fround(bias[i]) : 0);
          // Sums in another order: what cancels is not exact.
          expectNear(found[r * length + i], exact, (Math.abs(scaled) + 1000 * factor) * 2 ** -45);
        }
      }
    }),
    { numRuns: 60 },
  );
});
