/** executor.ts of a plan, as its user has it: from the sources, from the packed package, and under the compiler's strictness. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { writeNpz } from '../../src/tensor/npz.ts';
import { fromNumbers } from '../../src/tensor/tensor.ts';
import { compiled, PICO } from '../e2e/support.ts';
import { bin, tsx, typeCheck, userFolder } from './support.ts';

const root = resolve(import.meta.dirname, '../..');
let folder = '';

beforeAll(async () => {
  folder = userFolder();
  const model = join(PICO, 'decoder_with_past.onnx');
  await compiled({ model, target: 'mesh-8x8', context: 160, output: join(folder, 'plan') });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const run = (...args: string[]) => tsx(folder, join(folder, 'plan', 'executor.ts'), args);

describe('executor.ts of pico', () => {
  test('placed against reference', async () => {
    const ids = [...Buffer.from('const x =')];
    const row = (values: readonly number[]) => fromNumbers('i64', [1, values.length], values);
    const inputs = new Map([
      ['input_ids', row(ids)],
      ['attention_mask', row(ids.map(() => 1))],
      ['position_ids', row([...ids.keys()])],
    ]);
    for (let layer = 0; layer < 4; layer++)
      for (const kind of ['key', 'value'])
        inputs.set(`past_key_values.${layer}.${kind}`, fromNumbers('f32', [1, 2, 0, 16], []));
    writeNpz(join(folder, 'in.npz'), inputs);
    const { code, out } = await run('--input', join(folder, 'in.npz'), '--compare', '--json');
    const found = JSON.parse(out) as { passed: boolean; outputs: { name: string; maxRel: number; bound: number }[] };
    expect({ code, passed: found.passed, outputs: found.outputs.length }).toEqual({
      code: 0,
      passed: true,
      outputs: 9,
    });
    for (const { maxRel, bound } of found.outputs) expect(maxRel).toBeLessThan(Math.min(bound, 1e-4));
    // Two executors that add in different orders are never the same to the bit.
    expect(found.outputs.some(({ maxRel }) => maxRel > 0)).toBe(true);
  });

  test('the golden text, by the graph and by the plan', async () => {
    const { prompt, greedy_tokens } = JSON.parse(readFileSync(join(PICO, 'golden.json'), 'utf8'));
    const text = prompt + Buffer.from(greedy_tokens.slice(0, 40)).toString();
    for (const mode of ['reference', 'plain', 'placed']) {
      const { code, out } = await run('--prompt', prompt, '--max-tokens', '40', '--mode', mode);
      expect({ mode, code, out }).toEqual({ mode, code: 0, out: `${text}\n` });
    }
  });

  test('its region programs and stages are those of plan.json', async () => {
    const script = `import { model } from './plan/executor.ts';
const { mode, inputs, outputs, templates, stages } = model.placed.open().plan;
console.log(JSON.stringify({ mode, inputs, outputs, templates, stages }));`;
    writeFileSync(join(folder, 'show.mts'), script);
    const { out, err } = await tsx(folder, 'show.mts');
    const plan = JSON.parse(readFileSync(join(folder, 'plan', 'plan.json'), 'utf8'));
    const { mode, inputs, outputs, templates, stages } = plan;
    expect(err).toBe('');
    expect(JSON.parse(out)).toEqual({ mode, inputs, outputs, templates, stages });
  });

  test('what a user can do wrong is said, and ends with its own exit code', async () => {
    const missing = await run('--input', 'none.npz');
    expect(missing).toMatchObject({ code: 1, out: '' });
    expect(missing.err).toContain('error[verify/input]: none.npz does not exist');
    writeNpz(join(folder, 'bad.npz'), new Map([['input_ids', fromNumbers('f32', [1, 2], [1, 2])]]));
    const bad = await run('--input', join(folder, 'bad.npz'), '--json');
    const { diagnostics } = JSON.parse(bad.out) as { diagnostics: { message: string }[] };
    expect(bad.code).toBe(1);
    // What follows from the ids is filled in; the ids themselves are wrong.
    expect(diagnostics.map(({ message }) => message)).toEqual(['input input_ids: expected i64[1,S], found f32[1,2]']);
    const usage = await run('--mode', 'fast');
    expect(usage).toMatchObject({ code: 2, out: '' });
    expect(usage.err).toContain('Allowed choices are reference, plain, placed');
  });
});

test('it passes the compiler as strictly as the sources do', () => {
  expect(typeCheck(folder)).toEqual({ files: 1, faults: '' });
});

test('the packed package is all that executor.ts needs', async () => {
  // Built apart: the checkout has no dist while it is worked on.
  const built = join(folder, 'package');
  mkdirSync(built);
  const { dependencies, files } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  execFileSync(bin('tsc'), ['-p', join(root, 'tsconfig.build.json'), '--outDir', join(built, 'dist')]);
  for (const name of readdirSync(root).filter((file) => /^(package\.json|schemas|targets|.*\.md|LICENSE)$/.test(file)))
    cpSync(join(root, name), join(built, name), { recursive: true });
  expect(files).toContain('dist');
  const tarball = execFileSync('npm', ['pack', '--silent', '--ignore-scripts'], {
    cwd: built,
    encoding: 'utf8',
  }).trim();

  const user = join(folder, 'installed');
  const installed = join(user, 'node_modules', 'wafc');
  mkdirSync(installed, { recursive: true });
  execFileSync('tar', ['xzf', join(built, tarball), '--strip-components=1', '-C', installed]);
  for (const name of Object.keys(dependencies)) {
    mkdirSync(join(user, 'node_modules', name, '..'), { recursive: true });
    symlinkSync(join(root, 'node_modules', name), join(user, 'node_modules', name));
  }
  cpSync(join(folder, 'plan'), join(user, 'plan'), { recursive: true });
  const { code, out, err } = await tsx(user, join('plan', 'executor.ts'), ['--compare', '--tokens', '2']);
  expect({ code, err }).toEqual({ code: 0, err: '' });
  expect(out).toContain('placed against reference: the same within the bound');
});
