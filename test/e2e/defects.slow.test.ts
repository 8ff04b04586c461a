/** Meshes with 2 % random dead cores: pico is placed around and over them, routed, and computes what it should. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Target } from '../../src/ir/target.ts';
import { readPlan } from '../../src/plan/read.ts';
import { isUsable } from '../../src/target/cores.ts';
import { randomBelow, randomStream } from '../../src/util/rng.ts';
import { rowsOf, columnsOf } from '../../src/route/fabric.ts';
import { temporaryFolder } from '../plan/tiny-plan.ts';
import { targetFile } from '../route/support.ts';
import { compiled, PICO, verified } from './support.ts';

function dead(width: number, height: number, seed: number): Target['defects'] {
  const random = randomStream(seed, 'dead cores');
  const count = Math.round(width * height * 0.02);
  return Array.from({ length: count }, () => ({
    x: randomBelow(random, width),
    y: randomBelow(random, height),
    width: 1,
    height: 1,
  }));
}

describe('2 % dead cores', () => {
  test.each([
    ['mesh-16x16', 16, false],
    ['mesh-16x16', 16, true],
    ['mesh-64x64', 64, false],
  ] as const)('%s, %i a side, routers forward: %s', async (base, side, defectsForward) => {
    const target = targetFile({ defects: dead(side, side, side), defectsForward }, base);
    const folder = join(temporaryFolder(), 'plan');
    await compiled({ model: join(PICO, 'decoder_with_past.onnx'), target, context: 64, output: folder });
    const plan = readPlan(folder);
    const rows = plan.regions.flatMap((r) => rowsOf(r).flatMap((y) => columnsOf(r).map((x) => ({ x, y }))));
    expect(rows.filter(({ x, y }) => !isUsable(plan.target, x, y))).toEqual([]);
    await verified({ plan: folder });
  });
});
