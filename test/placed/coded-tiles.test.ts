/** Tiles of quantized weights: written by the plan's writer, unpacked core by core, compared by the verifier. */
import { createHash } from 'node:crypto';
import { closeSync, ftruncateSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { tileBytes } from '../../src/cost/tile.ts';
import { coresOf } from '../../src/exec/placed/geometry.ts';
import { loadWeight } from '../../src/exec/placed/load.ts';
import { take } from '../../src/exec/placed/region.ts';
import { codingOf } from '../../src/ir/coding.ts';
import {
  bytesSource,
  denseConstant,
  groupCount,
  type Quantized,
  sliceConstant,
  transposeConstant,
} from '../../src/ir/constant.ts';
import type { MeshAxis, ProgramTensor, RegionShape } from '../../src/ir/program.ts';
import { bytesFor, type DType } from '../../src/ir/types.ts';
import { weightBytes, writeCodedTiles } from '../../src/plan/coded-tiles.ts';
import { quantizedConstant } from '../../src/tensor/quantized.ts';
import { readConstant } from '../../src/tensor/read.ts';
import { compareCoded } from '../../src/verify/coded-coverage.ts';
import { mostBytes } from '../../src/verify/tile-sizes.ts';

const folder = mkdtempSync(join(tmpdir(), 'wafc-tiles-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const region: fc.Arbitrary<RegionShape> = fc
  .record({
    outer: fc.integer({ min: 1, max: 3 }),
    inner: fc.integer({ min: 1, max: 5 }),
    height: fc.integer({ min: 1, max: 12 }),
  })
  .map(({ outer, inner, height }) => ({ width: outer * inner, height, groups: outer }));
const X: readonly MeshAxis[] = ['xo', 'xi'];
const dims = fc.constantFrom<readonly (readonly MeshAxis[])[]>([['y'], X], [X, ['y']], [[], X], [['y'], []], [X, []]);

interface Drawn {
  readonly stored: DType;
  readonly scaleType: DType;
  readonly zeroType: DType | 'none';
  readonly nested: boolean;
}
const formats = fc.constantFrom<Drawn>(
  { stored: 'i8', scaleType: 'f32', zeroType: 'none', nested: false },
  { stored: 'u8', scaleType: 'f16', zeroType: 'u8', nested: false },
  { stored: 'i4', scaleType: 'bf16', zeroType: 'none', nested: false },
  { stored: 'u4', scaleType: 'f32', zeroType: 'u4', nested: false },
  { stored: 'u4', scaleType: 'f16', zeroType: 'f16', nested: false },
  { stored: 'u2', scaleType: 'f16', zeroType: 'u2', nested: false },
  { stored: 'f8e4m3fn', scaleType: 'f32', zeroType: 'none', nested: false },
  { stored: 'f4e2m1', scaleType: 'f8e8m0', zeroType: 'none', nested: false },
  { stored: 'f4e2m1', scaleType: 'f8e4m3fn', zeroType: 'none', nested: true },
);

/** A weight [K, N] whose bytes lie in any order, whose groups may be cut on both sides. */
function weightOf(
  { stored, scaleType, zeroType, nested }: Drawn,
  k: number,
  n: number,
  g: number,
  form: number,
): Quantized {
  const turned = form === 1;
  const [rows, block] = turned ? [n, [1, g]] : [k + 4, [g, 1]];
  const shape = [rows, turned ? k + 4 : n];
  const groups = shape.map((extent, d) => groupCount(extent, block[d]));
  const noise = (type: DType, extents: readonly number[], seed: number, set = 0): Uint8Array => {
    const bytes = new Uint8Array(
      bytesFor(
        type,
        extents.reduce((a, b) => a * b),
      ),
    );
    // Exponents stay small: codes and scales that are numbers. Scales are not 0.
    for (let i = 0; i < bytes.length; i++) bytes[i] = ((Math.imul(i + seed, 2654435761) >>> 20) & 0x77) | set;
    return bytes;
  };
  const inMemory = (name: string, type: DType, seed: number) =>
    denseConstant(type, groups, bytesSource(name, noise(type, groups, seed, name === 's' ? 0x11 : 0)));
  const scales = nested
    ? quantizedConstant('s', {
        stored: scaleType,
        shape: groups,
        codes: { packed: noise(scaleType, groups, 5, 0x11) },
        block: groups,
        scales: Float32Array.of(0.37),
        scaleType: 'f32',
        zeros: 0,
      })
    : inMemory('s', scaleType, 5);
  const whole = quantizedConstant('w', {
    stored,
    shape,
    codes: { packed: noise(stored, shape, 1) },
    block,
    scales,
    scaleType,
    zeros: zeroType === 'none' ? 0 : inMemory('z', zeroType, 9),
  });
  const weight = sliceConstant(turned ? transposeConstant(whole, [1, 0]) : whole, 0, 3, 3 + k);
  if (weight.quantization === undefined) throw new Error('a slice keeps its scales');
  return { ...weight, quantization: weight.quantization };
}

test('unpacked = decoded bit for bit, the verifier agrees, and finds any byte that is changed', () => {
  const side = fc.integer({ min: 1, max: 18 });
  fc.assert(
    fc.property(
      region,
      dims,
      formats,
      side,
      side,
      fc.integer({ min: 1, max: 9 }),
      fc.nat({ max: 1 }),
      fc.nat(),
      (...drawn) => {
        const [shape, cuts, format, k, n, g, form, spoiled] = drawn;
        const constant = weightOf(format, k, n, g, form);
        const coding = codingOf(constant);
        if (coding === undefined) throw new Error('a quantized matrix has a coding');
        const layout = { dims: cuts, partial: null };
        const tensor: ProgramTensor = {
          name: 'w',
          role: 'weight',
          dtype: format.stored,
          shape: [k, n],
          layout,
          coding,
        };
        const bytes = weightBytes(tensor, shape);
        expect(tileBytes(tensor, shape)).toBe(mostBytes(tensor, shape));
        const offset = 64;
        const fd = openSync(join(folder, 'weights.bin'), 'w+');
        try {
          ftruncateSync(fd, offset + bytes);
          let zeros = 0;
          const sink = { fd, hash: createHash('sha256'), zeros: (count: number) => void (zeros += count) };
          const sha256 = writeCodedTiles(constant, { ...tensor, coding }, shape, sink, offset);
          const blob = { name: 'w', dtype: format.stored, shape: [k, n], offset, bytes, sha256 };
          const cores = coresOf(shape);
          const found = take(cores, loadWeight(fd, blob, tensor, cores));
          expect([...found.data]).toEqual([...readConstant(constant).data]);
          expect(zeros).toBe(found.data.filter((v) => v === 0).length);
          expect(compareCoded(fd, blob, tensor, coding, shape, constant)).toBeUndefined();
          // Bytes that fill a section up hold nothing.
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
          const values = take(cores, loadWeight(fd, blob, tensor, cores));
          const changed = values.data.some((v, i) => !Object.is(v, found.data[i]));
          if (changed) expect(compareCoded(fd, blob, tensor, coding, shape, constant)?.rule).toBe('C3');
        } finally {
          closeSync(fd);
        }
      },
    ),
    { numRuns: 200 },
  );
});
