/** .npy files, there and back, and what is refused. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { DType } from '../../../src/ir/types.ts';
import { parseNpy, printNpy } from '../../../src/tensor/npy.ts';
import { roundTo } from '../../../src/tensor/pack.ts';
import { fromNumbers, sizeOf } from '../../../src/tensor/tensor.ts';

const DTYPES: readonly DType[] = ['f64', 'f32', 'f16', 'i64', 'i32', 'i16', 'i8', 'u64', 'u32', 'u16', 'u8', 'bool'];

test('every element type survives', () => {
  const shapes = fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 4 });
  fc.assert(
    fc.property(
      fc.constantFrom(...DTYPES),
      shapes,
      fc.array(fc.integer({ min: 0, max: 1 }), { minLength: 1 }),
      (dtype, shape, bits) => {
        const whole = fromNumbers(
          dtype,
          shape,
          Array.from({ length: sizeOf(shape) }, (_, i) => bits[i % bits.length] * (1 + (i % 99))),
        );
        if (dtype === 'bool') whole.data.forEach((v, i, all) => void (all[i] = v === 0 ? 0 : 1));
        if (dtype === 'f16') roundTo(dtype, whole.data as Float32Array);
        const bytes = printNpy(whole);
        expect((bytes.length - whole.data.length * bytesOf(dtype)) % 64).toBe(0);
        expect(parseNpy(bytes, 'a.npy')).toEqual(whole);
      },
    ),
    { seed: 1, numRuns: 200 },
  );
});

const bytesOf = (dtype: DType): number => (dtype === 'bool' ? 1 : Number(dtype.slice(1)) / 8);

describe('foreign files', () => {
  const file = (header: string, data: number[]): Uint8Array => {
    const padded = `${header.padEnd(117)}\n`;
    return Uint8Array.from([
      ...Buffer.from('\x93NUMPY\x01\x00', 'latin1'),
      padded.length,
      0,
      ...Buffer.from(padded),
      ...data,
    ]);
  };
  test('Fortran order is put right', () => {
    const bytes = file("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }", [1, 4, 2, 5, 3, 6]);
    expect(Array.from(parseNpy(bytes, 'a').data)).toEqual([1, 2, 3, 4, 5, 6]);
  });
  test.each([
    ['no header', Uint8Array.from([1, 2, 3]), 'a: expected an .npy file, found other bytes'],
    [
      'big-endian',
      file("{'descr': '>f4', 'fortran_order': False, 'shape': (), }", [0, 0, 0, 0]),
      'expected little-endian elements, found >f4',
    ],
    [
      'too short',
      file("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", [0, 0, 0, 0]),
      'expected 8 bytes of data, found 4',
    ],
    ['objects', file("{'descr': '|O', 'fortran_order': False, 'shape': (), }", []), 'found O'],
  ])('%s', (_, bytes, message) => expect(() => parseNpy(bytes, 'a')).toThrow(message));
});

test('a type that NumPy lacks is refused', () => {
  expect(() => printNpy(fromNumbers('bf16', [1], [1]))).toThrow('cast to f32 first');
});
