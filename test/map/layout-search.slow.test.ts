/**
 * The search over layouts against brute force on tiny models and meshes: every choice of ways (embeddings, heads, products),
 * or, where these are too many, some hundred drawn at random. Costs are those of whole programs, not of the search's sums.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { buildModel, CONFIGS } from '../../models/configs.ts';
import { costProgram, totalCost } from '../../src/cost/program.ts';
import { bestLayouts, layoutsByChoice } from '../../src/map/layout-search.ts';
import { StageContext } from '../../src/map/stage-context.ts';
import { writeModel } from '../../src/onnx/writer.ts';
import { loadTarget } from '../../src/target/load.ts';
import { randomBelow, randomStream } from '../../src/util/rng.ts';
import { staged } from '../placed/support.ts';

const folder = mkdtempSync(join(tmpdir(), 'wafc-layouts-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const target = loadTarget('wse3');
/** Programs tried exhaustively at most; more than that are drawn. */
const MOST = 700;
const DRAWN = 150;

/** The choices that follow `last` in the order of an odometer whose digits have the sizes met on the way; undefined after the last. */
function following(last: readonly number[], sizes: readonly number[]): number[] | undefined {
  const next = last.slice(0, sizes.length);
  while (next.length < sizes.length) next.push(0);
  for (let i = sizes.length - 1; i >= 0; i--) {
    if (next[i] + 1 < sizes[i]) return [...next.slice(0, i), next[i] + 1];
  }
  return undefined;
}

/** The least cycles of any program that brute force tries, and how many it tried. */
function bruteForce(contextOf: () => StageContext): { cycles: number; tried: number; all: boolean } {
  const context = contextOf();
  let least = Number.POSITIVE_INFINITY;
  let tried = 0;
  const attempt = (choose: (ways: number) => number): void => {
    least = Math.min(least, totalCost(costProgram(layoutsByChoice(context, choose), target)).cycles);
    tried++;
  };
  let choices: number[] | undefined = [];
  while (choices !== undefined && tried < MOST) {
    const sizes: number[] = [];
    const given: readonly number[] = choices;
    attempt((ways) => {
      sizes.push(ways);
      return given[sizes.length - 1] ?? 0;
    });
    choices = following(given, sizes);
  }
  if (choices === undefined) return { cycles: least, tried, all: true };
  const random = randomStream(1, 'brute force');
  for (let i = 0; i < DRAWN; i++) attempt((ways) => randomBelow(random, ways));
  return { cycles: least, tried, all: false };
}

describe('nothing is cheaper than what the search finds', () => {
  let exhaustive = 0;
  test.each(['tiny-llama', 'tiny-gpt2', 'tiny-bert'])('%s', (name) => {
    const config = CONFIGS.get(name) ?? expect.fail(`no ${name}`);
    const path = join(folder, `${name}.onnx`);
    writeModel(path, buildModel(config));
    const { graph, roles, stages, mode } = staged(path, 1, 16);
    const size = { tokens: mode.kind === 'whole' ? mode.context : 1, context: mode.context };
    for (const shape of [
      { width: 2, height: 2, groups: 1 },
      { width: 4, height: 8, groups: 2 },
    ])
      for (const { exemplar } of stages.templates) {
        const stage = stages.stages[exemplar];
        const contextOf = (): StageContext =>
          new StageContext({ graph, roles, stage, shape, size, target, options: { disable: [] } });
        const found = bestLayouts(contextOf());
        expect(totalCost(costProgram(found.program, target)).cycles).toBe(found.cycles);
        const brute = bruteForce(contextOf);
        if (brute.all) exhaustive++;
        expect([name, stage.name, found.cycles <= brute.cycles]).toEqual([name, stage.name, true]);
        // Where brute force saw everything, it saw the best, too.
        if (brute.all && found.exact) expect(brute.cycles).toBe(found.cycles);
      }
  });
  test('some stages were small enough to try everything', () => expect(exhaustive).toBeGreaterThan(1));
});
