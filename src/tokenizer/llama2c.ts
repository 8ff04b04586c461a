/**
 * Tokenizers of llama2.c (https://github.com/karpathy/llama2.c), as `tokenizer.py` exports them: int32 longest piece, then for each
 * id float32 score, int32 length, bytes; little-endian. Encoding is the greedy merge of its run.c: BOS, a space, one id a character
 * (or one a byte, id = byte + 3), then the adjacent pair whose join has the highest score becomes one, the first such pair on a tie.
 */
import FlatQueue from 'flatqueue';
import { fail } from '../diag/diagnostic.ts';
import { byteStream, drain, type TextStream, type Tokenizer, UNKNOWN } from './tokenizer.ts';

const BEGIN = 1;
const END = 2;
/** Ids 3 .. 258 stand for the bytes that no piece spells. */
const FIRST_BYTE = 3;
const LEAST_SIZE = FIRST_BYTE + 256;
/** Pieces are words at most; more is not a tokenizer. */
const MAX_PIECE_BYTES = 1 << 16;

interface Pieces {
  readonly bytes: readonly Uint8Array[];
  readonly scores: Float32Array;
}

/** Reads the bytes of a tokenizer.bin. @throws Diagnosed `tokenizer/format`. */
export function llama2cTokenizer(file: Uint8Array, label: string): Tokenizer {
  const { bytes, scores } = readPieces(file, label);
  const ids = new Map<string, number>();
  // Of equal pieces the first counts.
  for (const [id, piece] of bytes.entries()) if (!ids.has(keyOf(piece))) ids.set(keyOf(piece), id);
  const merge = merger(bytes, scores, ids);
  const spell = speller(ids);
  const stream = (): TextStream => {
    let previous = -1;
    return byteStream((id) => {
      const piece = textOf(bytes, id);
      const stripped = previous === BEGIN && piece[0] === 0x20 ? piece.subarray(1) : piece;
      previous = id;
      return stripped;
    });
  };
  return {
    kind: 'llama2.c',
    size: bytes.length,
    begin: BEGIN,
    // run.c stops at BOS: stories follow each other without an EOS.
    ends: [BEGIN, END],
    encode(text) {
      if (text === '') return [BEGIN];
      const start: number[] = [];
      for (const character of ` ${text}`) start.push(...spell(character));
      return [BEGIN].concat(merge(start));
    },
    decode: (all) => drain(stream(), all),
    stream,
  };
}

/** One UTF-16 code unit a byte: a key, never shown. */
const keyOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

function readPieces(file: Uint8Array, label: string): Pieces {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const refuse = (message: string): never => fail({ code: 'tokenizer/format', message: `${label}: ${message}` });
  if (file.length < 4) refuse(`expected a llama2.c tokenizer, found ${file.length} bytes`);
  const longest = view.getInt32(0, true);
  if (longest < 1 || longest > MAX_PIECE_BYTES)
    refuse(`expected a llama2.c tokenizer, whose first number is the length of its longest piece, found ${longest}`);
  const bytes: Uint8Array[] = [];
  const scores: number[] = [];
  for (let at = 4; at < file.length; ) {
    if (at + 8 > file.length) refuse(`ends inside piece ${bytes.length}`);
    const [score, length] = [view.getFloat32(at, true), view.getInt32(at + 4, true)];
    if (!Number.isFinite(score)) refuse(`piece ${bytes.length}: expected a finite score, found ${score}`);
    if (length < 0 || length > longest)
      refuse(`piece ${bytes.length}: expected 0 to ${longest} bytes, found ${length}`);
    if (at + 8 + length > file.length) refuse(`ends inside piece ${bytes.length}`);
    bytes.push(file.subarray(at + 8, at + 8 + length));
    scores.push(score);
    at += 8 + length;
  }
  if (bytes.length < LEAST_SIZE)
    refuse(`expected at least ${LEAST_SIZE} pieces (three special ones and 256 bytes), found ${bytes.length}`);
  return { bytes, scores: Float32Array.from(scores) };
}

/** What an id prints: nothing for BOS and EOS, one byte for `<0x41>`. */
function textOf(bytes: readonly Uint8Array[], id: number): Uint8Array {
  if (id === BEGIN || id === END) return new Uint8Array(0);
  if (id < 0 || id >= bytes.length) return UNKNOWN;
  const code = /^<0x([0-9A-F]{2})>$/.exec(keyOf(bytes[id]));
  return code === null ? bytes[id] : Uint8Array.of(Number.parseInt(code[1], 16));
}

/** From a character to its id, or to the ids of its bytes. */
function speller(ids: ReadonlyMap<string, number>): (character: string) => readonly number[] {
  const encoder = new TextEncoder();
  const known = new Map<string, readonly number[]>();
  return (character) => {
    const found = known.get(character);
    if (found !== undefined) return found;
    const bytes = encoder.encode(character);
    const id = ids.get(keyOf(bytes));
    const spelled = id === undefined ? Array.from(bytes, (byte) => byte + FIRST_BYTE) : [id];
    known.set(character, spelled);
    return spelled;
  };
}

/**
 * Merges pairs until none is a piece. A queue of candidates instead of run.c's scan of the whole text for each merge:
 * the same merges in the same order, in n log n.
 */
function merger(
  bytes: readonly Uint8Array[],
  scores: Float32Array,
  ids: ReadonlyMap<string, number>,
): (ids: readonly number[]) => number[] {
  const rankOf = ranks(scores);
  const joins = new Map<number, number>();
  const joined = (a: number, b: number): number => {
    const pair = a * bytes.length + b;
    let id = joins.get(pair);
    if (id === undefined) {
      id = ids.get(keyOf(bytes[a]) + keyOf(bytes[b])) ?? -1;
      joins.set(pair, id);
    }
    return id;
  };
  return (start) => {
    const tokens = Int32Array.from(start);
    const next = Int32Array.from(start, (_, i) => (i + 1 < start.length ? i + 1 : -1));
    const previous = Int32Array.from(start, (_, i) => i - 1);
    // By left side: the place in line of the pair that begins there now; -1 where it is no piece.
    const place = new Float64Array(start.length).fill(-1);
    const queue = new FlatQueue<number>();
    const offer = (left: number): void => {
      const id = next[left] < 0 ? -1 : joined(tokens[left], tokens[next[left]]);
      // Best score first, then from the left.
      place[left] = id < 0 ? -1 : rankOf[id] * start.length + left;
      if (id >= 0) queue.push(left, place[left]);
    };
    for (const left of tokens.keys()) offer(left);
    for (let at = queue.peekValue(); at !== undefined; at = queue.peekValue()) {
      const left = queue.pop();
      // Another place: one side was merged since the pair was offered.
      if (left === undefined || place[left] !== at) continue;
      const right = next[left];
      tokens[left] = joined(tokens[left], tokens[right]);
      tokens[right] = -1;
      place[right] = -1;
      next[left] = next[right];
      if (next[left] >= 0) previous[next[left]] = left;
      if (previous[left] >= 0) offer(previous[left]);
      offer(left);
    }
    return Array.from(tokens).filter((id) => id >= 0);
  };
}

/** By id: how many different scores are higher. */
function ranks(scores: Float32Array): Int32Array {
  const order = new Map([...new Set(scores)].sort((a, b) => b - a).map((score, rank) => [score, rank]));
  return Int32Array.from(scores, (score) => order.get(score) ?? 0);
}
