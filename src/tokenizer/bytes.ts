/** Bytes as tokens: id = byte of the UTF-8 text. A vocabulary of 128 is ASCII. */
import { fail } from '../diag/diagnostic.ts';
import { byteStream, drain, type TextStream, type Tokenizer, UNKNOWN } from './tokenizer.ts';

/** The tokenizer of a vocabulary of `size` bytes (1 .. 256). No id begins or ends a sequence. */
export function byteTokenizer(size: number): Tokenizer {
  const stream = (): TextStream => byteStream((id) => (id >= 0 && id < size ? Uint8Array.of(id) : UNKNOWN));
  return {
    kind: 'bytes',
    size,
    begin: null,
    ends: [],
    encode(text) {
      const ids = [...new TextEncoder().encode(text)];
      const at = ids.findIndex((byte) => byte >= size);
      if (at >= 0)
        fail({
          code: 'tokenizer/text',
          message: `byte ${at} of the text is ${ids[at]}, and the vocabulary has the bytes 0 to ${size - 1}`,
          ...(size === 128 ? { notes: ['a vocabulary of 128 bytes spells ASCII only'] } : {}),
        });
      return ids;
    },
    decode: (ids) => drain(stream(), ids),
    stream,
  };
}
