/** The quick examples; those that run a plan core by core are in examples.slow.test.ts. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { examples, runExample } from './run.ts';

test('02: what is short adds up, and a remedy is named', async () => {
  const { code, out, err } = await runExample('02-why-it-does-not-fit.ts');
  expect({ code, err }).toEqual({ code: 0, err: '' });
  expect(out).toMatch(/^exit code 1\nfit\/sram: /);
  const [need, have, short] = /need (\d+) bytes, have (\d+), short (\d+)/.exec(out)?.slice(1).map(Number) ?? [];
  expect(need - have).toBe(short);
  const terms = [...out.matchAll(/^ {4}\S.* (\d+)$/gm)].map(([, n]) => Number(n));
  expect(terms.reduce((a, b) => a + b, 0)).toBe(need);
  expect(out).toContain('fits with --');
});

test('03: a target file is used, an unknown name is explained', async () => {
  const { code, out, err } = await runExample('03-own-target.ts');
  expect({ code, err }).toEqual({ code: 0, err: '' });
  expect(out).toContain('on my-mesh: fits');
  expect(out).toContain('1,144 usable');
  expect(out).toContain("no target 'mesh-12x12'");
});

test('05: f16 weights take less SRAM', async () => {
  const { code, out, err } = await runExample('05-own-pass.ts');
  expect({ code, err }).toEqual({ code: 0, err: '' });
  const [before, after] = [...out.matchAll(/: (\d+) bytes on the fullest core/g)].map(([, n]) => Number(n));
  expect(after).toBeLessThan(before);
});

test('examples stay short, and each one is in a test', () => {
  const files = readdirSync(examples).filter((f) => f.endsWith('.ts'));
  const tests = readdirSync(import.meta.dirname)
    .map((f) => readFileSync(join(import.meta.dirname, f), 'utf8'))
    .join('\n');
  const lengths = files.map((f) => ({ f, lines: readFileSync(join(examples, f), 'utf8').split('\n').length }));
  expect(lengths.filter(({ lines }) => lines >= 60)).toEqual([]);
  expect(files.filter((f) => !tests.includes(`'${f}'`))).toEqual([]);
});
