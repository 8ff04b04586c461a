/**
 * Byte sources that the text form can name: generated contents for tests (`normal(seed=7)`), and opaque ones,
 * which keep what the text said about a constant whose bytes are elsewhere.
 */
import { fail } from '../diag/diagnostic.ts';
import { normalStream, randomStream } from '../util/rng.ts';
import type { ByteSource } from './constant.ts';
import { encodeElements } from './literal.ts';
import { bytesFor, type DType } from './types.ts';

/** Contents that a short text stands for. */
export interface GeneratedSource extends ByteSource {
  /** As printed: `normal(seed=7)`. */
  readonly generator: string;
  /** Elements of `stored` that were generated. */
  readonly count: number;
  readonly stored: DType;
}
/** Bytes that are elsewhere: reading throws `wir/opaque`. */
export interface OpaqueSource extends ByteSource {
  readonly opaque: true;
  /** Hash of the contents of the constant, if the text gave one. */
  readonly hash: string | null;
}

export const isGenerated = (source: ByteSource): source is GeneratedSource => 'generator' in source;
export const isOpaque = (source: ByteSource): source is OpaqueSource => 'opaque' in source;

/** Names and default arguments of the generators; element i is a function of i and the arguments. */
export const GENERATORS: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  zeros: {},
  /** 0, 1, 2, .. */
  iota: {},
  fill: { value: 0 },
  normal: { seed: 0, std: 1 },
};

/** `args` must be names of the generator's defaults. Nothing is generated before the first read. */
export function generatedSource(
  name: string,
  args: Readonly<Record<string, number>>,
  stored: DType,
  count: number,
): GeneratedSource {
  const all = { ...GENERATORS[name], ...args };
  const shown = Object.entries(all).filter(([key, value]) => key === 'seed' || value !== GENERATORS[name][key]);
  const generator = shown.length === 0 ? name : `${name}(${shown.map(([k, v]) => `${k}=${v}`).join(', ')})`;
  let bytes: Uint8Array | undefined;
  return {
    label: generator,
    generator,
    count,
    stored,
    byteLength: bytesFor(stored, count),
    read(offset, into) {
      bytes ??= encodeElements(stored, count, elementsOf(name, all));
      if (offset + into.byteLength > bytes.byteLength) throw new RangeError(`${generator}: read past the end`);
      into.set(bytes.subarray(offset, offset + into.byteLength));
    },
  };
}

function elementsOf(name: string, args: Readonly<Record<string, number>>): (index: number) => number {
  switch (name) {
    case 'iota':
      return (i) => i;
    case 'fill':
      return () => args.value;
    case 'normal': {
      const next = normalStream(randomStream(args.seed, 'normal'));
      return () => args.std * next();
    }
    default:
      return () => 0;
  }
}

/** `byteLength` may still grow while a text is read. */
export function opaqueSource(label: string, byteLength: () => number, hash: string | null): OpaqueSource {
  return {
    label,
    get byteLength() {
      return byteLength();
    },
    opaque: true,
    hash,
    read() {
      fail({
        code: 'wir/opaque',
        message: `the contents of "${label}" are not in the text`,
        notes: ['compile from the .onnx file where values are needed'],
      });
    },
  };
}
