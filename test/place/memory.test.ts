import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { assignOffsets } from '../../src/place/intervals.ts';
import { lifetimesOf } from '../../src/place/lifetimes.ts';
import { mapMemory, termsOf } from '../../src/place/memory.ts';
import { loadTarget } from '../../src/target/load.ts';
import { attention, mlp } from '../cost/region.ts';

const target = loadTarget('wse3');
const shape = { width: 4, height: 3, groups: 2 };
const offsetOf = (map: ReturnType<typeof mapMemory>, name: string) => map.buffers.find((b) => b.name === name)?.offset;

describe('memory map', () => {
  test('code, stack, weights of every stage, then activations in turn', () => {
    const map = mapMemory([{ program: mlp(shape, 12, 40), stageCount: 2 }], 1, target);
    expect(map.buffers.map((b) => [b.name, b.kind, b.offset, b.bytes, b.live])).toEqual([
      ['code', 'code', 0, 16384, [0, 5]],
      ['stack', 'stack', 16384, 4096, [0, 5]],
      ['0.0:1 up', 'weight', 20480, 80, [0, 5]],
      ['0.0:2 down', 'weight', 20560, 80, [0, 5]],
      ['0.1:1 up', 'weight', 20640, 80, [0, 5]],
      ['0.1:2 down', 'weight', 20720, 80, [0, 5]],
      ['0:0 x', 'activation', 20804, 8, [0, 5]],
      ['0:3 h/partial', 'activation', 20812, 20, [0, 1]],
      ['0:4 h', 'activation', 20836, 20, [1, 2]],
      ['0:5 relu', 'activation', 20812, 20, [2, 3]],
      ['0:6 y/partial', 'activation', 20836, 8, [3, 4]],
      ['0:7 y', 'activation', 20812, 8, [4, 5]],
      ['0:op1 receive', 'receive', 20860, 20, [1, 1]],
      ['0:op4 receive', 'receive', 20820, 8, [4, 4]],
    ]);
    expect(map.peakBytes).toBe(20880);
  });
  test('activations start in other banks than weights, where the target has banks', () => {
    const held = [{ program: mlp(shape, 12, 40), stageCount: 2 }];
    const residue = (map: ReturnType<typeof mapMemory>, period: number) =>
      new Set(map.buffers.map((b) => `${b.kind === 'activation' || b.kind === 'receive'} ${b.offset % period}`));
    expect(residue(mapMemory(held, 1, target), 8)).toEqual(new Set(['false 0', 'true 4']));
    const { bankBytes: _none, ...without } = target;
    expect(residue(mapMemory(held, 1, without), 4)).toEqual(new Set(['false 0', 'true 0']));
  });
  test('state once per sequence, cyclic rows on the fullest core', () => {
    const program = attention(shape, 4, 2, 16, 64);
    const bytes = (batch: number) =>
      mapMemory([{ program, stageCount: 1 }], batch, target).buffers.find((b) => b.name === '0.0:3 keys')?.bytes;
    expect([bytes(1), bytes(3)]).toEqual([11 * 16 * 2, 3 * 11 * 16 * 2]);
  });
  test('several programs: an input does not lie on the outputs it is handed', () => {
    const program = mlp(shape, 12, 40);
    const map = mapMemory(
      [
        { program, stageCount: 1 },
        { program: mlp(shape, 12, 8), stageCount: 3 },
      ],
      1,
      target,
    );
    const input = map.buffers.find((b) => b.name === '1:0 x');
    expect(input?.live).toEqual([0, 11]);
    expect(offsetOf(map, '1:0 x')).not.toBe(offsetOf(map, '0:7 y'));
  });
  test('a peak beyond the SRAM is reported, not refused', () => {
    const map = mapMemory([{ program: mlp({ width: 1, height: 1, groups: 1 }, 400, 400), stageCount: 1 }], 1, target);
    expect(map.peakBytes).toBeGreaterThan(target.sramBytes);
  });
  test('inputs stay, outputs stay from their op on, the rest lives from first to last op', () => {
    expect(lifetimesOf(mlp(shape, 12, 40)).map((l) => [l.tensor, l.first, l.last])).toEqual([
      [0, 0, 5],
      [3, 0, 1],
      [4, 1, 2],
      [5, 2, 3],
      [6, 3, 4],
      [7, 4, 5],
    ]);
  });
});

describe('properties', () => {
  const n = (max: number) => fc.integer({ min: 1, max });
  test('the terms add up to the peak, none is negative', () => {
    fc.assert(
      fc.property(n(9), n(9), n(200), n(4), n(3), (w, h, dim, stageCount, batch) => {
        const held = [
          { program: mlp({ width: w, height: h, groups: 1 }, dim, 3 * dim), stageCount },
          { program: attention({ width: w, height: h, groups: w }, 2 * w, w, dim, 50), stageCount: 1 },
        ];
        const map = mapMemory(held, batch, target);
        const terms = termsOf(map);
        expect(terms.reduce((sum, t) => sum + t.bytes, 0)).toBe(map.peakBytes);
        for (const t of terms) expect(t.bytes).toBeGreaterThanOrEqual(0);
        expect(terms.map((t) => t.what)).toEqual([
          'weights',
          'KV cache',
          'activations',
          'receive buffers',
          'code',
          'stack',
          'alignment',
        ]);
      }),
      { numRuns: 40 },
    );
  });
  test('no two intervals that live together overlap, offsets are aligned', () => {
    const item = fc.record({ bytes: fc.integer({ min: 0, max: 50 }), start: fc.nat(20), length: fc.nat(8) });
    fc.assert(
      fc.property(fc.array(item, { maxLength: 25 }), (given) => {
        const items = given.map(({ bytes, start, length }) => ({ bytes, live: [start, start + length] as const }));
        const offsets = assignOffsets(items, 4);
        for (const [i, a] of items.entries()) {
          expect(offsets[i] % 4).toBe(0);
          for (const [j, b] of items.entries()) {
            if (i >= j || a.live[1] < b.live[0] || b.live[1] < a.live[0] || a.bytes * b.bytes === 0) continue;
            expect(offsets[i] + a.bytes <= offsets[j] || offsets[j] + b.bytes <= offsets[i]).toBe(true);
          }
        }
      }),
    );
  });
});
