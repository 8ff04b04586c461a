import { readFileSync, rmSync, writeFileSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32, deflateRawSync } from 'node:zlib';
import { afterAll, describe, expect, test } from 'vitest';
import { Diagnosed } from '../../src/diag/diagnostic.ts';
import type { DType } from '../../src/ir/types.ts';
import { printNpy } from '../../src/tensor/npy.ts';
import { parseNpz, readNpz, writeNpz } from '../../src/tensor/npz.ts';
import { fromNumbers, type Tensor } from '../../src/tensor/tensor.ts';
import { randomBelow, randomStream } from '../../src/util/rng.ts';

const folder = mkdtempSync(join(tmpdir(), 'wafc-npz-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** numpy 2.4.6: savez and savez_compressed of a = arange(3, f16), b = Fortran order [[0,1],[2,3]] f64, c = [True, False]. */
const FIXTURES = JSON.parse(readFileSync(join(import.meta.dirname, 'npz-fixtures.json'), 'utf8')) as Record<
  'stored' | 'deflated',
  string
>;

/** What is said of `bytes`, or the tensors. */
function outcome(bytes: Uint8Array): string | Map<string, Tensor> {
  try {
    return parseNpz(bytes, 'x.npz');
  } catch (error) {
    if (!(error instanceof Diagnosed)) throw error;
    expect(error.diagnostics.map((d) => d.code)).toEqual(['npy/format']);
    return error.diagnostics[0].message;
  }
}

describe('reading and writing', () => {
  test('what is written is read, whatever the type and the name', () => {
    const types: readonly DType[] = ['f64', 'f32', 'f16', 'i64', 'i32', 'i16', 'i8', 'u64', 'u32', 'u16', 'u8', 'bool'];
    const tensors = new Map<string, Tensor>([
      ...types.map((t): [string, Tensor] => [`past.${t}/key é`, fromNumbers(t, [2, 3], [0, 1, 1, 0, 1, 1])]),
      ['scalar', fromNumbers('f32', [], [7])],
      ['empty', fromNumbers('f32', [1, 0, 4], [])],
    ]);
    const path = join(folder, 'all.npz');
    writeNpz(path, tensors);
    expect(readNpz(path)).toEqual(tensors);
    const first = readFileSync(path);
    writeNpz(path, tensors);
    expect(readFileSync(path).equals(first)).toBe(true);
    writeNpz(path, new Map());
    expect(readNpz(path).size).toBe(0);
  });

  test.each(['stored', 'deflated'] as const)('what numpy writes, %s', (kind) => {
    const tensors = parseNpz(Buffer.from(FIXTURES[kind], 'base64'), kind);
    expect(tensors).toEqual(
      new Map([
        ['a', fromNumbers('f16', [3], [0, 1, 2])],
        ['b', fromNumbers('f64', [2, 2], [0, 1, 2, 3])],
        ['c', fromNumbers('bool', [2], [1, 0])],
      ]),
    );
  });

  test('types that numpy has no name for are refused', () => {
    const write = () => writeNpz(join(folder, 'bf16.npz'), new Map([['x', fromNumbers('bf16', [1], [1])]]));
    expect(write).toThrow('.npy has no element type for bf16');
  });
});

const PLAIN = printNpy(fromNumbers('u8', [4], [1, 2, 3, 4]));

interface EntryOptions {
  readonly name?: string;
  readonly method?: number;
  readonly flags?: number;
  readonly data?: Uint8Array;
  readonly size?: number;
  readonly crc?: number;
}

/** A zip of entries whose fields may lie; sizes and CRC are those of PLAIN where nothing else is said. */
function zip(...entries: readonly EntryOptions[]): Buffer {
  const parts: Buffer[] = [];
  const listing: Buffer[] = [];
  let at = 0;
  for (const {
    name = 'x.npy',
    method = 0,
    flags = 0,
    data = PLAIN,
    size = PLAIN.length,
    crc = crc32(PLAIN),
  } of entries) {
    const common = Buffer.alloc(26);
    common.writeUInt16LE(flags, 2);
    common.writeUInt16LE(method, 4);
    common.writeUInt32LE(crc, 10);
    common.writeUInt32LE(data.length, 14);
    common.writeUInt32LE(size, 18);
    common.writeUInt16LE(name.length, 22);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE(at, 10);
    parts.push(Buffer.from('PK\x03\x04'), common, Buffer.from(name), Buffer.from(data));
    listing.push(Buffer.from('PK\x01\x02\x14\0'), common, tail, Buffer.from(name));
    at += 30 + name.length + data.length;
  }
  const directory = Buffer.concat(listing);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06');
  end.writeUInt16LE(entries.length, 8);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(at, 16);
  return Buffer.concat([...parts, directory, end]);
}

describe('hostile files', () => {
  test('the helper writes a zip', () => {
    expect(outcome(zip({}))).toEqual(new Map([['x', fromNumbers('u8', [4], [1, 2, 3, 4])]]));
    expect(outcome(zip({ method: 8, data: deflateRawSync(PLAIN) }))).toBeInstanceOf(Map);
  });

  const bomb = deflateRawSync(Buffer.alloc(50_000_000));
  test.each<[string, Buffer, string]>([
    ['nothing', Buffer.alloc(0), 'expected an .npz file (a zip archive), found no end of a zip directory'],
    ['a text', Buffer.from('hello, this is no archive at all'), 'found no end of a zip directory'],
    ['an .npy file', Buffer.from(PLAIN), 'found no end of a zip directory'],
    ['encrypted', zip({ flags: 1 }), 'expected an entry without a password, found an encrypted one'],
    ['another method', zip({ method: 12 }), 'expected a stored or deflated entry, found method 12'],
    ['another name', zip({ name: 'x.txt' }), 'expected a name that ends in .npy'],
    ['one name twice', zip({}, {}), 'expected one entry of this name, found two'],
    ['a wrong CRC', zip({ crc: 1 }), 'expected CRC-32 1, found '],
    ['a size that is not there', zip({ size: 500 }), 'expected 500 bytes, found 132'],
    ['no deflated data', zip({ method: 8, data: Buffer.from([7]) }), 'expected deflated data of 132 bytes, found '],
    ['a bomb that says so', zip({ method: 8, data: bomb, size: 2 ** 31 }), 'expected entries of at most'],
    ['a bomb that lies', zip({ method: 8, data: bomb, size: 132 }), 'expected deflated data of 132 bytes, found '],
    [
      'a size no deflate reaches',
      zip({ method: 8, data: deflateRawSync(PLAIN), size: 10 ** 9 }),
      'at most 1032 times its',
    ],
    [
      'many entries of one size',
      zip(...Array.from({ length: 5 }, (_, i) => ({ name: `${i}.npy`, size: 2 ** 29 }))),
      'expected 536870912 bytes, found 132',
    ],
    ['zip64 sizes without a field', zip({ size: 0xffffffff }), 'expected a zip64 field, found none'],
    [
      'an entry that is no .npy',
      zip({ data: Buffer.from('abcd'), size: 4, crc: crc32('abcd') }),
      'expected an .npy file, found other bytes',
    ],
  ])('%s', (_, bytes, said) => {
    expect(outcome(bytes)).toContain(said);
  });

  test('a shape beyond all numbers', () => {
    const header = `{'descr': '<f4', 'fortran_order': False, 'shape': (${'9'.repeat(400)}, 0), }`.padEnd(500);
    const npy = Buffer.concat([Buffer.from('\x93NUMPY\x01\0\xf4\x01', 'latin1'), Buffer.from(header)]);
    const path = join(folder, 'huge.npz');
    writeFileSync(path, zip({ data: npy, size: npy.length, crc: crc32(npy) }));
    expect(() => readNpz(path)).toThrow('expected a shape of its elements, found Infinity,0');
  });

  test('truncated anywhere', () => {
    for (const kind of ['stored', 'deflated'] as const) {
      const whole = Buffer.from(FIXTURES[kind], 'base64');
      for (let n = 0; n < whole.length; n++) expect(outcome(whole.subarray(0, n)), `${n} bytes`).toBeTypeOf('string');
    }
  });

  test('any byte changed: refused, or tensors', () => {
    const random = randomStream(5, 'npz');
    for (const kind of ['stored', 'deflated'] as const)
      for (let k = 0; k < 1500; k++) {
        const bytes = Buffer.from(FIXTURES[kind], 'base64');
        for (let n = randomBelow(random, 3); n >= 0; n--)
          bytes[randomBelow(random, bytes.length)] = randomBelow(random, 256);
        const result = outcome(bytes);
        if (result instanceof Map)
          for (const { shape, data } of result.values()) expect(shape.reduce((a, b) => a * b, 1)).toBe(data.length);
      }
  });

  test('no file, or a folder', () => {
    expect(() => readNpz(join(folder, 'none.npz'))).toThrow('expected an .npz file, found none');
    expect(() => readNpz(folder)).toThrow('expected an .npz file, found no file');
  });
});
