/** Which tokenizer a file holds: tokenizer.json by its first character, else the .bin of llama2.c. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fail } from '../diag/diagnostic.ts';
import { byteTokenizer } from './bytes.ts';
import { huggingFaceTokenizer } from './hugging-face.ts';
import { llama2cTokenizer } from './llama2c.ts';
import type { Tokenizer } from './tokenizer.ts';

/** The largest vocabularies published take some tens of MB. */
const MAX_BYTES = 256 * 2 ** 20;
const BYTES = 256;

/**
 * `bytes`, a file, or a folder with a tokenizer.json. `vocabulary` is the model's, when it is known: with up to 256 words, `bytes`
 * are as many.
 * @throws Diagnosed `tokenizer/missing`, `tokenizer/format`.
 */
export function openTokenizer(source: string, vocabulary?: number): Tokenizer {
  if (source === 'bytes') return byteTokenizer(Math.min(vocabulary ?? BYTES, BYTES));
  const path = existsSync(source) && statSync(source).isDirectory() ? join(source, 'tokenizer.json') : source;
  const bytes = read(path);
  if (bytes === undefined)
    fail({
      code: 'tokenizer/missing',
      message: `${path} does not exist or is no file`,
      notes: ['a tokenizer is a tokenizer.json, a tokenizer.bin of llama2.c, or the word bytes'],
    });
  if (!startsAsJson(bytes)) return llama2cTokenizer(bytes, path);
  const beside = (name: string): unknown => {
    const file = join(dirname(path), name);
    const found = read(file);
    return found === undefined ? undefined : parse(found, file);
  };
  return huggingFaceTokenizer(
    {
      tokenizer: parse(bytes, path),
      tokenizerConfig: beside('tokenizer_config.json'),
      generationConfig: beside('generation_config.json'),
    },
    path,
  );
}

function read(path: string): Uint8Array | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined || !stat.isFile()) return undefined;
  if (stat.size > MAX_BYTES)
    fail({
      code: 'tokenizer/format',
      message: `${path} has ${stat.size} bytes; tokenizers are smaller than ${MAX_BYTES}`,
    });
  return readFileSync(path);
}

const startsAsJson = (bytes: Uint8Array): boolean => /^\s*\{/.test(Buffer.from(bytes.subarray(0, 64)).toString());

function parse(bytes: Uint8Array, path: string): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString());
  } catch (error) {
    return fail({
      code: 'tokenizer/format',
      message: `${path} is not JSON: ${error instanceof Error ? error.message : String(error)}`,
    });
  }
}
