/** What a plan of shapes says of a weight is what compressing it leaves. */
import { expect, test } from 'vitest';
import { weightFrom } from '../../src/compress/constant.ts';
import { type Format, isRefusal, parseFormat } from '../../src/compress/format.ts';
import { unknownWeight } from '../../src/compress/unknown.ts';
import { type Algorithm, compressMatrix } from '../../src/compress/weights.ts';
import { codingOf } from '../../src/ir/coding.ts';
import { bytesSource, denseConstant } from '../../src/ir/constant.ts';
import { bitsPerWeight, formatName } from '../../src/ir/storage.ts';
import { normalStream, randomStream } from '../../src/util/rng.ts';

const WORDS =
  'int8 int8:tensor int4 int4:g20:asym int4:row:sym int3:g16:signed int2:g16 fp8 fp8:e5m2:g8 mxfp4 mxfp8 mxint8 nvfp4'.split(
    ' ',
  );
const ALGORITHMS: readonly Algorithm[] = ['rtn', 'hqq'];

test.each(WORDS.flatMap((word) => ALGORITHMS.map((algorithm) => [word, algorithm] as const)))(
  '%s %s',
  (word, algorithm) => {
    const parsed = parseFormat(word);
    if (isRefusal(parsed) || parsed.kind === 'keep') throw new Error(word);
    const format: Exclude<Format, { kind: 'keep' }> = parsed;
    const values = Float32Array.from({ length: 6 * 44 }, normalStream(randomStream(1, word)));
    const found = compressMatrix({ rows: 6, columns: 44, values }, format, algorithm);
    if ('dense' in found) throw new Error(word);
    const made = weightFrom('w', found.quantized, 'f32');
    const dense = denseConstant('f32', [44, 6], bytesSource('w', new Uint8Array(values.buffer)));
    const unread = unknownWeight('w', dense, format, algorithm);
    expect([unread.shape, unread.dtype, codingOf(unread), formatName(unread), bitsPerWeight(unread)]).toEqual([
      made.shape,
      made.dtype,
      codingOf(made),
      formatName(made),
      bitsPerWeight(made),
    ]);
    expect(() => unread.source.read(0, new Uint8Array(1))).toThrow(/not in the text/);
  },
);
