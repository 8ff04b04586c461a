/**
 * Tokenizers in Hugging Face's tokenizer.json, through @huggingface/tokenizers. What begins and ends a sequence is in the files
 * beside it: tokenizer_config.json, generation_config.json. Its regular expressions are run as they are given.
 */
import { Tokenizer as Library } from '@huggingface/tokenizers';
import { fail } from '../diag/diagnostic.ts';
import type { TextStream, Tokenizer } from './tokenizer.ts';

/** Parsed files; those beside tokenizer.json may be missing. */
export interface HuggingFaceFiles {
  readonly tokenizer: unknown;
  readonly tokenizerConfig?: unknown;
  readonly generationConfig?: unknown;
}

/** A character has at most 4 bytes: text that more ids than this did not finish will not become one. */
const MAX_HELD = 4;
const REPLACEMENT = '\ufffd';

/** @throws Diagnosed `tokenizer/format`, with the library's own reason. */
export function huggingFaceTokenizer(files: HuggingFaceFiles, label: string): Tokenizer {
  const refuse = (reason: string): never =>
    fail({ code: 'tokenizer/format', message: `${label} is no tokenizer that wafc reads: ${reason}` });
  /** The library throws plain errors at what it cannot use. */
  const asked = <T>(question: () => T): T => {
    try {
      return question();
    } catch (error) {
      return refuse(error instanceof Error ? error.message : String(error));
    }
  };
  const library = asked(() => new Library(objectOr(files.tokenizer), objectOr(files.tokenizerConfig)));
  let size = 0;
  for (const id of asked(() => library.get_vocab(true)).values()) {
    if (!Number.isSafeInteger(id) || id < 0) refuse(`an id of its vocabulary is ${id}`);
    size = Math.max(size, id + 1);
  }
  const decode = (ids: readonly number[]): string => {
    let text = '';
    // The library leaves out ids it does not know.
    for (const run of runsOf(ids, (id) => library.id_to_token(id) !== undefined)) {
      text += run.known
        ? asked(() => library.decode(run.ids, { skip_special_tokens: true, clean_up_tokenization_spaces: false }))
        : REPLACEMENT.repeat(run.ids.length);
    }
    return text;
  };
  return {
    kind: 'tokenizer.json',
    size,
    begin: idOf(library, field(files.tokenizerConfig, 'bos_token')),
    ends: endsOf(library, files),
    encode(text) {
      const ids: readonly unknown[] = asked(() => library.encode(text).ids);
      return ids.map((id) =>
        typeof id === 'number' && Number.isSafeInteger(id)
          ? id
          : fail({
              code: 'tokenizer/text',
              message: `${label}: a piece of the text is not in the vocabulary, which has no token for unknown pieces`,
            }),
      );
    },
    decode,
    stream: () => windowStream(decode),
  };
}

const objectOr = (value: unknown): object => (typeof value === 'object' && value !== null ? value : {});
const field = (value: unknown, name: string): unknown =>
  typeof value === 'object' && value !== null ? Object.entries(value).find(([key]) => key === name)?.[1] : undefined;

/** A token is written as its text, or as an object with its text. */
function idOf(library: Library, token: unknown): number | null {
  const text = typeof token === 'string' ? token : field(token, 'content');
  return typeof text === 'string' ? (library.token_to_id(text) ?? null) : null;
}

function endsOf(library: Library, { tokenizerConfig, generationConfig }: HuggingFaceFiles): readonly number[] {
  const given = [field(generationConfig, 'eos_token_id')].flat().filter((id) => typeof id === 'number');
  if (given.length > 0) return given;
  const end = idOf(library, field(tokenizerConfig, 'eos_token'));
  return end === null ? [] : [end];
}

/** Neighbours that are alike, together. */
function runsOf(ids: readonly number[], isKnown: (id: number) => boolean): { known: boolean; ids: number[] }[] {
  const runs: { known: boolean; ids: number[] }[] = [];
  for (const id of ids) {
    const known = isKnown(id);
    const last = runs.at(-1);
    if (last?.known === known) last.ids.push(id);
    else runs.push({ known, ids: [id] });
  }
  return runs;
}

/**
 * A stream over a decoder of whole lists, which may join or strip at the seams: the last pieces shown are decoded again with the
 * new ones, and what they grow by is new. The way of Hugging Face's own text-generation-inference.
 */
function windowStream(decode: (ids: readonly number[]) => string): TextStream {
  let shown: number[] = [];
  let held: number[] = [];
  const grow = (): string => {
    const text = decode([...shown, ...held]).slice(decode(shown).length);
    shown = held;
    held = [];
    return text;
  };
  return {
    push(id) {
      held.push(id);
      const unfinished = decode([...shown, ...held]).endsWith(REPLACEMENT);
      return unfinished && held.length <= MAX_HELD ? '' : grow();
    },
    end: () => (held.length === 0 ? '' : grow()),
  };
}
