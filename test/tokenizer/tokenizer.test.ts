/** Tokenizers: known ids, text that comes back, streams, the merges of run.c. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { byteTokenizer } from '../../src/tokenizer/bytes.ts';
import { huggingFaceTokenizer } from '../../src/tokenizer/hugging-face.ts';
import { llama2cTokenizer } from '../../src/tokenizer/llama2c.ts';
import { openTokenizer } from '../../src/tokenizer/open.ts';
import { drain, type Tokenizer } from '../../src/tokenizer/tokenizer.ts';
import { llama2cFile, mergeByScan, WORDS } from './support.ts';

const shared = join(import.meta.dirname, '../../../shared/models');
const tok512 = join(shared, 'models/tinyllamas-stories260K/data/tok512.bin');
const gpt2 = join(shared, 'models/onnxruntime-genai/test/models/hf-internal-testing/tiny-random-gpt2-fp32');

const comesBack = (tokenizer: Tokenizer, text: fc.Arbitrary<string>): void =>
  fc.assert(
    fc.property(text, (given) => {
      const ids = tokenizer.encode(given);
      expect(tokenizer.decode(ids)).toBe(given);
      expect(drain(tokenizer.stream(), ids)).toBe(given);
    }),
    { numRuns: 60 },
  );
const anyText = fc.string({ unit: 'grapheme', maxLength: 40 });
const ascii = fc.string({ unit: 'grapheme-ascii', maxLength: 40 });

describe('bytes', () => {
  test('ids are bytes', () => {
    expect(byteTokenizer(256).encode('aé')).toEqual([97, 195, 169]);
    expect(byteTokenizer(256).decode([97, 195, 169])).toBe('aé');
    expect(byteTokenizer(128).decode([97, 200])).toBe('a\ufffd');
  });
  test('text comes back', () => {
    comesBack(byteTokenizer(256), anyText);
    comesBack(byteTokenizer(128), ascii);
  });
  test('a character comes with its last byte', () => {
    const stream = byteTokenizer(256).stream();
    expect([226, 130, 172, 226].map((id) => stream.push(id))).toEqual(['', '', '€', '']);
    expect(stream.end()).toBe('\ufffd');
  });
  test('what the vocabulary cannot spell is said', () => {
    expect(() => byteTokenizer(128).encode('a é')).toThrow(
      'error[tokenizer/text]: byte 2 of the text is 195, and the vocabulary has the bytes 0 to 127',
    );
  });
});

describe('llama2.c', () => {
  const pieces = [' ', 'a', 'b', 'c', 'ab', 'bc', 'abc', ' ab', 'é'];
  const tokenizer = llama2cTokenizer(llama2cFile(pieces), 'test');
  const idOf = (piece: string): number => 259 + pieces.indexOf(piece);

  test('begin, a space, merges by score, bytes for what has no piece', () => {
    expect(tokenizer.encode('abc')).toEqual([1, idOf(' '), idOf('abc')]);
    expect(tokenizer.encode('é€')).toEqual([1, idOf(' '), idOf('é'), 226 + 3, 130 + 3, 172 + 3]);
    expect(tokenizer.encode('')).toEqual([1]);
    expect(tokenizer.decode([1, idOf(' ab'), 2, 9999, 258 + 1])).toBe('ab\ufffd ');
  });
  test('text comes back', () =>
    comesBack(tokenizer, fc.oneof(anyText, fc.string({ unit: fc.constantFrom('a', 'b', 'c') }))));

  test('the queue merges as the scan of run.c does', () => {
    const word = fc.string({ unit: fc.constantFrom('a', 'b', ' '), minLength: 2, maxLength: 4 });
    const vocabulary = fc.array(fc.tuple(word, fc.integer({ min: -3, max: 3 })), { maxLength: 12 });
    const text = fc.string({ unit: fc.constantFrom('a', 'b', ' '), minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(vocabulary, text, (words, given) => {
        const all = [...['a', 'b', ' '].map((piece) => [piece, 0] as const), ...words];
        const made = llama2cTokenizer(llama2cFile(all), 'test');
        const found = made.encode(given).slice(1);
        expect(found.map((id) => all[id - 259][0])).toEqual(mergeByScan(all, given));
      }),
    );
  });
});

describe('tokenizer.json', () => {
  const tokenizer = huggingFaceTokenizer(
    { tokenizer: WORDS, tokenizerConfig: { bos_token: '<s>', eos_token: { content: '</s>' } } },
    'words.json',
  );
  test('ids, and what begins and ends', () => {
    expect(tokenizer.encode('ab aé')).toEqual([6, 5, 3, 8, 9]);
    expect(tokenizer.decode([1, 6, 7, 8, 9, 2])).toBe('ab abé');
    expect(tokenizer.decode([6, 77, 6])).toBe('ab\ufffdab');
    expect(tokenizer.decode([])).toBe('');
    expect([tokenizer.size, tokenizer.begin, tokenizer.ends]).toEqual([10, 1, [2]]);
  });
  test('generation_config.json says what ends', () => {
    const given = huggingFaceTokenizer({ tokenizer: WORDS, generationConfig: { eos_token_id: [2, 3] } }, 'words.json');
    expect([given.begin, given.ends]).toEqual([null, [2, 3]]);
  });
  test('a character comes with its last piece; broken ones do not hold the text for ever', () => {
    const stream = tokenizer.stream();
    expect([6, 8, 9, 5].map((id) => stream.push(id))).toEqual(['ab', '', 'é', ' ']);
    const broken = tokenizer.stream();
    expect(Array.from({ length: 8 }, () => broken.push(8)).join('').length).toBeGreaterThan(0);
  });
  test('text of its pieces comes back', () =>
    comesBack(tokenizer, fc.string({ unit: fc.constantFrom('a', 'b', ' ', 'é'), minLength: 1 })));
});

describe('opening', () => {
  test('bytes are as many as the vocabulary', () => {
    expect(openTokenizer('bytes').size).toBe(256);
    expect(openTokenizer('bytes', 128).size).toBe(128);
    expect(openTokenizer('bytes', 50_000).size).toBe(256);
  });
  test('a file is what its first byte says; a folder has a tokenizer.json', () => {
    const folder = mkdtempSync(join(tmpdir(), 'wafc-tokenizer-'));
    try {
      writeFileSync(join(folder, 'any.name'), llama2cFile([' ']));
      writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(WORDS));
      writeFileSync(join(folder, 'tokenizer_config.json'), JSON.stringify({ eos_token: '</s>' }));
      expect(openTokenizer(join(folder, 'any.name')).kind).toBe('llama2.c');
      expect(openTokenizer(folder)).toMatchObject({ kind: 'tokenizer.json', ends: [2] });
      expect(() => openTokenizer(join(folder, 'none'))).toThrow('does not exist or is no file');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

const present = existsSync(tok512) && existsSync(gpt2);
describe.skipIf(!present)(`published tokenizers${present ? '' : ': NOT RUN, no ../shared/models'}`, () => {
  test('tok512.bin gives the ids of run.c', () => {
    const tokenizer = openTokenizer(tok512);
    // What the model was trained on: the ids it gives itself are those of its words.
    expect(tokenizer.encode('Once upon a time, there was a little girl')).toEqual([
      1, 403, 407, 261, 378, 432, 383, 286, 261, 376, 298, 315, 421,
    ]);
    const { stories260K_bos: golden } = JSON.parse(readFileSync(join(shared, 'greedy_generation.json'), 'utf8'));
    expect(`\n<s>\n${tokenizer.decode(golden.greedy)}`.startsWith(golden.text.slice(0, 300))).toBe(true);
  });
  test('the tokenizer.json of GPT-2', () => {
    const tokenizer = openTokenizer(gpt2);
    expect(tokenizer.encode('Hello world')).toEqual([15496, 995]);
    comesBack(
      tokenizer,
      anyText.filter((text) => text !== ''),
    );
  });
});
