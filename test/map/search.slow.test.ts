/** The search over regions: what it finds fits, by code that shares nothing with it; and it finds the same again. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import chooseRegions from '../../passes/3-partition/choose-regions.ts';
import assignMemory from '../../passes/4-place/assign-memory.ts';
import placeSerpentine from '../../passes/4-place/place-serpentine.ts';
import { Diagnosed } from '../../src/diag/diagnostic.ts';
import type { With } from '../../src/ir/facts.ts';
import type { Target } from '../../src/ir/target.ts';
import { writeModel } from '../../src/onnx/writer.ts';
import { QUIET, runPasses } from '../../src/pass/manager.ts';
import { step } from '../../src/pass/pass.ts';
import { loadTarget } from '../../src/target/load.ts';
import { verifyFit } from '../../src/verify/fit.ts';
import { verifyPlacement } from '../../src/verify/placement.ts';
import { anyModel, buildModel, staged } from '../placed/support.ts';

const folder = mkdtempSync(join(tmpdir(), 'wafc-search-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

type Found = With<'stages' | 'mapping' | 'placement' | 'memory'>;
const STEPS = [chooseRegions, placeSerpentine, assignMemory].map((pass) => step(pass, {}));

const base = loadTarget('mesh-16x16');
/** Small machines, some of them with bad cores; from ample to hopeless. */
const target: fc.Arbitrary<Target> = fc
  .record({
    width: fc.integer({ min: 1, max: 24 }),
    height: fc.integer({ min: 1, max: 24 }),
    kib: fc.integer({ min: 21, max: 40 }),
    bad: fc.array(fc.tuple(fc.nat({ max: 23 }), fc.nat({ max: 23 })), { maxLength: 3 }),
  })
  .map(({ width, height, kib, bad }) => ({
    ...base,
    name: 'random',
    width,
    height,
    sramBytes: kib * 1024,
    defects: bad.filter(([x, y]) => x < width && y < height).map(([x, y]) => ({ x, y, width: 1, height: 1 })),
  }));

let [fitting, refused] = [0, 0];

test('never exceeds SRAM or fabric, by the verifiers; refusals add up', { timeout: 300_000 }, () => {
  const context = fc.integer({ min: 4, max: 300 });
  fc.assert(
    fc.property(anyModel, target, context, fc.integer({ min: 1, max: 3 }), (config, machine, positions, batch) => {
      const path = join(folder, 'model.onnx');
      writeModel(path, buildModel(config));
      const most = config.kind === 'llama' ? positions : Math.min(positions, 64);
      const program = { ...staged(path, batch, config.kind === 'bert' ? Math.min(most, 12) : most), target: machine };
      const run = (): Found => runPasses(program, STEPS, QUIET) as Found;
      let found: Found;
      try {
        found = run();
      } catch (error) {
        if (!(error instanceof Diagnosed)) throw error;
        refused++;
        for (const { code, shortfall } of error.diagnostics) {
          expect(code).toMatch(/^fit\/(?:sram|fabric)$/);
          if (code === 'fit/fabric') continue;
          expect(shortfall?.have).toBe(machine.sramBytes);
          expect(shortfall?.need).toBeGreaterThan(machine.sramBytes);
          expect(shortfall?.terms.reduce((n, t) => n + t.bytes, 0)).toBe(shortfall?.need);
        }
        return;
      }
      fitting++;
      expect(verifyFit(found)).toEqual([]);
      expect(verifyPlacement(found)).toEqual([]);
      for (const { peakBytes } of found.memory.maps) expect(peakBytes).toBeLessThanOrEqual(machine.sramBytes);
      const { mapping, placement, memory } = run();
      expect({ mapping, placement, memory }).toEqual({
        mapping: found.mapping,
        placement: found.placement,
        memory: found.memory,
      });
    }),
    { numRuns: Number(process.env.WAFC_RUNS ?? 24) },
  );
  // Both kinds of machines were among them.
  expect(fitting).toBeGreaterThan(3);
  expect(refused).toBeGreaterThan(2);
});
