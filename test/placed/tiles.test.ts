/** Tiles of weights.bin, written by the plan's writer and read by the executor's reader: the matrix they were cut from. */
import { createHash } from 'node:crypto';
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { coresOf } from '../../src/exec/placed/geometry.ts';
import { loadWeight } from '../../src/exec/placed/load.ts';
import { take } from '../../src/exec/placed/region.ts';
import { bytesSource, type Constant, denseConstant, sliceConstant, transposeConstant } from '../../src/ir/constant.ts';
import type { MeshAxis, ProgramTensor, RegionShape } from '../../src/ir/program.ts';
import { bytesFor, type DType } from '../../src/ir/types.ts';
import { writeTiles } from '../../src/plan/tiles.ts';
import { pack } from '../../src/tensor/pack.ts';
import { readConstant } from '../../src/tensor/read.ts';

const folder = mkdtempSync(join(tmpdir(), 'wafc-tiles-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const side = fc.integer({ min: 1, max: 20 });
/** Sides larger than the matrix on purpose: most cores then hold nothing. */
const region: fc.Arbitrary<RegionShape> = fc
  .record({
    outer: fc.integer({ min: 1, max: 4 }),
    inner: fc.integer({ min: 1, max: 9 }),
    height: fc.integer({ min: 1, max: 25 }),
  })
  .map(({ outer, inner, height }) => ({ width: outer * inner, height, groups: outer }));
/** Disjoint axes for rows and columns, in any order. */
const cuts: fc.Arbitrary<readonly [readonly MeshAxis[], readonly MeshAxis[]]> = fc
  .tuple(fc.shuffledSubarray(['y', 'xo', 'xi'] as const, { minLength: 3 }), fc.nat({ max: 3 }), fc.nat({ max: 3 }))
  .map(([axes, a, b]) => [axes.slice(0, Math.min(a, b)), axes.slice(Math.min(a, b), Math.max(a, b))]);
const dtype: fc.Arbitrary<DType> = fc.constantFrom('f32', 'f16', 'bf16', 'i8', 'u8', 'i32');

/** A view of a larger matrix: dense, transposed or a slice, so that bytes lie in all orders. */
function viewOf(rows: number, cols: number, type: DType, form: number): Constant {
  const [r, c] = form === 1 ? [cols, rows] : [rows, cols];
  const extra = form === 2 ? 3 : 0;
  const count = r * (c + extra);
  const values = Float64Array.from({ length: count }, (_, i) => ((i * 37) % 251) - (type === 'u8' ? 0 : 125));
  const dense = denseConstant(type, [r, c + extra], bytesSource('w', pack(type, values)));
  return form === 1 ? transposeConstant(dense, [1, 0]) : form === 2 ? sliceConstant(dense, 1, 2, 2 + c) : dense;
}

test('recovered = source, for any shape, mesh, layout, type and view', () => {
  fc.assert(
    fc.property(
      side,
      side,
      region,
      cuts,
      dtype,
      fc.nat({ max: 2 }),
      fc.nat({ max: 3 }),
      (rows, cols, shape, dims, type, form, skip) => {
        const constant = viewOf(rows, cols, type, form);
        const tensor: ProgramTensor = {
          name: 'w',
          role: 'weight',
          dtype: type,
          shape: [rows, cols],
          layout: { dims, partial: null },
        };
        const bytes = bytesFor(type, rows * cols);
        const offset = skip * 64;
        const fd = openSync(join(folder, 'weights.bin'), 'w+');
        try {
          ftruncateSync(fd, offset + bytes);
          const whole = createHash('sha256');
          let zeros = 0;
          const sink = { fd, hash: whole, zeros: (count: number) => void (zeros += count) };
          const sha256 = writeTiles(constant, tensor, shape, sink, offset);
          expect(zeros).toBe([...readConstant(constant).data].filter((v) => v === 0).length);
          expect(whole.digest('hex')).toBe(sha256);
          const cores = coresOf(shape);
          const tiles = loadWeight(
            fd,
            { name: 'w', dtype: type, shape: [rows, cols], offset, bytes, sha256 },
            tensor,
            cores,
          );
          expect([...take(cores, tiles).data]).toEqual([...readConstant(constant).data]);
        } finally {
          closeSync(fd);
        }
      },
    ),
    { numRuns: 300 },
  );
});
