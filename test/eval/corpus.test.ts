/** Corpora of every form, and what is refused of them. */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Diagnosed } from '../../src/diag/diagnostic.ts';
import { readCorpus, windowsOf } from '../../src/eval/corpus.ts';
import { writeNpz } from '../../src/tensor/npz.ts';
import { tensor } from '../../src/tensor/tensor.ts';
import { byteTokenizer } from '../../src/tokenizer/bytes.ts';

const folder = mkdtempSync(join(tmpdir(), 'wafc-corpus-'));
const file = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};
const bytes = byteTokenizer(256);

describe('readCorpus', () => {
  test('a text is one document; separators make it several', () => {
    expect([...readCorpus(file('a.txt', 'ab c'), bytes).ids]).toEqual([97, 98, 32, 99]);
    expect([...readCorpus(file('b.txt', 'a\n<|endoftext|>\n\nb '), bytes).ids]).toEqual([97, 98]);
  });
  test('lines of JSON hold texts, objects with a text, or ids', () => {
    const path = file('c.jsonl', '{"text":"ab"}\n\n{"ids":[7,8]}\n"c"\n');
    expect([...readCorpus(path, bytes).ids]).toEqual([97, 98, 7, 8, 99]);
  });
  test('an .npz holds ids, of any shape', () => {
    const path = join(folder, 'd.npz');
    writeNpz(path, new Map([['input_ids', tensor('i64', [2, 2], Float64Array.of(5, 6, 7, 8))]]));
    expect([...readCorpus(path, undefined).ids]).toEqual([5, 6, 7, 8]);
  });

  const archive = join(folder, 'e.npz');
  writeNpz(archive, new Map([['ids', tensor('f32', [2], Float32Array.of(0.5, 1))]]));
  test.each([
    [file('f.txt', 'text'), undefined, 'is a text, and there is no tokenizer'],
    [file('g.txt', 'x'), bytes, 'holds fewer than two tokens'],
    [file('h.jsonl', '{"text":"a"}\n{'), bytes, 'line 2 is not JSON'],
    [file('i.jsonl', '{"words":1}'), bytes, 'line 1 has neither a text nor ids'],
    [join(folder, 'none.txt'), bytes, 'does not exist or is no file'],
    [archive, bytes, 'holds numbers that are no ids'],
  ])('%s is refused', (path, tokenizer, message) => {
    try {
      readCorpus(path, tokenizer);
    } catch (error) {
      if (!(error instanceof Diagnosed)) throw error;
      expect(error.diagnostics[0]).toMatchObject({ code: 'eval/corpus', message: `${path}: ${message}` });
      return;
    }
    throw new Error('not refused');
  });
});

test('windows do not overlap, and leave out what does not fill one', () => {
  const corpus = { source: '', ids: Int32Array.from({ length: 10 }, (_, i) => i) };
  expect(windowsOf(corpus, 3, 9).map((w) => [...w])).toEqual([
    [0, 1, 2, 3],
    [4, 5, 6, 7],
  ]);
  expect(windowsOf(corpus, 3, 1)).toHaveLength(1);
  expect(windowsOf(corpus, 100, 9).map((w) => w.length)).toEqual([10]);
});
