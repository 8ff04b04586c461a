/** Quantized constants: decoding against the ops that define it, views, accounting. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runOp } from '../../src/exec/reference.ts';
import {
  bytesSource,
  type Constant,
  denseConstant,
  isQuantized,
  type Quantized,
  reshapeConstant,
  sliceConstant,
  transposeConstant,
} from '../../src/ir/constant.ts';
import { bitsPerWeight, formatName } from '../../src/ir/storage.ts';
import type { DType } from '../../src/ir/types.ts';
import { dequantizeNBits } from '../../src/ops/microsoft-nbits.ts';
import { pack } from '../../src/tensor/pack.ts';
import { densityOf, quantizedConstant } from '../../src/tensor/quantized.ts';
import { readConstant, readElements } from '../../src/tensor/read.ts';
import { fromNumbers, type Tensor, type TensorData } from '../../src/tensor/tensor.ts';
import { randomStream } from '../../src/util/rng.ts';

const numbers = (seed: number, count: number, low: number, high: number): number[] => {
  const next = randomStream(seed, 'quantized');
  return Array.from({ length: count }, () => low + Math.floor(next() * (high - low + 1)));
};

const constantOf = (name: string, { dtype, shape, data }: Tensor): Constant =>
  denseConstant(dtype, shape, bytesSource(name, pack(dtype, data)));

const dequantizeLinear = (codes: Tensor, scale: Tensor, zero: Tensor | undefined, attrs: Record<string, number>) =>
  runOp({ kind: 'DequantizeLinear', version: 25, inputs: [], outputs: [], attrs, origin: { node: 'dq', by: [] } }, [
    codes,
    scale,
    ...(zero ? [zero] : []),
  ])[0];

const LIMITS: Readonly<Partial<Record<DType, readonly [number, number]>>> = {
  i8: [-128, 127],
  u8: [0, 255],
  i4: [-8, 7],
  u4: [0, 15],
  i2: [-2, 1],
  u2: [0, 3],
};

const cases = fc.record({
  stored: fc.constantFrom<DType>('i8', 'u8', 'i4', 'u4', 'i2', 'u2'),
  scaleType: fc.constantFrom<DType>('f32', 'f16'),
  rows: fc.integer({ min: 1, max: 19 }),
  columns: fc.integer({ min: 1, max: 23 }),
  axis: fc.constantFrom(0, 1),
  block: fc.constantFrom(0, 1, 2, 5, 8, 64),
  hasZero: fc.boolean(),
  seed: fc.nat(),
});

/** The constant, and what DequantizeLinear makes of the same tensors. */
function sample({
  stored,
  scaleType,
  rows,
  columns,
  axis,
  block,
  hasZero,
  seed,
}: typeof cases extends fc.Arbitrary<infer C> ? C : never) {
  const shape = [rows, columns];
  const [low, high] = LIMITS[stored] ?? [0, 0];
  const blocks = shape.map((n, d) => (d === axis ? (block === 0 ? 1 : block) : block === 0 ? n : 1));
  const groups = shape.map((n, d) => Math.ceil(n / blocks[d]));
  const codes = fromNumbers(stored, shape, numbers(seed, rows * columns, low, high));
  const count = groups[0] * groups[1];
  const scale = fromNumbers(
    scaleType,
    block === 0 ? [shape[axis]] : groups,
    numbers(seed + 1, count, -999, 999).map((n) => n / 1024),
  );
  const zero = hasZero ? fromNumbers(stored, scale.shape, numbers(seed + 2, count, low, high)) : undefined;
  const constant = quantizedConstant('w', {
    stored,
    shape,
    codes: codes.data,
    block: blocks,
    scales: scale.data,
    scaleType,
    zeros: zero?.data ?? 0,
    dtype: scaleType,
  });
  return { constant, expected: dequantizeLinear(codes, scale, zero, { axis, block_size: block }) };
}

describe('decoding', () => {
  it('gives what DequantizeLinear gives, for every view', () => {
    fc.assert(
      fc.property(cases, fc.nat(), fc.boolean(), (drawn, at, turned) => {
        const { constant, expected } = sample(drawn);
        expect(readConstant(constant).data).toEqual(expected.data);
        const [rows, columns] = constant.shape;
        const [r, c] = [at % rows, at % columns];
        const cut = sliceConstant(sliceConstant(constant, 0, r, rows), 1, c, columns);
        const view = turned ? transposeConstant(cut, [1, 0]) : cut;
        const values = readConstant(view);
        for (let i = r; i < rows; i++)
          for (let j = c; j < columns; j++) {
            const k = turned ? (j - c) * (rows - r) + i - r : (i - r) * (columns - c) + j - c;
            expect(values.data[k]).toBe(expected.data[i * columns + j]);
          }
        // A box of the view is a box of its values, groups cut on both sides included.
        const [h, w] = view.shape.map((n) => Math.ceil(n / 2));
        const box = readElements(view, [view.shape[0] - h, view.shape[1] - w], [h, w]);
        expect(box.data[h * w - 1]).toBe(values.data[values.data.length - 1]);
        expect(box.data[0]).toBe(values.data[(view.shape[0] - h) * view.shape[1] + view.shape[1] - w]);
      }),
    );
  });

  it('reads the bytes of MatMulNBits in place, padded last block and packed zero points included', () => {
    const [rows, columns, block, bits] = [5, 40, 16, 4];
    const blocks = Math.ceil(columns / block);
    const bytes = fromNumbers(
      'u8',
      [rows, blocks, (block * bits) / 8],
      numbers(7, (rows * blocks * block * bits) / 8, 0, 255),
    );
    const zeroBytes = Math.ceil((blocks * bits) / 8);
    const zeros = fromNumbers('u8', [rows, zeroBytes], numbers(8, rows * zeroBytes, 0, 255));
    const scales = fromNumbers('f32', [rows, blocks], numbers(9, rows * blocks, -99, 99));
    const view = (name: string, of: Tensor, shape: readonly number[], pitch: number): Constant => ({
      ...constantOf(name, of),
      dtype: 'u4',
      stored: 'u4',
      shape,
      strides: [pitch, 1],
    });
    const weight: Quantized = {
      ...view('w', bytes, [rows, columns], blocks * block),
      dtype: 'f32',
      quantization: {
        scales: constantOf('s', scales),
        zeros: view('z', zeros, [rows, blocks], zeroBytes * 2),
        block: [1, block],
        phase: [0, 0],
        rounded: 'f32',
      },
    };
    expect(readConstant(weight).data).toEqual(dequantizeNBits(bytes, scales, zeros, { bits, rows, columns, block }));
    expect(formatName(weight)).toBe('int4:g16:asym');
  });

  it('takes scales that are quantized themselves (NVFP4)', () => {
    const scales = quantizedConstant('s', {
      stored: 'f8e4m3fn',
      shape: [1, 2],
      codes: Float32Array.of(2, 448),
      block: [1, 2],
      scales: Float32Array.of(0.25),
      scaleType: 'f32',
      zeros: 0,
    });
    const codes = Float32Array.from({ length: 32 }, (_, i) => [0, 0.5, 1, 1.5, 2, 3, 4, -6][i % 8]);
    const weight = quantizedConstant('w', {
      stored: 'f4e2m1',
      shape: [1, 32],
      codes,
      block: [1, 16],
      scales,
      scaleType: 'f32',
      zeros: 0,
    });
    expect([...readConstant(weight).data]).toEqual([...codes].map((v, i) => v * (i < 16 ? 0.5 : 112)));
    expect(formatName(weight)).toBe('nvfp4');
    expect(bitsPerWeight(weight)).toBe(4 + (2 * 8 + 32) / 32);
  });

  it('rounds like the type that DequantizeLinear gives, also when it is read as a wider one', () => {
    const data = { stored: 'i4' as const, shape: [1, 2], codes: Int8Array.of(7, -3), block: [1, 2], zeros: 0 };
    const half = quantizedConstant('w', { ...data, scales: Float32Array.of(0.1), scaleType: 'f16', dtype: 'f16' });
    const wide: Constant = { ...half, dtype: 'f32' };
    const expected = dequantizeLinear(
      fromNumbers('i4', [1, 2], [7, -3]),
      readConstant(half.quantization.scales),
      undefined,
      {},
    );
    expect(readConstant(wide).data).toEqual(expected.data);
  });
});

describe('float zero points', () => {
  it('are subtracted in f32, as MatMulNBits does', () => {
    const zeros = Float32Array.of(7.123456, -0.3);
    const weight = quantizedConstant('w', {
      stored: 'u4',
      shape: [1, 4],
      codes: Uint8Array.of(0, 15, 3, 9),
      block: [1, 2],
      scales: Float32Array.of(0.1, 3.3),
      scaleType: 'f32',
      zeros,
      zeroType: 'f32',
    });
    const { data } = readConstant(weight);
    const f = Math.fround;
    expect(data[1]).toBe(f(f(15 - zeros[0]) * f(0.1)));
    expect(data[2]).toBe(f(f(3 - zeros[1]) * f(3.3)));
  });
});

describe('views', () => {
  const weight = sample({
    stored: 'u4',
    scaleType: 'f32',
    rows: 8,
    columns: 6,
    axis: 0,
    block: 5,
    hasZero: true,
    seed: 3,
  });

  it('keep their groups when dims of extent 1 come and go, and nothing else', () => {
    const view = reshapeConstant(weight.constant, [1, 8, 1, 6]);
    expect(view && isQuantized(view) && view.quantization.block).toEqual([1, 5, 1, 1]);
    expect(view && readConstant(view).data).toEqual(weight.expected.data);
    expect(reshapeConstant(weight.constant, [48])).toBeUndefined();
    expect(reshapeConstant(weight.constant, [4, 12])).toBeUndefined();
  });

  it('copy nothing: the source is never read', () => {
    const untouched = { label: 'w', byteLength: 24, read: () => expect.unreachable() };
    const view = transposeConstant(sliceConstant({ ...weight.constant, source: untouched }, 0, 3, 7), [1, 0]);
    expect(isQuantized(view) && view.quantization).toMatchObject({ block: [1, 5], phase: [0, 3] });
  });
});

describe('accounting', () => {
  const matrix = (
    stored: DType,
    [n, k]: readonly [number, number],
    g: number,
    zeros: 0 | 'codes' | 'f16' = 0,
  ): Quantized => {
    const groups = n * Math.ceil(k / g);
    return quantizedConstant('w', {
      stored,
      shape: [n, k],
      codes: { packed: new Uint8Array(Math.ceil((n * k * (stored.endsWith('8') ? 8 : 4)) / 8)) },
      block: [1, g],
      scales: new Float32Array(groups),
      scaleType: 'f16',
      zeros: zeros === 0 ? 0 : zeros === 'codes' ? new Uint8Array(groups) : new Float32Array(groups),
      zeroType: zeros === 'f16' ? 'f16' : stored,
    });
  };

  it.each([
    ['int4:g32', matrix('i4', [4, 64], 32), 4.5],
    ['int4:g32:asym', matrix('u4', [4, 64], 32, 'codes'), 4.625],
    ['int4:g32:asym', matrix('u4', [4, 64], 32, 'f16'), 5],
    ['int4:g128', matrix('i4', [2, 256], 128), 4.125],
    ['int8:row', matrix('i8', [4, 64], 64), 8.25],
    ['int8:tensor', matrix('i8', [1, 64], 64), 8.25],
  ])('%s', (name, constant, bits) => {
    expect(formatName(constant)).toBe(name);
    expect(bitsPerWeight(constant)).toBe(bits);
  });

  it('counts codes that are not their zero point', () => {
    const codes: TensorData = Uint8Array.of(8, 8, 3, 8, 5, 5, 5, 1);
    const half = quantizedConstant('w', {
      stored: 'u4',
      shape: [2, 4],
      codes,
      block: [1, 4],
      scales: Float32Array.of(0.5, 0.25),
      scaleType: 'f32',
      zeros: Uint8Array.of(8, 5),
    });
    expect(densityOf(half, readElements)).toBe(0.25);
    expect(densityOf(constantOf('d', fromNumbers('f16', [2, 2], [0, -0, 1, 2])), readElements)).toBe(0.5);
  });

  it('refuses counts that do not agree', () => {
    const data = { stored: 'i8' as const, shape: [2, 4], block: [1, 4], scaleType: 'f32' as const, zeros: 0 };
    const scales = Float32Array.of(1, 1);
    expect(() => quantizedConstant('w', { ...data, codes: new Int8Array(7), scales })).toThrow('w: 7 codes for [2,4]');
    expect(() => quantizedConstant('w', { ...data, codes: new Int8Array(8), scales: scales.subarray(1) })).toThrow(
      'w: 1 scales for [2,1]',
    );
  });
});
