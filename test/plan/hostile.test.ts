/** Broken plan.json files: Diagnosed and nothing else, whatever is in them. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { Diagnosed, type Diagnostic } from '../../src/diag/diagnostic.ts';
import { checkPlanJson } from '../../src/plan/check.ts';
import { MAX_FINDINGS } from '../../src/plan/findings.ts';
import { readPlan } from '../../src/plan/read.ts';
import type { Plan } from '../../src/plan/types.ts';
import { buildReport } from '../../src/report/report.ts';
import { randomBelow, randomStream } from '../../src/util/rng.ts';
import { checkPlan } from '../../src/verify/plan.ts';
import { changed, compileTiny, GONE, pathsOf, temporaryFolder } from './tiny-plan.ts';

let text: string;
let folder: string;
beforeAll(async () => {
  folder = (await compileTiny('tiny-llama')).folder;
  text = readFileSync(join(folder, 'plan.json'), 'utf8');
});

/** What readPlan says of a folder with this plan.json; `undefined` where it takes it. */
function diagnosed(contents: string): readonly Diagnostic[] | undefined {
  const place = temporaryFolder();
  writeFileSync(join(place, 'plan.json'), contents);
  try {
    readPlan(place);
    return undefined;
  } catch (error) {
    if (error instanceof Diagnosed) return error.diagnostics;
    throw error;
  }
}

const nested = (depth: number): string => `${'['.repeat(depth)}${']'.repeat(depth)}`;

describe('files', () => {
  test('a whole one is read', () => expect(diagnosed(text)).toBeUndefined());
  test('truncated anywhere', () => {
    for (let i = 0; i < 40; i++) {
      const cut = Math.floor((text.trimEnd().length * i) / 40);
      expect(diagnosed(text.slice(0, cut))?.[0].code, `cut at ${cut}`).toMatch(/^plan\//);
    }
  });
  test.each(['null', 'true', '7', '"plan"', '[]', '{}', '[[]]', '{"__proto__": {"schema": "wafc.plan/1"}}', '1e999'])(
    'JSON that is no plan: %s',
    (json) => expect(diagnosed(json)?.every((d) => d.code.startsWith('plan/'))).toBe(true),
  );
  test('values nested deeper than any stack', () => {
    for (const at of ['options', 'stages', 'model'] as const) {
      const list = diagnosed(text.replace(`"${at}": `, `"${at}": ${nested(200_000)}, "x": `));
      expect(list?.map((d) => d.code)).toEqual(['plan/range']);
    }
  });
  test('more wrong values than can be listed', () => {
    const many = `[${'0,'.repeat(1_500_000)}0]`;
    const list = diagnosed(text.replace('"regions": [', `"regions": ${many}, "x": [`)) ?? [];
    expect(list.length).toBeGreaterThan(0);
    expect(list.length).toBeLessThanOrEqual(MAX_FINDINGS);
  });
});

/** Values that have broken programs before. */
const HOSTILE: readonly unknown[] = [
  GONE,
  null,
  true,
  -1,
  0,
  1,
  0.5,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 53,
  1e308,
  Number.NaN,
  '',
  'x',
  '__proto__',
  '../../etc/passwd',
  [],
  [[]],
  {},
  { length: 2 ** 32 },
  [0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
];

test('plans with one or two values changed are refused, or can be used without a crash', { timeout: 60_000 }, () => {
  const plan: unknown = JSON.parse(text);
  const paths = [...pathsOf(plan, () => true)].filter((path) => path !== '' && !path.startsWith('/target/sources'));
  const random = randomStream(7, 'hostile plans');
  const pick = <E>(list: readonly E[]): E => list[randomBelow(random, list.length)];
  let [refused, taken] = [0, 0];
  for (let i = 0; i < 600; i++) {
    let json = plan;
    const steps: string[] = [];
    for (let k = randomBelow(random, 2); k >= 0; k--) {
      const [path, value] = [pick(paths), pick(HOSTILE)];
      steps.push(`${path} = ${String(value)}`);
      json = changed(json, path, (old) =>
        typeof old === 'number' && randomBelow(random, 2) === 0 ? old + randomBelow(random, 5) - 2 : value,
      );
    }
    try {
      const findings = checkPlanJson(json);
      if (findings.length > 0) {
        refused++;
        for (const d of findings) expect(d.message).toMatch(/^\/[^:]*: \S/);
        continue;
      }
      taken++;
      const usable = json as Plan;
      buildReport(usable);
      checkPlan(usable, folder, { hashes: false });
    } catch (error) {
      throw new Error(`after ${steps.join(' and ')}`, { cause: error });
    }
  }
  expect(refused).toBeGreaterThan(200);
  expect(taken).toBeGreaterThan(40);
});
