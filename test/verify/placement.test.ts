import { describe, expect, test } from 'vitest';
import type { Region } from '../../src/ir/facts.ts';
import { loadTarget } from '../../src/target/load.ts';
import { type PlacedProgram, verifyPlacement } from '../../src/verify/placement.ts';
import { mlp } from '../cost/region.ts';

const region = (stages: readonly number[], x: number, y: number, width = 4, height = 3): Region => ({
  stages,
  x,
  y,
  width,
  height,
});

/** Three stages of one template in two groups, on the mesh with defects. */
function program(regions: readonly Region[], groups: readonly (readonly number[])[] = [[0, 1], [2]]): PlacedProgram {
  const stage = (name: string) => ({ name, template: 0, ops: [], inputs: [], outputs: [], weights: [] });
  return {
    target: loadTarget('mesh-16x16-defects'),
    stages: { host: [], stages: ['a', 'b', 'c'].map(stage), templates: [{ name: 'layer', exemplar: 0 }] },
    mapping: { programs: [mlp({ width: 4, height: 3, groups: 1 }, 8, 8)], groups },
    placement: { regions },
  };
}
const good = [region([0, 1], 0, 0), region([2], 4, 4)];
const found = (p: PlacedProgram) =>
  verifyPlacement(p).map((d) => `${d.code} ${d.message}${d.where ? ` @ ${d.where}` : ''}`);

describe('placement invariants', () => {
  test('a placement that holds', () => {
    expect(found(program(good))).toEqual([]);
  });
  test('P1: inside the fabric, whole cores', () => {
    expect(found(program([good[0], region([2], 13, 4)]))).toEqual([
      'verify/P1 region 1 is not inside the 16 x 16 fabric @ cores (13,4)..(16,6)',
    ]);
    expect(found(program([good[0], region([2], 0.5, 4)]))[0]).toContain('P1');
    expect(found(program([good[0], region([2], -1, 4)]))[0]).toContain('P1');
  });
  test('P2: disjoint', () => {
    expect(found(program([good[0], region([2], 3, 2)]))).toContain(
      'verify/P2 regions 0 and 1 share cores @ core (3,2)',
    );
    expect(found(program([good[0], region([2], 0, 0)]))).toHaveLength(1);
  });
  test('P3: no defective core', () => {
    expect(found(program([good[0], region([2], 4, 3)]))).toEqual([
      'verify/P3 region 1 covers cores that must not be used @ cores (5,3)..(5,3)',
    ]);
  });
  test('P4: every stage once', () => {
    expect(found(program([good[0], region([1], 4, 4)], [[0, 1], [1]]))).toEqual([
      'verify/P4 stage b is in regions 0, 1, expected exactly one',
      'verify/P4 stage c is in no region, expected exactly one',
    ]);
    expect(
      found(
        program(
          [good[0], region([2, 7], 4, 4)],
          [
            [0, 1],
            [2, 7],
          ],
        ),
      ),
    ).toEqual(['verify/P4 region 1 holds stage 7, of 3']);
  });
  test('P5: the shape of the program', () => {
    expect(found(program([good[0], region([2], 4, 4, 3, 4)]))).toEqual([
      'verify/P5 region 1 is 3 x 4, the program of stage 2 wants 4 x 3 @ cores (4,4)..(6,7)',
    ]);
  });
  test('P6: regions are the groups', () => {
    expect(found(program([region([1, 0], 0, 0), good[1]]))[0]).toBe(
      'verify/P6 region 0 holds stages 1,0, its group is 0,1',
    );
    expect(found(program(good, [[0, 1, 2]]))[0]).toContain('verify/P6 2 regions, expected one for each of 1 groups');
  });
});

describe('replicas', () => {
  const copied = (...replicas: { x: number; y: number }[]): string[] => {
    const p = program([region([0, 1], 0, 0), region([2], 0, 3)]);
    return found({ ...p, placement: { ...p.placement, replicas } });
  };
  test('P7: copies that hold', () => {
    expect(copied({ x: 0, y: 10 }, { x: 8, y: 10 })).toEqual([]);
  });
  test('P7: outside, on a defect, on another copy', () => {
    expect(copied({ x: 13, y: 0 })).toEqual([
      'verify/P7 replica 0: region 0 is not inside the 16 x 16 fabric @ cores (13,0)..(16,2)',
    ]);
    expect(copied({ x: 4, y: 0 })[0]).toMatch(/^verify\/P7 replica 0: region \d covers cores that must not be used/);
    expect(copied({ x: 0, y: 3 })).toEqual(['verify/P7 the first copy and replica 0 share cores @ core (0,3)']);
    expect(copied({ x: 0, y: 10 }, { x: 3, y: 10 }).at(-1)).toContain('replica 0 and replica 1 share cores');
  });
});
