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
import type { ProgramTensor } from '../../src/ir/program.ts';
import { weightBytes, writeCodedTiles } from '../../src/plan/coded-tiles.ts';
import { readConstant } from '../../src/tensor/read.ts';
import { compareCoded } from '../../src/verify/coded-coverage.ts';
import { mostBytes } from '../../src/verify/tile-sizes.ts';
import { dims, formats, region, weightOf } from './tile-weights.ts';

const folder = mkdtempSync(join(tmpdir(), 'wafc-tiles-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

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
