/** Every DType to bytes and back; rounding against the plain definition of nearest, ties to even. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bytesFor, DTYPE_BITS, type DType, isFloat } from '../../src/ir/types.ts';
import { decodeTable } from '../../src/tensor/float-codes.ts';
import { pack, roundTo, unpack } from '../../src/tensor/pack.ts';
import { packCodes, unpackCodes } from '../../src/tensor/sub-byte.ts';
import { allocate } from '../../src/tensor/tensor.ts';

const dtypes = (Object.keys(DTYPE_BITS) as DType[]).filter((d) => d !== 'string');
const narrow = dtypes.filter((d) => isFloat(d) && DTYPE_BITS[d] <= 16);
const values = (dtype: DType): Float32Array => new Float32Array(Uint32Array.from(decodeTable(dtype)).buffer);
const withNaN: readonly DType[] = ['f16', 'bf16', 'f8e4m3fn', 'f8e4m3fnuz', 'f8e5m2', 'f8e5m2fnuz', 'f8e8m0'];

/** Integers that fit, as doubles. */
function integers(dtype: DType): fc.Arbitrary<number> {
  const bits = Math.min(DTYPE_BITS[dtype], 54);
  if (dtype === 'bool') return fc.constantFrom(0, 1);
  return dtype.startsWith('i')
    ? fc.maxSafeInteger().map((n) => Number(BigInt.asIntN(bits, BigInt(n))))
    : fc.maxSafeNat().map((n) => Number(BigInt.asUintN(bits - (bits === 54 ? 1 : 0), BigInt(n))));
}

describe('pack and unpack', () => {
  for (const dtype of dtypes.filter((d) => !isFloat(d)))
    test(`${dtype}: numbers come back`, () => {
      fc.assert(
        fc.property(fc.array(integers(dtype), { maxLength: 20 }), (numbers) => {
          const data = allocate(dtype, numbers.length);
          data.set(numbers);
          const bytes = pack(dtype, data);
          expect(bytes.length).toBe(bytesFor(dtype, numbers.length));
          expect([...unpack(dtype, bytes, numbers.length)]).toEqual(numbers.map((n) => n + 0));
        }),
        { numRuns: 60 },
      );
    });

  for (const dtype of dtypes.filter((d) => isFloat(d)))
    test(`${dtype}: bytes come back`, () => {
      // Codes of NaN are many and may become one; all others must be themselves again.
      fc.assert(
        fc.property(fc.uint8Array({ minLength: 24, maxLength: 24 }), (raw) => {
          const count = Math.floor((raw.length * 8) / DTYPE_BITS[dtype]);
          const data = unpack(dtype, raw, count);
          const again = unpack(dtype, pack(dtype, data), count);
          expect([...again]).toEqual([...data]);
          if (![...data].some(Number.isNaN)) expect(pack(dtype, data)).toEqual(raw);
        }),
        { numRuns: 100 },
      );
    });

  test('unaligned bytes are read', () => {
    const bytes = pack('f16', Float32Array.of(1, -2, 0.5));
    const shifted = new Uint8Array(7);
    shifted.set(bytes, 1);
    expect([...unpack('f16', shifted.subarray(1), 3)]).toEqual([1, -2, 0.5]);
    const wide = new Uint8Array(17);
    wide.set(pack('i64', Float64Array.of(-3, 2 ** 40)), 1);
    expect([...unpack('i64', wide.subarray(1), 2)]).toEqual([-3, 2 ** 40]);
  });

  test('NaN payloads of f16 and bf16 survive', () => {
    const raw = Uint8Array.of(0x01, 0x7c, 0xff, 0xff, 0x01, 0xfd);
    expect(pack('f16', unpack('f16', raw, 3))).toEqual(raw);
    const brain = Uint8Array.of(0x81, 0x7f, 0xff, 0xff);
    expect(pack('bf16', unpack('bf16', brain, 2))).toEqual(brain);
  });

  test('the ends of 64-bit integers', () => {
    const max = Uint8Array.of(255, 255, 255, 255, 255, 255, 255, 127);
    const min = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 128);
    expect([...unpack('i64', max, 1)]).toEqual([2 ** 63]);
    expect(pack('i64', Float64Array.of(2 ** 63))).toEqual(max);
    expect(pack('i64', Float64Array.of(Number.NEGATIVE_INFINITY))).toEqual(min);
    expect(pack('i64', Float64Array.of(-(2 ** 63)))).toEqual(min);
    expect(pack('u64', Float64Array.of(2 ** 64, -1))).toEqual(
      Uint8Array.from([...Array(8).fill(255), ...Array(8).fill(0)]),
    );
    expect(pack('i64', Float64Array.of(Number.NaN))).toEqual(new Uint8Array(8));
  });

  test('ONNX bit order of sub-byte types', () => {
    expect([...pack('u4', Uint8Array.of(1, 2, 3))]).toEqual([0x21, 0x03]);
    expect([...pack('i4', Int8Array.of(-1, -8))]).toEqual([0x8f]);
    expect([...pack('u2', Uint8Array.of(0, 1, 2, 3, 1))]).toEqual([0xe4, 0x01]);
    expect([...packCodes(6, [1, 2, 3, 4])]).toEqual([1 | ((2 & 3) << 6), 3 << 4, 4 << 2]);
    expect([...unpackCodes(6, packCodes(6, [63, 0, 33, 7, 9]), 0, 5)]).toEqual([63, 0, 33, 7, 9]);
    expect([...unpackCodes(6, packCodes(6, [63, 0, 33, 7, 9]), 2, 3)]).toEqual([33, 7, 9]);
  });

  test('too few bytes', () => expect(() => unpack('f32', new Uint8Array(7), 2)).toThrow(RangeError));
});

describe('roundTo', () => {
  for (const dtype of narrow) {
    const table = values(dtype);
    const finite = [...new Set(table)].filter(Number.isFinite).sort((a, b) => a - b);

    test(`${dtype}: representable values stay`, () => {
      const rounded = roundTo(dtype, table.slice());
      expect(table.findIndex((value, code) => Number.isFinite(value) && !Object.is(rounded[code], value))).toBe(-1);
    });

    test(`${dtype}: nearest, ties to even`, () => {
      // Midpoints have even neighbours by code parity; f8e8m0 breaks ties upwards.
      const step = Math.max(1, Math.floor(finite.length / 500));
      for (let i = 0; i + 1 < finite.length; i += step) {
        const [a, b] = [finite[i], finite[i + 1]];
        const middle = a + (b - a) / 2;
        const quarter = a + (b - a) / 4;
        if (Math.fround(middle) !== middle || Math.fround(quarter) !== quarter) continue;
        expect(roundTo(dtype, Float32Array.of(quarter))[0] + 0).toBe(a + 0);
        const chosen = roundTo(dtype, Float32Array.of(middle))[0];
        const even = pack(dtype, Float32Array.of(a))[0] % 2 === 0 ? a : b;
        expect(chosen + 0, `between ${a} and ${b}`).toBe((dtype === 'f8e8m0' ? b : even) + 0);
      }
    });
  }

  test('overflow as in ONNX Cast', () => {
    const huge = (dtype: DType, saturate: boolean, x = 1e30): number[] => [
      ...roundTo(dtype, Float32Array.of(x, -x), saturate),
    ];
    const Inf = Number.POSITIVE_INFINITY;
    expect(huge('f16', true)).toEqual([Inf, -Inf]);
    expect(huge('bf16', true, 3.4e38)).toEqual([Inf, -Inf]);
    for (const x of [1e30, Inf]) {
      expect(huge('f8e4m3fn', true, x)).toEqual([448, -448]);
      expect(huge('f8e4m3fnuz', true, x)).toEqual([240, -240]);
      expect(huge('f8e5m2', true, x)).toEqual([57344, -57344]);
      expect(huge('f8e5m2fnuz', true, x)).toEqual([57344, -57344]);
      expect(huge('f8e4m3fn', false, x)).toEqual([Number.NaN, Number.NaN]);
      expect(huge('f8e4m3fnuz', false, x)).toEqual([Number.NaN, Number.NaN]);
      expect(huge('f8e5m2', false, x)).toEqual([Inf, -Inf]);
      expect(huge('f6e2m3', false, x)).toEqual([7.5, -7.5]);
      expect(huge('f6e3m2', true, x)).toEqual([28, -28]);
      expect(huge('f4e2m1', true, x)).toEqual([6, -6]);
    }
    for (const dtype of withNaN) expect(roundTo(dtype, Float32Array.of(Number.NaN))[0]).toBeNaN();
    expect(Object.is(roundTo('f8e4m3fnuz', Float32Array.of(-0))[0], 0)).toBe(true);
    expect(Object.is(roundTo('f8e4m3fn', Float32Array.of(-0))[0], -0)).toBe(true);
  });

  test('f16 at its edges', () => {
    const cases = [
      65504, 65519.99609375, 65520, 5.960464477539063e-8, 2.980232238769531e-8, 2.9802325e-8, 6.103515625e-5,
    ];
    const wanted = [
      65504,
      65504,
      Number.POSITIVE_INFINITY,
      5.960464477539063e-8,
      0,
      5.960464477539063e-8,
      6.103515625e-5,
    ];
    expect([...roundTo('f16', Float32Array.from(cases))]).toEqual(wanted);
  });
});
