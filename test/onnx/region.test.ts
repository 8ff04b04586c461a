/** Region reads against element-by-element reading, on views of every kind. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  bytesSource,
  type Constant,
  denseConstant,
  elementCount,
  rowMajor,
  sliceConstant,
  transposeConstant,
} from '../../src/ir/constant.ts';
import { bytesFor, type DType } from '../../src/ir/types.ts';
import { FilePool, fileSource } from '../../src/onnx/files.ts';
import { pack, unpack } from '../../src/tensor/pack.ts';
import { readConstant, readElements, readPacked } from '../../src/tensor/read.ts';
import { seeded, temporaryFolder } from './support.ts';

/** Elements of the region by the definition of a strided view. */
function naive(c: Constant, all: ArrayLike<number>, starts: readonly number[], sizes: readonly number[]): number[] {
  const steps = rowMajor(sizes);
  return Array.from({ length: elementCount(sizes) }, (_, flat) => {
    const at = sizes.map((n, d) => (Math.floor(flat / steps[d]) % n) + starts[d]);
    return all[at.reduce((sum, i, d) => sum + i * c.strides[d], c.offset)];
  });
}

function dense(dtype: DType, shape: readonly number[]): { c: Constant; all: ArrayLike<number> } {
  const count = elementCount(shape);
  const random = seeded(count);
  const bytes = Uint8Array.from({ length: bytesFor(dtype, count) }, () => random() & (dtype === 'bool' ? 1 : 0x77));
  return { c: denseConstant(dtype, shape, bytesSource('w', bytes)), all: unpack(dtype, bytes, count) };
}

const dtypes: readonly DType[] = ['f32', 'f16', 'i64', 'u8', 'i4', 'u2', 'f4e2m1', 'f6e2m3', 'bool', 'f64'];

/** A view (permuted, sliced, broadcast, reversed) and a region of it. */
const scene = fc.record({
  dtype: fc.constantFrom(...dtypes),
  shape: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 4 }),
  shuffle: fc.array(fc.nat(), { minLength: 4, maxLength: 4 }),
  cuts: fc.array(fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.double({ min: 0, max: 1, noNaN: true })), {
    minLength: 4,
    maxLength: 4,
  }),
  twist: fc.constantFrom('none', 'broadcast', 'reverse', 'step'),
});

function viewOf(c: Constant, shuffle: readonly number[], twist: string): Constant {
  const perm = c.shape.map((_, d) => d).sort((a, b) => shuffle[a] - shuffle[b] || a - b);
  const v = transposeConstant(c, perm);
  const [size, stride] = [v.shape[0], v.strides[0]];
  if (twist === 'broadcast') return { ...v, shape: [5, ...v.shape], strides: [0, ...v.strides] };
  if (twist === 'reverse')
    return { ...v, offset: v.offset + (size - 1) * stride, strides: [-stride, ...v.strides.slice(1)] };
  if (twist === 'step')
    return { ...v, shape: [Math.ceil(size / 2), ...v.shape.slice(1)], strides: [2 * stride, ...v.strides.slice(1)] };
  return v;
}

describe('regions of small views', () => {
  test('readElements and readPacked agree with the definition', () => {
    fc.assert(
      fc.property(scene, ({ dtype, shape, shuffle, cuts, twist }) => {
        const { c, all } = dense(dtype, shape);
        const v = viewOf(c, shuffle, twist);
        const starts = v.shape.map((n, d) => Math.floor((cuts[d]?.[0] ?? 0) * n));
        const sizes = v.shape.map((n, d) => Math.floor((cuts[d]?.[1] ?? 1) * (n - starts[d])));
        const wanted = naive(v, all, starts, sizes);
        expect([...readElements(v, starts, sizes).data]).toEqual(wanted);
        const into = new Uint8Array(bytesFor(dtype, wanted.length) + 1);
        readPacked(v, starts, sizes, into.subarray(1)); // unaligned on purpose
        expect([...unpack(dtype, into.subarray(1), wanted.length)]).toEqual(wanted);
      }),
      { numRuns: 600, seed: 7 },
    );
  });

  test('scalars, empty regions, refusals', () => {
    const { c } = dense('f32', [3, 4]);
    const scalar: Constant = { ...c, shape: [], strides: [], offset: 5 };
    expect(readConstant(scalar).data.length).toBe(1);
    expect(readConstant({ ...scalar, stored: 'f16', offset: 3 }).shape).toEqual([]);
    expect(readElements(c, [0, 2], [0, 2]).data.length).toBe(0);
    expect(() => readElements(c, [0, 0], [3, 5])).toThrow(RangeError);
    expect(() => readElements(c, [-1, 0], [1, 1])).toThrow(RangeError);
    expect(() => readPacked(c, [0, 0], [1, 2], new Uint8Array(7))).toThrow(RangeError);
  });

  test('lazy casts', () => {
    const source = bytesSource('w', pack('f32', Float32Array.of(1.0001, -2.7, 300, 0)));
    const c = denseConstant('f32', [4], source);
    expect([...readConstant({ ...c, dtype: 'f16' }).data]).toEqual([1, -2.69921875, 300, 0]);
    expect([...readConstant({ ...c, dtype: 'i32' }).data]).toEqual([1, -2, 300, 0]);
    expect([...readConstant({ ...c, dtype: 'i64' }).data]).toEqual([1, -2, 300, 0]);
    expect([...readConstant({ ...c, dtype: 'bool' }).data]).toEqual([1, 1, 1, 0]);
    expect([...readConstant({ ...c, dtype: 'f64' }).data][2]).toBe(300);
  });
});

describe('regions of a file larger than the buffers', () => {
  const [rows, columns] = [700, 3000]; // 4.2 MB of u16: four chunks
  const path = join(temporaryFolder(), 'big.bin');
  const data = Uint16Array.from({ length: rows * columns }, (_, i) => (i * 7919) & 0xffff);
  writeFileSync(path, new Uint8Array(data.buffer));
  let read = 0;
  const pool = new FilePool();
  const file = fileSource(pool, path);
  const counting = { ...file, read: (at: number, into: Uint8Array) => ((read += into.length), file.read(at, into)) };
  const c = denseConstant('u16', [rows, columns], counting);

  test.each([
    ['whole', c, [0, 0], [rows, columns]],
    ['transposed', transposeConstant(c, [1, 0]), [0, 0], [columns, rows]],
    ['columns', c, [10, 1000], [600, 130]],
    ['transposed region', transposeConstant(c, [1, 0]), [100, 50], [2000, 333]],
    ['sliced twice', sliceConstant(sliceConstant(c, 0, 100, 400), 1, 7, 2900), [3, 5], [200, 2000]],
    ['every third column', { ...c, shape: [rows, 1000], strides: [columns, 3] }, [0, 0], [rows, 1000]],
  ] as [string, Constant, number[], number[]][])('%s', (_, view, starts, sizes) => {
    const got = readElements(view, starts, sizes).data;
    const wanted = naive(view, data, starts, sizes);
    expect(got.length).toBe(wanted.length);
    expect(wanted.findIndex((v, i) => got[i] !== v)).toBe(-1);
  });

  test('far-apart rows are read alone', () => {
    const wide = denseConstant('u16', [60, 35000], counting);
    read = 0;
    readElements(wide, [0, 100], [60, 50]);
    expect(read).toBe(60 * 50 * 2);
    read = 0;
    readElements(transposeConstant(c, [1, 0]), [0, 100], [columns, 20]);
    expect(read).toBe(columns * 20 * 2);
  });
});
