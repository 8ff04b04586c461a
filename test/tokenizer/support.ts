/** Tokenizers made for tests. */

/** The bytes of a tokenizer.bin: three special pieces, 256 bytes, then `pieces` with falling scores. */
export function llama2cFile(pieces: readonly (string | readonly [text: string, score: number])[]): Uint8Array {
  const special = ['<unk>', '\n<s>\n', '\n</s>\n'];
  const bytes = Array.from({ length: 256 }, (_, i) => `<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`);
  const all = [...special, ...bytes].map((text) => [text, 0] as const);
  const own = pieces.map((piece, i) => (typeof piece === 'string' ? ([piece, -i] as const) : piece));
  const rows = [...all, ...own].map(([text, score]) => {
    const spelled = Buffer.from(text);
    const row = Buffer.alloc(8 + spelled.length);
    row.writeFloatLE(score, 0);
    row.writeInt32LE(spelled.length, 4);
    spelled.copy(row, 8);
    return row;
  });
  const head = Buffer.alloc(4);
  head.writeInt32LE(Math.max(...rows.map((row) => row.length - 8)));
  return Buffer.concat([head, ...rows]);
}

/** run.c's own loop, which scans the whole text for each merge: the oracle of the queue. */
export function mergeByScan(pieces: readonly (readonly [text: string, score: number])[], text: string): string[] {
  const scores = new Map<string, number>();
  for (const [piece, score] of pieces) if (!scores.has(piece)) scores.set(piece, score);
  const tokens = [...` ${text}`];
  for (;;) {
    let [best, at] = [Number.NEGATIVE_INFINITY, -1];
    for (let i = 0; i + 1 < tokens.length; i++) {
      const score = scores.get(tokens[i] + tokens[i + 1]);
      if (score !== undefined && score > best) [best, at] = [score, i];
    }
    if (at < 0) return tokens;
    tokens.splice(at, 2, tokens[at] + tokens[at + 1]);
  }
}

/** A tokenizer.json of whole words, and of single letters for what is no word. */
export const WORDS = {
  version: '1.0',
  truncation: null,
  padding: null,
  added_tokens: [
    { id: 0, content: '<unk>', special: true },
    { id: 1, content: '<s>', special: true },
    { id: 2, content: '</s>', special: true },
  ],
  normalizer: null,
  pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true },
  post_processor: null,
  decoder: { type: 'ByteLevel' },
  model: {
    type: 'BPE',
    unk_token: null,
    vocab: Object.fromEntries(['<unk>', '<s>', '</s>', 'a', 'b', 'Ġ', 'ab', 'Ġab', 'Ã', '©'].map((t, i) => [t, i])),
    merges: ['a b', 'Ġ ab'],
  },
};
