/** Broken tokenizer files end in a diagnostic, never in a crash. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { Diagnosed } from '../../src/diag/diagnostic.ts';
import { huggingFaceTokenizer } from '../../src/tokenizer/hugging-face.ts';
import { llama2cTokenizer } from '../../src/tokenizer/llama2c.ts';
import { openTokenizer } from '../../src/tokenizer/open.ts';
import { llama2cFile, WORDS } from './support.ts';

const folder = mkdtempSync(join(tmpdir(), 'wafc-tokenizer-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** What `make` throws is a diagnostic; what it gives can be used. */
function survives(make: () => { encode(text: string): number[]; decode(ids: readonly number[]): string }): void {
  try {
    const tokenizer = make();
    tokenizer.decode(tokenizer.encode('ab é'));
  } catch (error) {
    if (!(error instanceof Diagnosed)) throw error;
  }
}

describe('llama2.c', () => {
  const whole = llama2cFile([' ', 'a', 'ab']);
  test('every cut and every changed byte', () => {
    for (let length = 0; length < 200; length++) survives(() => llama2cTokenizer(whole.subarray(0, length), 'cut'));
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.nat(255), (at, byte) => {
        const changed = Uint8Array.from(whole);
        changed[at] = byte;
        survives(() => llama2cTokenizer(changed, 'changed'));
      }),
    );
  });
  test.each<[string, Uint8Array, string]>([
    ['nothing', new Uint8Array(2), 'expected a llama2.c tokenizer, found 2 bytes'],
    ['few pieces', whole.subarray(0, 4), 'expected at least 259 pieces (three special ones and 256 bytes), found 0'],
    ['a cut', whole.subarray(0, whole.length - 1), 'ends inside piece 261'],
    ['no length', Uint8Array.of(0, 0, 0, 0), 'the length of its longest piece, found 0'],
    ['no score', llama2cFile([['a', Number.NaN]]), 'piece 259: expected a finite score, found NaN'],
  ])('%s', (_, bytes, message) => {
    expect(() => llama2cTokenizer(bytes, 'file')).toThrow(message);
  });
});

describe('tokenizer.json', () => {
  test('any JSON', () => {
    fc.assert(fc.property(fc.jsonValue(), (tokenizer) => survives(() => huggingFaceTokenizer({ tokenizer }, 'any'))));
  });
  test('one field replaced by anything', () => {
    const fields = fc.constantFrom('added_tokens', 'normalizer', 'pre_tokenizer', 'post_processor', 'decoder', 'model');
    fc.assert(
      fc.property(fields, fc.jsonValue(), (name, value) =>
        survives(() => huggingFaceTokenizer({ tokenizer: { ...WORDS, [name]: value } }, 'changed')),
      ),
    );
    const inner = fc.constantFrom('vocab', 'merges', 'type', 'unk_token');
    fc.assert(
      fc.property(inner, fc.jsonValue(), (name, value) =>
        survives(() =>
          huggingFaceTokenizer({ tokenizer: { ...WORDS, model: { ...WORDS.model, [name]: value } } }, 'x'),
        ),
      ),
    );
  });
  test('the reason of the library is given', () => {
    const path = join(folder, 'tokenizer.json');
    writeFileSync(path, '{"model": {}}');
    expect(() => openTokenizer(path)).toThrow(
      `error[tokenizer/format]: ${path} is no tokenizer that wafc reads: Tokenizer must contain a "decoder" property`,
    );
    writeFileSync(path, '{"model": ');
    expect(() => openTokenizer(path)).toThrow(`${path} is not JSON`);
  });
});
