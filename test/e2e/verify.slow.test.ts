/** `wafc verify` on given inputs and texts, as a process. */
import { spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';
import type { VerifyResult } from '../../src/report/verify-result.ts';
import { readNpy } from '../../src/tensor/npy.ts';
import { temporaryFolder } from '../onnx/support.ts';
import { compiled, PICO } from './support.ts';

const root = resolve(import.meta.dirname, '../..');
const folder = temporaryFolder();

test('the golden prompt of pico: given as .npy, and predicted as a text', async () => {
  const plan = join(folder, 'plan');
  await compiled({ model: join(PICO, 'decoder_with_past.onnx'), target: 'mesh-8x8', context: 64, output: plan });
  const ids = readNpy(join(PICO, 'golden_input_ids.npy'));
  const text = join(folder, 'golden.txt');
  writeFileSync(text, Buffer.from(Uint8Array.from(ids.data)));
  const html = join(folder, 'verify.html');
  const given = ['--input', join(PICO, 'golden_input_ids.npy'), '--html', html];
  const predicted = ['--perplexity', text, '--tokenizer', 'bytes', '--window', String(ids.data.length - 1)];
  const { status, stdout } = spawnSync(
    process.execPath,
    ['--import', 'tsx', join(root, 'src/cli.ts'), 'verify', plan, ...given, ...predicted, '--json'],
    { cwd: root, encoding: 'utf8', maxBuffer: 2 ** 26 },
  );
  const { passed, checks, perplexity, outputs } = JSON.parse(stdout) as VerifyResult;
  expect({ status, passed, codes: checks.map(({ code }) => code) }).toEqual({
    status: 0,
    passed: true,
    codes: ['verify/filled'],
  });
  expect(outputs.find(({ output }) => output === 'logits')?.case).toContain('golden_input_ids.npy');
  expect(existsSync(html)).toBe(true);

  // By hand from the golden logits, which PyTorch made.
  const { data, shape } = readNpy(join(PICO, 'golden_logits.npy'));
  const width = shape.at(-1) ?? 0;
  let nll = 0;
  for (let i = 0; i + 1 < ids.data.length; i++) {
    const row = Array.from(data.subarray(i * width, (i + 1) * width));
    nll += Math.log(row.reduce((sum, v) => sum + Math.exp(v), 0)) - row[ids.data[i + 1]];
  }
  const expected = nll / (ids.data.length - 1);
  expect(perplexity?.reference.nll).toBeCloseTo(expected, 5);
  expect(perplexity?.placed.nll).toBeCloseTo(expected, 5);
  expect(perplexity?.placed.referenceNll).toBe(perplexity?.reference.nll);
});
