/** What examples are like; they are run in examples.slow.test.ts. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { examples } from './run.ts';

test('examples stay short, and each one is in a test', () => {
  const files = readdirSync(examples).filter((f) => f.endsWith('.ts'));
  const tests = readdirSync(import.meta.dirname)
    .map((f) => readFileSync(join(import.meta.dirname, f), 'utf8'))
    .join('\n');
  const lengths = files.map((f) => ({ f, lines: readFileSync(join(examples, f), 'utf8').split('\n').length }));
  expect(lengths.filter(({ lines }) => lines >= 60)).toEqual([]);
  expect(files.filter((f) => !tests.includes(`'${f}'`))).toEqual([]);
});
