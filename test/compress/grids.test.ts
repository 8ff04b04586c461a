/** Grids by hand, and what holds of every grid. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { clippedGrid } from '../../src/compress/clip.ts';
import { type Format, type IntegerFormat, isRefusal, parseFormat, printFormat } from '../../src/compress/format.ts';
import { quantizeFloat8, quantizeMicro, quantizeNvfp4 } from '../../src/compress/floats.ts';
import { codeRange, gridOf } from '../../src/compress/grids.ts';
import { hqq } from '../../src/compress/hqq.ts';
import { dequantizeMatrix, type Matrix, sqnrDb } from '../../src/compress/matrix.ts';
import { roundToNearest } from '../../src/compress/rtn.ts';
import { normalMatrix } from './support.ts';

const row = (...values: number[]): Matrix => ({ rows: 1, columns: values.length, values: Float32Array.from(values) });
function format(word: string): Format {
  const found = parseFormat(word);
  if (isRefusal(found)) throw new Error(found.problem);
  return found;
}
function integer(word: string): IntegerFormat {
  const found = format(word);
  if (found.kind !== 'integer') throw new Error(word);
  return found;
}
const view = (q: { codes: ArrayLike<number>; scales: Float32Array; zeros: number | Float32Array }) => ({
  codes: Array.from(q.codes),
  scales: [...q.scales],
  zeros: typeof q.zeros === 'number' ? q.zeros : [...q.zeros],
});

describe('integer grids', () => {
  test('symmetric: the largest magnitude is 127 steps; ties go to even', () => {
    const q = roundToNearest(row(127, -63.5, 0.5, 1.5, -127, 0), integer('int8'));
    expect(view(q)).toEqual({ codes: [127, -64, 0, 2, -127, 0], scales: [1], zeros: 0 });
  });
  test('signed: the largest weight is exact, by a scale of its sign', () => {
    expect(view(roundToNearest(row(8, -3, 7, 0), integer('int4:signed:row')))).toEqual({
      codes: [-8, 3, -7, 0],
      scales: [-1],
      zeros: 0,
    });
    // A tie takes the negative weight.
    expect(roundToNearest(row(8, -8), integer('int4:signed:row')).codes).toEqual(Int8Array.of(7, -8));
  });
  test('asymmetric: zero is on the grid, whatever the range', () => {
    expect(view(roundToNearest(row(-1, 14, 0, 3), integer('int4:row')))).toEqual({
      codes: [0, 15, 1, 4],
      scales: [1],
      zeros: [1],
    });
    expect(view(roundToNearest(row(15, 7), integer('int4:row')))).toEqual({ codes: [15, 7], scales: [1], zeros: [0] });
  });
  test('groups are runs of a row, the last one ragged; one scale for a tensor', () => {
    const matrix = { rows: 2, columns: 3, values: Float32Array.of(7, 7, 14, 0, 0, 28) };
    expect([...roundToNearest(matrix, integer('int4:g2:sym')).scales]).toEqual([1, 2, 1, 4]);
    expect([...roundToNearest(matrix, integer('int4:tensor:sym')).scales]).toEqual([4]);
  });
  test('scales are f16 before codes are computed', () => {
    const q = roundToNearest(row(1, 0.5), integer('int8'));
    expect(q.scales[0]).toBe(0.00787353515625); // 1/127 as f16
    expect([...q.codes]).toEqual([127, 64]); // 0.5 / 0.007873535 = 63.504
  });
  test('weights too small or too large for an f16 scale keep a finite grid', () => {
    expect([...dequantizeMatrix(roundToNearest(row(1e-9, 0), integer('int8')))]).toEqual([0, 0]);
    expect(dequantizeMatrix(roundToNearest(row(1e9, 1), integer('int8'))).every(Number.isFinite)).toBe(true);
  });

  const words = [
    'int8',
    'int8:asym',
    'int4:sym',
    'int4:signed',
    'int4',
    'int4:row',
    'int4:tensor',
    'int3:g8',
    'int2:g4:signed',
  ];
  test.each(words)('%s: errors stay within half a step, zeros stay zero, codes in range', (word) => {
    const spec = integer(word);
    const { low, high } = codeRange(spec);
    const weight = fc.oneof(
      fc.constant(0),
      fc.integer({ min: -4096, max: 4096 }).map((n) => n / 1024),
    );
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 1, max: 40 }),
        fc.array(weight, { minLength: 120, maxLength: 120 }),
        (rows, columns, all) => {
          const values = Float32Array.from(all.slice(0, rows * columns));
          const q = roundToNearest({ rows, columns, values }, spec);
          const back = dequantizeMatrix(q);
          for (let i = 0; i < values.length; i++) {
            expect(q.codes[i]).toBeGreaterThanOrEqual(low);
            expect(q.codes[i]).toBeLessThanOrEqual(high);
            if (values[i] === 0) expect(Math.abs(back[i])).toBe(0);
            const group = q.shared ? 0 : Math.floor(i / columns) * Math.ceil(columns / q.group);
            const scale = Math.abs(q.scales[group + Math.floor((i % columns) / q.group)]);
            // Half a step; a step where the range is cut off at one end; and what rounding of the scale to f16 makes of 15 steps.
            const bound = spec.grid === 'symmetric' ? 0.5 : 1;
            expect(Math.abs(back[i] - values[i])).toBeLessThanOrEqual(
              scale * (bound + 2 ** -10 * 2 ** spec.bits) + 1e-7,
            );
          }
        },
      ),
      { numRuns: 40 },
    );
  });
});

describe('searches never lose to their start', () => {
  const matrix = normalMatrix(24, 64);
  const error = (values: Float32Array, p: number): number =>
    values.reduce((sum, v, i) => sum + Math.abs(v - matrix.values[i]) ** p, 0);
  test.each(['int4:signed', 'int4', 'int3:row'])('mse clip, %s', (word) => {
    const spec = integer(word);
    const plain = dequantizeMatrix(roundToNearest(matrix, spec));
    const clipped = dequantizeMatrix(roundToNearest(matrix, spec, clippedGrid(matrix, spec)));
    expect(error(clipped, 2.4)).toBeLessThan(error(plain, 2.4));
  });
  test('hqq has less error than round to nearest, and zeros between codes', () => {
    const q = hqq(matrix, integer('int4:g16'));
    expect(q.zeroType).toBe('f16');
    expect(error(dequantizeMatrix(q), 1)).toBeLessThan(
      error(dequantizeMatrix(roundToNearest(matrix, integer('int4:g16'))), 1),
    );
  });
  test('hqq of equal weights is exact up to the scale', () => {
    expect([...dequantizeMatrix(hqq(row(0.5, 0.5, 0.5), integer('int4')))]).toEqual([0.5, 0.5, 0.5]);
    expect([...dequantizeMatrix(hqq(row(0, 0), integer('int4')))]).toEqual([0, 0]);
  });
});

describe('narrow floats', () => {
  test('fp8: the largest magnitude is the largest element', () => {
    const q = quantizeFloat8(row(448, 17, 19, -0.0009), { kind: 'float', element: 'f8e4m3fn', group: 'row' });
    expect(view(q)).toEqual({ codes: [448, 16, 20, -0], scales: [1], zeros: 0 });
  });
  test('mxfp4: the shared exponent is rounded down, so 7 saturates to 6', () => {
    const q = quantizeMicro(row(7, 1, -0.5, 0.25), { kind: 'micro', element: 'f4e2m1' });
    expect(view(q)).toEqual({ codes: [6, 1, -0.5, 0], scales: [1], zeros: 0 });
    expect(quantizeMicro(row(0, 0), { kind: 'micro', element: 'f4e2m1' }).codes.every((c) => c === 0)).toBe(true);
  });
  test('mxint8 counts 64ths of a power of two', () => {
    const q = quantizeMicro(row(1, 1.99, -0.5), { kind: 'micro', element: 'i8' });
    expect([...q.codes]).toEqual([64, 127, -32]);
    expect([...dequantizeMatrix(q)]).toEqual([1, 127 / 64, -0.5]);
  });
  test('nvfp4: scales of blocks are e4m3 of the tensor scale', () => {
    const q = quantizeNvfp4(row(6 * 448, 0, 3 * 448));
    expect(q.tensorScale).toBe(1);
    expect(view(q)).toEqual({ codes: [6, 0, 3], scales: [448], zeros: 0 });
  });
  test('in order of bits, on normal weights', () => {
    const matrix = normalMatrix(32, 64);
    const db = (q: Parameters<typeof dequantizeMatrix>[0]) => sqnrDb(matrix.values, dequantizeMatrix(q));
    const found = [
      db(quantizeMicro(matrix, { kind: 'micro', element: 'f4e2m1' })),
      db(quantizeNvfp4(matrix)),
      db(quantizeMicro(matrix, { kind: 'micro', element: 'f8e4m3fn' })),
      db(quantizeMicro(matrix, { kind: 'micro', element: 'i8' })),
    ];
    expect(found).toEqual(found.toSorted((a, b) => a - b));
  });
});

describe('words of formats', () => {
  test.each([
    ['int8', 'int8:row:sym'],
    ['int4', 'int4:g32:asym'],
    ['int4:signed:g128', 'int4:g128:signed'],
    ['fp8', 'fp8:e4m3:row'],
    ['mxfp4', 'mxfp4'],
    ['nvfp4', 'nvfp4'],
    ['fp16', 'fp16'],
    ['keep', 'keep'],
  ])('%s is %s', (word, canonical) => {
    expect(printFormat(format(word))).toBe(canonical);
    expect(printFormat(format(canonical))).toBe(canonical);
  });
  test.each([
    ['int9', "'int9' is no storage format"],
    ['int4:g0', "'g0' is neither row, tensor or gN, nor sym, signed or asym"],
    ['int4:row:tensor', "'tensor' is neither row, tensor or gN, nor sym, signed or asym"],
    ['fp8:e3m4', "'e3m4' is neither e4m3 or e5m2, nor row, tensor or gN"],
    ['__proto__', "'__proto__' is no storage format"],
  ])('%s is refused', (word, problem) => expect(parseFormat(word)).toEqual({ problem }));
  test('the grid of a format is what its codes span', () => {
    const { scales } = gridOf(normalMatrix(1, 8), integer('int4:tensor'));
    expect(scales).toHaveLength(1);
  });
});
