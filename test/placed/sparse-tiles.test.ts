/** Tiles without their zeros: written by the plan's writer, unpacked core by core, compared by the verifier; as large as compression.md section 4 says. */
import { createHash } from 'node:crypto';
import { closeSync, ftruncateSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { coresOf } from '../../src/exec/placed/geometry.ts';
import { loadWeight } from '../../src/exec/placed/load.ts';
import { take } from '../../src/exec/placed/region.ts';
import { codingOf } from '../../src/ir/coding.ts';
import { bytesSource, type Constant, denseConstant, transposeConstant } from '../../src/ir/constant.ts';
import type { ProgramTensor, RegionShape } from '../../src/ir/program.ts';
import type { SparseKind } from '../../src/ir/sparsity.ts';
import { bytesFor, type DType } from '../../src/ir/types.ts';
import { countTiles, densityOf, sparsityOf, tileSizes } from '../../src/plan/sparse-count.ts';
import { type SparseTensor, sparseBytes, writeSparseTiles } from '../../src/plan/sparse-tiles.ts';
import { readConstant } from '../../src/tensor/read.ts';
import { randomStream } from '../../src/util/rng.ts';
import { compareSparse, TileFigures } from '../../src/verify/sparse-coverage.ts';
import { dims, formats, region, weightOf } from './tile-weights.ts';

const folder = mkdtempSync(join(tmpdir(), 'wafc-sparse-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const whole = (shape: readonly [number, number]) => ({ dims: shape.map(() => []), partial: null });

/** A dense weight [k, n], its bytes in either order. */
function denseOf(dtype: DType, k: number, n: number, turned: boolean, isZero: (element: number) => boolean): Constant {
  const size = bytesFor(dtype, 1);
  const bytes = Uint8Array.from({ length: k * n * size }, (_, i) =>
    isZero(Math.floor(i / size)) ? 0 : ((Math.imul(i + 7, 2654435761) >>> 20) & 0x37) | 1,
  );
  const source = bytesSource('w', bytes);
  return turned
    ? transposeConstant(denseConstant(dtype, [n, k], source), [1, 0])
    : denseConstant(dtype, [k, n], source);
}

const tensorOf = (constant: Constant, layout: ProgramTensor['layout']): ProgramTensor => {
  const coding = codingOf(constant);
  const { stored, shape } = constant;
  return { name: 'w', role: 'weight', dtype: stored, shape, layout, ...(coding ? { coding } : {}) };
};

/** The tensor stored as one kind, whether that is the smallest or not. */
function storedAs(kind: SparseKind, constant: Constant, tensor: ProgramTensor, shape: RegionShape): SparseTensor {
  const counts = countTiles(constant, tensor, shape);
  const [keep, of] = kind === 'n:m' ? [Math.max(1, counts.runs[0].keep), 4] : [0, 0];
  const { values, bytes } = tileSizes(counts, tensor, kind, kind === 'n:m' ? { keep, of } : null);
  const held = [...counts.nonZeros.keys()].filter((t) => bytes[t] > 0);
  const nonZeros = held.map((t) => counts.nonZeros[t]);
  const figures = { min: Math.min(...nonZeros), max: Math.max(...nonZeros), total: nonZeros.reduce((a, b) => a + b) };
  const sparsity = { kind, keep, of, values: Math.max(...values), bytes: Math.max(...bytes), nonZeros: figures };
  return { ...tensor, sparsity: { ...sparsity, tiles: held.length } };
}

const anyWeight = fc
  .tuple(
    fc.oneof(fc.constantFrom<DType>('f32', 'f16', 'bf16', 'i8'), formats),
    fc.integer({ min: 1, max: 40 }),
    fc.integer({ min: 1, max: 40 }),
    fc.constantFrom(0, 0.05, 0.3, 0.5, 0.9, 1),
    fc.integer({ min: 1, max: 9 }),
    fc.nat({ max: 1 }),
    fc.nat(),
  )
  .map(([format, k, n, sparsity, g, form, seed]) => {
    const random = randomStream(seed, 'mask');
    const mask = Uint8Array.from({ length: (k + 4) * (n + 4) }, () => (random() < sparsity ? 1 : 0));
    const isZero = (element: number): boolean => mask[element % mask.length] === 1;
    return typeof format === 'string'
      ? denseOf(format, k, n, form === 1, isZero)
      : weightOf(format, k, n, g, form, isZero);
  });

test('unpacked = the weight bit for bit, the verifier agrees, and finds any byte that is changed', () => {
  const kinds = fc.constantFrom<SparseKind>('bitmap', 'gap4', 'csc8', 'n:m');
  fc.assert(
    fc.property(region, dims, anyWeight, kinds, fc.nat(), (shape, cuts, constant, kind, spoiled) => {
      const tensor = storedAs(kind, constant, tensorOf(constant, { dims: cuts, partial: null }), shape);
      const [offset, bytes] = [64, sparseBytes(constant, tensor, shape)];
      const fd = openSync(join(folder, 'weights.bin'), 'w+');
      try {
        ftruncateSync(fd, offset + bytes);
        let zeros = 0;
        const sink = { fd, hash: createHash('sha256'), zeros: (count: number) => void (zeros += count) };
        const sha256 = writeSparseTiles(constant, tensor, shape, sink, offset);
        const blob = { name: 'w', dtype: tensor.dtype, shape: constant.shape, offset, bytes, sha256 };
        const cores = coresOf(shape);
        const found = take(cores, loadWeight(fd, blob, tensor, cores));
        expect([...found.data]).toEqual([...readConstant(constant).data]);
        expect(zeros).toBe(found.data.filter((v) => v === 0).length);
        const figures = new TileFigures(tensor.sparsity);
        expect(compareSparse(fd, blob, tensor, shape, constant, figures)).toBeUndefined();
        expect(figures.fault()).toBeUndefined();
        const { bytes: most, ...stated } = tensor.sparsity;
        const more = new TileFigures({ ...stated, bytes: most + 2 });
        compareSparse(fd, blob, tensor, shape, constant, more);
        expect(more.fault()?.rule).toBe('C4');
        const at = offset + (spoiled % bytes);
        const byte = new Uint8Array(1);
        readSync(fd, byte, 0, 1, at);
        writeSync(
          fd,
          byte.map((b) => b ^ 1),
          0,
          1,
          at,
        );
        const fault = compareSparse(fd, blob, tensor, shape, constant, new TileFigures(tensor.sparsity));
        // Bytes that fill a section up hold nothing; those of the table, the index and the values do.
        if (fault === undefined) {
          const values = take(cores, loadWeight(fd, blob, tensor, cores));
          expect([...values.data]).toEqual([...found.data]);
        }
      } finally {
        closeSync(fd);
      }
    }),
    { numRuns: 150 },
  );
});

const ONE: RegionShape = { width: 1, height: 1, groups: 1 };
/** A tile of 192 x 256 values of which the share `density` is not zero, at random. */
function randomTile(dtype: DType, density: number): Constant {
  const random = randomStream(5, `${dtype} ${density}`);
  const [rows, columns] = [192, 256];
  if (dtype !== 'i4') {
    const mask = Uint8Array.from({ length: rows * columns }, () => (random() < density ? 0 : 1));
    return denseOf(dtype, rows, columns, false, (i) => mask[i] === 1);
  }
  const bytes = new Uint8Array((rows * columns) / 2);
  for (let i = 0; i < rows * columns; i++) if (random() < density) bytes[i >> 1] |= 1 << ((i % 2) * 4);
  return denseConstant('i4', [rows, columns], bytesSource('w', bytes));
}

describe('bits an element, as compression.md section 4.1 has them', () => {
  // Its table: density, then by values of 16, 8 and 4 bits: bitmap, csc8, gap4.
  test.each([
    [0.05, [1.8, 1.33, 1.79], [1.4, 0.93, 1.07], [1.2, 0.73, 0.71]],
    [0.1, [2.6, 2.53, 2.45], [1.8, 1.73, 1.47], [1.4, 1.33, 0.98]],
    [0.3, [5.8, 7.33, 6.02], [3.4, 4.93, 3.61], [2.2, 3.73, 2.41]],
    [0.5, [9.0, 12.13, 10.0], [5.0, 8.13, 6.0], [3.0, 6.13, 4.0]],
    [0.7, [12.2, 16.93, 14.0], [6.6, 11.33, 8.4], [3.8, 8.53, 5.6]],
  ])('density %d', (density, ...table) => {
    for (const [i, dtype] of (['f16', 'i8', 'i4'] as const).entries()) {
      const constant = randomTile(dtype, density);
      const tensor: ProgramTensor = {
        name: 'w',
        role: 'weight',
        dtype,
        shape: constant.shape,
        layout: whole([192, 256]),
      };
      const counts = countTiles(constant, tensor, ONE);
      for (const [k, kind] of (['bitmap', 'csc8', 'gap4'] as const).entries()) {
        const bits = (tileSizes(counts, tensor, kind, null).bytes[0] * 8) / (192 * 256);
        // The page counts starts of 128 rows (16/C); chance moves the density by 1 %.
        const starts = kind === 'csc8' ? 16 / 256 - 16 / 128 : 0;
        expect(Math.abs(bits - table[i][k] - starts)).toBeLessThan(0.03 * table[i][k] + 0.01);
      }
    }
  });

  test('the cheapest is taken: csc8 below 7 %, gaps below 24 %, a bitmap above, everything where that is smaller', () => {
    const kindAt = (density: number): string => {
      const constant = randomTile('i8', density);
      return sparsityOf([constant], tensorOf(constant, whole([192, 256])), ONE)?.kind ?? 'dense';
    };
    expect([0.03, 0.12, 0.2, 0.3, 0.6, 0.84].map(kindAt)).toEqual([
      'csc8',
      'gap4',
      'gap4',
      'bitmap',
      'bitmap',
      'bitmap',
    ]);
    expect(kindAt(0.9)).toBe('dense');
    expect(densityOf([randomTile('i8', 0.9)], 0)).toBeNull();
    expect(densityOf([randomTile('i8', 0.5)], 0)?.share).toBeCloseTo(0.5, 1);
  });

  test('1 of 4 is told from 25 % at random', () => {
    const kept = denseOf('i8', 64, 32, false, (i) => Math.floor(i / 32) % 4 !== i % 4);
    const found = sparsityOf([kept], tensorOf(kept, whole([64, 32])), ONE);
    expect(found).toMatchObject({ kind: 'n:m', keep: 1, of: 4, values: 16 * 32, bytes: 16 * 32 + (16 * 32) / 4 });
  });

  test('the fullest of the stages decides', () => {
    const constants = [0.1, 0.4].map((d) => randomTile('i8', d));
    const tensor = tensorOf(constants[0], whole([192, 256]));
    const [first, second] = constants.map((c) => sparsityOf([c], tensor, ONE));
    const both = sparsityOf(constants, tensor, ONE);
    expect([first?.kind, second?.kind, both?.kind]).toEqual(['gap4', 'bitmap', 'bitmap']);
    expect(both).toMatchObject({ bytes: second?.bytes, tiles: 2 });
  });
});
