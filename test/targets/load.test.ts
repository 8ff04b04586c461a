import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Diagnosed } from '../../src/diag/diagnostic.ts';
import { isUsable, usableCores } from '../../src/target/cores.ts';
import { listTargets, loadTarget, targetNames } from '../../src/target/load.ts';
import { packageRoot } from '../../src/util/version.ts';

const folder = mkdtempSync(join(tmpdir(), 'wafc-target-'));
type Json = Record<string, unknown>;
const raw = (name: string): Json => JSON.parse(readFileSync(join(packageRoot(), 'targets', `${name}.json`), 'utf8'));

/** Codes and messages of what is wrong with `json`. */
function findings(json: unknown): string[] {
  const path = join(folder, 'mine.json');
  writeFileSync(path, typeof json === 'string' ? json : JSON.stringify(json));
  try {
    loadTarget(path);
  } catch (error) {
    if (error instanceof Diagnosed) return error.diagnostics.map((d) => `${d.code} ${d.message}`);
    throw error;
  }
  return [];
}

describe('shipped targets', () => {
  test('all load, and carry the name of their file', () => {
    expect(listTargets().map((t) => t.name)).toEqual(targetNames());
    expect(targetNames()).toEqual([
      'wse2',
      'wse3',
      'wse3-int8',
      'mesh-4x4',
      'mesh-8x8',
      'mesh-16x16',
      'mesh-16x16-defects',
      'mesh-64x64',
    ]);
  });
  test('carry the numbers of the hardware table', () => {
    const wse2 = loadTarget('wse2');
    expect([wse2.width * wse2.height, wse2.macsPerCycle.f16, wse2.clocksGHz[0]]).toEqual([745_500, 4, 0.85]);
    const wse3 = loadTarget('wse3');
    expect([wse3.width * wse3.height, wse3.macsPerCycle.f16, wse3.sramBytes]).toEqual([870_000, 8, 48_128]);
    expect(wse3.macsPerCycle.i8).toBeUndefined();
    expect(loadTarget('wse3-int8').macsPerCycle.i8).toBe(16);
  });
  test('load by path as by name', () => {
    expect(loadTarget(join(packageRoot(), 'targets', 'wse3.json'))).toEqual(loadTarget('wse3'));
  });
});

describe('what is wrong is said all at once', () => {
  const base = raw('mesh-8x8');
  test('several findings, with path, expected and found', () => {
    expect(findings({ ...base, width: -8, hopCycles: '1', clocksGHz: [], sumary: 'x' })).toEqual([
      "target/unknown-key /: no key 'sumary' here; did you mean 'summary'?",
      'target/range /width: must be >= 1, found -8 (Columns of the program rectangle, in cores: what a plan may use after what the system itself takes)',
      'target/range /clocksGHz: must NOT have fewer than 1 items, found [] (Clocks at which cycles are shown as seconds, in GHz; the first is the default)',
      'target/type /hopCycles: expected integer, found "1" (Cycles from a router to its neighbour)',
    ]);
  });
  test('a missing key says what it is', () => {
    const { height: _, ...rest } = base;
    expect(findings(rest)[0]).toMatch(/^target\/missing \/: key 'height' is missing: Rows of the program rectangle/);
  });
  test('numbers without a source, sources without a number', () => {
    const { hopCycles: _, ...sources } = base.sources as Json;
    expect(findings({ ...base, sources })).toEqual([
      "target/source /sources: no source for hopCycles; write where the number is from, or 'assumed: why'",
    ]);
    expect(findings({ ...base, sources: { ...sources, hopCycles: 'here', rampCycle: 'there' } })).toEqual([
      "target/unknown-key /sources: no key 'rampCycle' here; did you mean 'rampCycles'?",
    ]);
  });
  test('an unknown element type names the nearest', () => {
    expect(findings({ ...base, macsPerCycle: { f16: 8, bf17: 8 } })).toContain(
      "target/unknown-key /macsPerCycle: no key 'bf17' here; did you mean 'bf16'?",
    );
  });
  test('sizes beyond the limit, defects outside, no core left, reserves, colors', () => {
    expect(findings({ ...base, width: 4000, height: 4000 })[0]).toContain('found 4000 * 4000 = 16000000');
    const sources = { ...(base.sources as Json), defects: 'assumed: test' };
    const defects = (d: unknown) => findings({ ...base, sources, defects: [d] });
    expect(defects({ x: 7, y: 0, width: 2, height: 1 })[0]).toContain('/defects/0: expected a rectangle inside 8 x 8');
    expect(defects({ x: 0, y: 0, width: 8, height: 8 })[0]).toContain('at least one usable core');
    expect(findings({ ...base, reservedCodeBytes: 48_000 })[0]).toContain('/sramBytes: expected more than');
    expect(findings({ ...base, colors: { usable: [1], switchable: [2] } })[0]).toContain('/colors/switchable/0');
  });
  test('text that is not JSON, a folder, a name that is nothing', () => {
    expect(findings('{"name": ')[0]).toMatch(/^target\/json expected JSON/);
    expect(() => loadTarget(folder)).toThrow(/is not a file/);
    expect(() => loadTarget('wse4')).toThrow(/no target 'wse4'; did you mean 'wse2'/);
  });
  test.each([[null], [[]], ['x'], [3]])('%j is not a target', (json) => {
    expect(findings(JSON.stringify(json))[0]).toMatch(/^target\/type \/: expected object/);
  });
});

describe('usable cores', () => {
  test('the defect example', () => {
    const target = loadTarget('mesh-16x16-defects');
    expect(usableCores(target)).toBe(256 - 4 - 1 - 8 - 3);
    let counted = 0;
    for (let y = 0; y < 16; y++) for (let x = 0; x < 16; x++) counted += isUsable(target, x, y) ? 1 : 0;
    expect(counted).toBe(usableCores(target));
    expect(isUsable(target, -1, 0) || isUsable(target, 16, 0)).toBe(false);
  });
  test('overlapping defects count once', () => {
    const defects = [
      { x: 0, y: 0, width: 4, height: 4 },
      { x: 2, y: 2, width: 4, height: 4 },
      { x: 3, y: 0, width: 1, height: 6 },
    ];
    const target = { ...loadTarget('mesh-8x8'), defects };
    let bad = 0;
    for (let y = 0; y < 8; y++) for (let x = 0; x < 8; x++) bad += isUsable(target, x, y) ? 0 : 1;
    expect(usableCores(target)).toBe(64 - bad);
  });
});
