/**
 * Token windows to calibrate on or to evaluate with: from a text, a list of JSON lines, an .npz of ids. A window of n + 1 ids is n
 * predictions; windows do not overlap, and what does not fill one is left out (compression.md section 5.2).
 */
import { readFileSync, statSync } from 'node:fs';
import { fail } from '../diag/diagnostic.ts';
import { readNpz } from '../tensor/npz.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';

export interface Corpus {
  /** Where it is from, for protocols. */
  readonly source: string;
  /** All ids, one after another. */
  readonly ids: Int32Array;
}

/** Texts are joined by their own beginnings: a document ends where this stands. */
const SEPARATOR = '<|endoftext|>';
const MOST_BYTES = 256 * 2 ** 20;

/** Documents of a text one after another. @throws Diagnosed `tokenizer/text` when the vocabulary cannot spell it. */
export const textCorpus = (text: string, tokenizer: Tokenizer, source: string): Corpus => ({
  source,
  ids: Int32Array.from(documentsOf(text).flatMap((part) => tokenizer.encode(part))),
});

/**
 * Reads a corpus: `.npz` of ids, `.jsonl` with a `text` or `ids` a line, else a text.
 * @throws Diagnosed `eval/corpus`; `tokenizer/text`
 */
export function readCorpus(path: string, tokenizer: Tokenizer | undefined): Corpus {
  const refuse: Refuse = (message, note) =>
    fail({ code: 'eval/corpus', message: `${path}: ${message}`, ...(note === undefined ? {} : { notes: [note] }) });
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined || !stat.isFile()) refuse('does not exist or is no file');
  else if (stat.size > MOST_BYTES) refuse(`has ${stat.size} bytes; at most ${MOST_BYTES} are read`);
  const isLines = path.endsWith('.jsonl');
  const corpus = path.endsWith('.npz')
    ? { source: path, ids: idsOfArchive(path, refuse) }
    : isLines
      ? { source: path, ids: Int32Array.from(linesOf(readFileSync(path, 'utf8'), tokenizer, refuse).flat()) }
      : tokenizer === undefined
        ? refuse('is a text, and there is no tokenizer', 'give one with --tokenizer')
        : textCorpus(readFileSync(path, 'utf8'), tokenizer, path);
  if (corpus.ids.length < 2) refuse('holds fewer than two tokens');
  return corpus;
}

/** Documents of a text; one when it has no separators. */
export const documentsOf = (text: string): string[] =>
  text
    .split(SEPARATOR)
    .map((part) => (text.includes(SEPARATOR) ? part.trim() : part))
    .filter((part) => part !== '');

type Refuse = (message: string, note?: string) => never;

function linesOf(text: string, tokenizer: Tokenizer | undefined, refuse: Refuse): number[][] {
  const spell = (line: string): number[] =>
    tokenizer?.encode(line) ?? refuse('holds texts, and there is no tokenizer', 'give one with --tokenizer');
  return text.split('\n').flatMap((line, i) => {
    if (line.trim() === '') return [];
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      refuse(`line ${i + 1} is not JSON`);
    }
    if (typeof value === 'string') return [spell(value)];
    if (typeof value === 'object' && value !== null) {
      if ('text' in value && typeof value.text === 'string') return [spell(value.text)];
      if ('ids' in value && Array.isArray(value.ids) && value.ids.every((id) => Number.isInteger(id)))
        return [value.ids];
    }
    return refuse(`line ${i + 1} has neither a text nor ids`);
  });
}

function idsOfArchive(path: string, refuse: Refuse): Int32Array {
  const arrays = readNpz(path);
  const found = arrays.get('ids') ?? arrays.get('input_ids') ?? [...arrays.values()][0];
  if (found === undefined || found.data.length < 2) return refuse('holds no ids');
  if (!found.data.every((id) => Number.isInteger(id) && id >= 0)) refuse('holds numbers that are no ids');
  return Int32Array.from(found.data);
}

/** Non-overlapping windows of `length + 1` ids, at most `count`; shorter ones when the corpus has fewer ids than that. */
export function windowsOf({ ids }: Corpus, length: number, count: number): Int32Array[] {
  const size = Math.min(length + 1, ids.length);
  const windows: Int32Array[] = [];
  for (let at = 0; at + size <= ids.length && windows.length < count; at += size)
    windows.push(ids.subarray(at, at + size));
  return windows;
}
