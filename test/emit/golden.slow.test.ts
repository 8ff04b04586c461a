/**
 * Every golden case of ../shared/models through the executor.ts of its model: written as `wafc emit` writes it, run as a user runs it.
 * One process runs them all, a command line each: starting one takes longer than most models do.
 */
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { emit } from '../../src/driver/emit.ts';
import { readNpz, writeNpz } from '../../src/tensor/npz.ts';
import { faultOf, goldenCases, loadTensors } from '../conformance/golden-suite.ts';
import { tsx, typeCheck, userFolder } from './support.ts';

const shared = join(import.meta.dirname, '../../../shared/models');
const present = existsSync(join(shared, 'cases.json'));
const cases = present ? goldenCases(shared) : [];
const models = [...new Set(cases.map(({ model }) => model))];

/** Runs every line of `lines` as one command line of the executor it begins with. */
const RUNNER = `
const { readFileSync } = await import('node:fs');
for (const line of readFileSync('lines.json', 'utf8').split('\\n')) {
  const [executor, ...args] = JSON.parse(line);
  const { model } = await import(executor);
  const { main } = await import('wafc/runtime');
  await main(model, args);
  if (process.exitCode !== 0) console.error(line);
}
`;

describe.skipIf(!present)(`executor.ts on golden cases${present ? '' : ': NOT RUN, no ../shared/models'}`, () => {
  let folder = '';
  beforeAll(async () => {
    folder = userFolder();
    const lines: string[] = [];
    for (const [i, model] of models.entries()) {
      const program = join(folder, `model-${i}`);
      await emit({ model: join(shared, model), output: program, bindings: {} });
    }
    for (const [i, golden] of cases.entries()) {
      const at = join(folder, `case-${i}`);
      mkdirSync(at);
      writeNpz(join(at, 'in.npz'), loadTensors(shared, golden, golden.inputs));
      const executor = join(folder, `model-${models.indexOf(golden.model)}`, 'executor.ts');
      lines.push(JSON.stringify([executor, '--quiet', '--input', join(at, 'in.npz'), '--output', join(at, 'out.npz')]));
    }
    writeFileSync(join(folder, 'lines.json'), lines.join('\n'));
    writeFileSync(join(folder, 'run.mts'), RUNNER);
    const { err } = await tsx(folder, 'run.mts');
    if (err !== '') throw new Error(err);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test('there is a case for every model', () => expect(models.length).toBeGreaterThan(60));
  test('all pass the compiler as strictly as the sources do', () => {
    expect(typeCheck(folder)).toEqual({ files: models.length, faults: '' });
  });
  for (const [i, golden] of cases.entries()) {
    test(`${golden.model} ${golden.case}`, () => {
      expect(faultOf(shared, golden, readNpz(join(folder, `case-${i}`, 'out.npz')))).toBeUndefined();
    });
  }
});
