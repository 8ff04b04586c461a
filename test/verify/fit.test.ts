import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { tileElements } from '../../src/cost/tile.ts';
import type { Buffer } from '../../src/ir/facts.ts';
import type { MeshAxis, ProgramTensor } from '../../src/ir/program.ts';
import { heldBy, mapMemory, type MemoryMap } from '../../src/place/memory.ts';
import { loadTarget } from '../../src/target/load.ts';
import { type FittedProgram, verifyFit } from '../../src/verify/fit.ts';
import { mostElements } from '../../src/verify/tile-sizes.ts';
import { attention, mlp } from '../cost/region.ts';

const shape = { width: 4, height: 3, groups: 2 };
const programs = [mlp(shape, 13, 41), attention(shape, 4, 2, 16, 64)];
const target = loadTarget('wse3');

function fitted(groups: readonly (readonly number[])[], templates: readonly number[], batch = 1): FittedProgram {
  const stages = {
    host: [],
    stages: templates.map((template, i) => ({
      name: `s${i}`,
      template,
      ops: [],
      inputs: [],
      outputs: [],
      weights: [],
    })),
    templates: programs.map((_, i) => ({ name: `t${i}`, exemplar: templates.indexOf(i) })),
  };
  const maps = groups.map((g) => mapMemory(heldBy(g, stages, programs), batch, target));
  return {
    target,
    mode: { kind: 'stream', batch, context: 64 },
    stages,
    mapping: { programs, groups },
    memory: { maps },
  };
}
const good = fitted([[0, 1, 2, 3, 4], [5]], [0, 1, 1, 0, 1, 0], 2);

/** What is found when the first map is changed. */
function found(change: (map: MemoryMap) => MemoryMap): string[] {
  const maps = good.memory.maps.map((m, i) => (i === 0 ? change(m) : m));
  return verifyFit({ ...good, memory: { maps } }).map((d) => `${d.code} ${d.message}`);
}
const edit = (name: string, change: (b: Buffer) => Partial<Buffer>) => (map: MemoryMap) => ({
  ...map,
  buffers: map.buffers.map((b) => (b.name === name ? { ...b, ...change(b) } : b)),
});
const rules = (messages: readonly string[]) =>
  [...new Set(messages.map((m) => m.slice('verify/'.length).split(' ')[0]))].sort();

describe('fit invariants', () => {
  test('maps that hold', () => {
    expect(verifyFit(good)).toEqual([]);
  });
  test('F1: within the SRAM', () => {
    const messages = found((map) => ({ ...edit('0:7 y', () => ({ offset: 48_124 }))(map), peakBytes: 48_134 }));
    expect(messages).toEqual(['verify/F1 group 0: 0:7 y at 48124..48134 ends beyond 48128 bytes']);
  });
  test('F2: what lives together does not overlap', () => {
    const up = good.memory.maps[0].buffers.find((b) => b.name === '0.0:1 up');
    const messages = found(edit('0.0:2 down', () => ({ offset: up?.offset ?? 0 })));
    expect(messages).toHaveLength(1);
    expect(messages[0]).toMatch(/^verify\/F2 group 0: 0\.0:1 up at .* and 0\.0:2 down at .* are live together/);
  });
  test('F3: aligned', () => {
    expect(rules(found(edit('0:7 y', (b) => ({ offset: b.offset + 2 }))))).toContain('F3');
  });
  test('F4: the stated peak', () => {
    expect(found((map) => ({ ...map, peakBytes: map.peakBytes - 4 }))[0]).toMatch(
      /^verify\/F4 .* peak stated \d+, found \d+/,
    );
  });
  test('F5: every tensor of every stage, large enough, of its kind', () => {
    expect(found((map) => ({ ...map, buffers: map.buffers.filter((b) => b.name !== '1.1:3 keys') }))).toEqual([
      'verify/F5 group 0: no buffer for keys (1.1:3)',
    ]);
    expect(rules(found(edit('1.0:3 keys', (b) => ({ bytes: b.bytes / 2 }))))).toEqual(['F5']);
    expect(rules(found(edit('0:5 relu', () => ({ kind: 'receive' }))))).toEqual(['F5']);
  });
  test('F6: live while used', () => {
    expect(found(edit('0:4 h', () => ({ live: [1, 1] })))).toEqual([
      'verify/F6 group 0: 0:4 h is live 1..1, h is used 1..2',
    ]);
    expect(rules(found(edit('0.0:1 up', () => ({ live: [0, 0] }))))).toEqual(['F6']);
  });
  test('F7: code and stack', () => {
    expect(rules(found(edit('code', () => ({ bytes: 100 }))))).toEqual(['F7']);
    expect(rules(found((map) => ({ ...map, buffers: map.buffers.filter((b) => b.name !== 'stack') })))).toEqual(['F7']);
  });
  test('F8: room to receive', () => {
    expect(rules(found(edit('1:op3 receive', (b) => ({ bytes: b.bytes - 2 }))))).toEqual(['F8']);
    expect(rules(found(edit('0:op1 receive', () => ({ bytes: 2 }))))).toEqual(['F8']);
  });
  test('F9: one map a group, one buffer a name, nothing of nobody', () => {
    expect(rules(verifyFit({ ...good, memory: { maps: [] } }).map((d) => d.code))).toEqual(['F9']);
    const extra = (name: string) => (map: MemoryMap) => ({
      ...map,
      buffers: [...map.buffers, { ...map.buffers[0], name, offset: 48_000, bytes: 0 }],
    });
    expect(rules(found((map) => ({ ...extra('9:9 ghost')(map), peakBytes: 48_000 })))).toEqual(['F9']);
    expect(rules(found((map) => ({ ...extra('code')(map), peakBytes: 48_000 })))).toContain('F9');
  });
  test('F10: activations in other banks than what stays', () => {
    expect(rules(found(edit('0:7 y', (b) => ({ offset: b.offset + 4 }))))).toContain('F10');
    expect(found(edit('0.0:1 up', (b) => ({ offset: b.offset + 4 })))).toContainEqual(
      expect.stringMatching(/^verify\/F10 group 0: 0\.0:1 up at .* starts at 4 of 8 bytes, not 0$/),
    );
  });
});

test('counted tiles are the closed form of the cost model', () => {
  const n = (max: number) => fc.integer({ min: 1, max });
  const cuts = fc.constantFrom<(readonly MeshAxis[])[]>(['y'], ['xo', 'xi'], ['xi'], ['y', 'xi'], []);
  fc.assert(
    fc.property(n(200), n(8), n(8), n(8), cuts, fc.boolean(), (extent, height, groups, inner, axes, cyclic) => {
      const tensor: ProgramTensor = {
        name: 't',
        role: 'temp',
        dtype: 'f16',
        shape: [extent, 3],
        layout: { dims: [axes, []], partial: null, ...(cyclic ? { cyclic: true as const } : {}) },
      };
      const region = { width: groups * inner, height, groups };
      expect(mostElements(tensor, region)).toBe(tileElements(tensor, region));
    }),
  );
});
