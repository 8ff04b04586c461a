/** What a tokenizer is: text to ids and back, and back piece by piece while a model generates. */

export interface Tokenizer {
  readonly kind: 'bytes' | 'llama2.c' | 'tokenizer.json';
  /** Ids are below this. */
  readonly size: number;
  /** Starts a sequence; null where there is none. */
  readonly begin: number | null;
  /** Each of them ends a sequence. */
  readonly ends: readonly number[];
  /**
   * Ids of a text, with what the tokenizer puts before it (and after it).
   * @throws Diagnosed `tokenizer/text` when the vocabulary cannot spell the text
   */
  encode(text: string): number[];
  /** Text of ids. Ids that begin or end a sequence have none; an id that is not in the vocabulary is U+FFFD. */
  decode(ids: readonly number[]): string;
  /** A new stream. Its texts one after another are `decode` of all ids. */
  stream(): TextStream;
}

/** Text as it becomes known. A character whose bytes are spread over several ids comes with the last of them. */
export interface TextStream {
  push(id: number): string;
  /** What was held back for bytes that did not come. */
  end(): string;
}

/** A stream over bytes: `bytesOf` gives those of an id, in the order of ids. */
export function byteStream(bytesOf: (id: number) => Uint8Array): TextStream {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  return {
    push: (id) => decoder.decode(bytesOf(id), { stream: true }),
    end: () => decoder.decode(),
  };
}

/** All of a stream at once. */
export function drain(stream: TextStream, ids: readonly number[]): string {
  let text = '';
  for (const id of ids) text += stream.push(id);
  return text + stream.end();
}

/** U+FFFD in UTF-8: stands for an id outside the vocabulary. */
export const UNKNOWN: Uint8Array = Uint8Array.of(0xef, 0xbf, 0xbd);
