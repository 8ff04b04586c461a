/** Decoders whose logits are a function of the ids they hold: as cheap as a model can be, and no two prompts alike. */
import type { Decoder } from '../../src/generate/decoder.ts';
import { hash32 } from '../../src/util/rng.ts';

export interface Fake extends Decoder {
  /** Ids that were fed, taken-back ones included. */
  readonly fed: number;
}

/** `logitsOf` tells what follows a sequence. */
export function fakeDecoder(logitsOf: (ids: readonly number[]) => number[], context = 1000): Fake {
  let held: number[] = [];
  let fed = 0;
  return {
    context,
    get length() {
      return held.length;
    },
    get fed() {
      return fed;
    },
    async extend(ids) {
      const before = held;
      held = [...held, ...ids];
      fed += ids.length;
      if (held.length > context) throw new Error('fed beyond the context');
      const all = held;
      const rows = ids.map((_, i) => Float32Array.from(logitsOf(all.slice(0, before.length + i + 1))));
      return { width: rows[0].length, row: (i) => rows[i] };
    },
    rewind(length) {
      if (length > held.length) throw new Error('rewound forwards');
      held = held.slice(0, length);
    },
  };
}

/** Logits of `words` words that look random, and depend on the last three ids. */
export const hashed =
  (words: number, salt: string, sharpness = 4) =>
  (ids: readonly number[]): number[] =>
    Array.from({ length: words }, (_, word) => (hash32(`${salt}/${ids.slice(-3)}/${word}`) / 2 ** 32) * sharpness);
