/**
 * Every golden case of ../shared/models through the executor.ts of its model: written as `wafc emit` writes it, run as a user runs it. Most
 * cases are command lines of one process, because starting one takes longer than most models do; the models of `OWN_PROCESS`, and
 * generation, are processes of their own.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
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

/** One of each kind: a cache, a branch, halves, codes. */
const OWN_PROCESS = [
  'decoder_with_past_model.ts17.onnx',
  'decoder_model_merged.ts17.onnx',
  'decoder_with_past_model.ts17.fp16.onnx',
  'decoder_with_past_model.ts17.q4.onnx',
];
const isOwnProcess = (model: string): boolean => OWN_PROCESS.some((file) => model.endsWith(`/${file}`));

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
  const program = (model: string): string => join(folder, `model-${models.indexOf(model)}`, 'executor.ts');
  beforeAll(async () => {
    folder = userFolder();
    const lines: string[] = [];
    for (const [i, model] of models.entries())
      await emit({ model: join(shared, model), output: join(folder, `model-${i}`), bindings: {} });
    for (const [i, golden] of cases.entries()) {
      const at = join(folder, `case-${i}`);
      mkdirSync(at);
      writeNpz(join(at, 'in.npz'), loadTensors(shared, golden, golden.inputs));
      const args = ['--quiet', '--input', join(at, 'in.npz'), '--output'];
      const executor = program(golden.model);
      if (isOwnProcess(golden.model)) {
        const { code, err } = await tsx(folder, executor, [...args, join(at, 'out.npz')]);
        if (code !== 0 || err !== '') throw new Error(err);
      } else lines.push(JSON.stringify([executor, ...args, join(at, 'out.npz')]));
      lines.push(JSON.stringify([executor, ...args, join(at, 'plain.npz'), '--mode', 'plain']));
    }
    writeFileSync(join(folder, 'lines.json'), lines.join('\n'));
    writeFileSync(join(folder, 'run.mts'), RUNNER);
    const { err } = await tsx(folder, 'run.mts');
    if (err !== '') throw new Error(err);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test('there is a case for every model', () => {
    const all: readonly { model: string; cases: readonly string[] }[] = JSON.parse(
      readFileSync(join(shared, 'index.json'), 'utf8'),
    );
    // Those of pico are text: below.
    const others = all.filter(({ model }) => !model.startsWith('pico/'));
    expect(new Set(models)).toEqual(new Set(others.map(({ model }) => model)));
    expect(cases).toHaveLength(others.flatMap((m) => m.cases).length);
    expect(cases.filter(({ model }) => isOwnProcess(model)).length).toBeGreaterThanOrEqual(OWN_PROCESS.length);
  });
  test('all pass the compiler as strictly as the sources do', () => {
    expect(typeCheck(folder)).toEqual({ files: models.length, faults: '' });
  });
  for (const [i, golden] of cases.entries()) {
    test(`${golden.model} ${golden.case}`, () => {
      for (const file of ['out.npz', 'plain.npz'])
        expect({ file, fault: faultOf(shared, golden, readNpz(join(folder, `case-${i}`, file))) }).toEqual({
          file,
          fault: undefined,
        });
    });
  }

  for (const [file, golden] of [
    ['decoder_with_past.onnx', 'golden.json'],
    ['decoder.onnx', 'golden.json'],
    ['reviewer_with_past.onnx', 'golden_reviewer.json'],
  ]) {
    test(`pico/${file}: the golden text`, async () => {
      const output = join(folder, `pico-${file}`);
      await emit({ model: join(shared, 'pico', file), output, bindings: {} });
      const { prompt, greedy_tokens } = JSON.parse(readFileSync(join(shared, 'pico', golden), 'utf8'));
      const count = String(greedy_tokens.length);
      const args = ['--tokenizer', 'bytes', '--prompt', prompt, '--max-tokens', count, '--json'];
      const { code, out } = await tsx(folder, join(output, 'executor.ts'), args);
      expect({ code, ids: JSON.parse(out).generated.ids }).toEqual({ code: 0, ids: greedy_tokens });
    });
  }
});
