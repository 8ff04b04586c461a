/** Broken and hostile files end in Diagnosed, quickly, and in nothing else. */
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { buildModel, CONFIGS } from '../../models/configs.ts';
import { Diagnosed } from '../../src/diag/diagnostic.ts';
import { openModel, openModelBytes } from '../../src/onnx/reader.ts';
import { encodeModelBytes } from '../../src/onnx/writer.ts';
import {
  type Bytes,
  bytes,
  codeOf,
  contents,
  int,
  modelProto,
  modelWithTensor,
  seeded,
  temporaryFolder,
  tensorProto,
  tensorsOf,
  varint,
} from './support.ts';

/** Opens and reads everything; true when that worked. Anything but Diagnosed escapes and fails the test. */
function survives(file: Uint8Array): boolean {
  try {
    for (const tensor of tensorsOf(openModelBytes(file))) contents(tensor);
    return true;
  } catch (error) {
    if (!(error instanceof Diagnosed)) throw error;
    return false;
  }
}

/** About 3 KB with nodes, attributes, typed data, a subgraph, a function. */
const small = Uint8Array.from([
  ...modelProto(
    bytes(5, tensorProto('w', 1, [2, 3], bytes(4, Array(24).fill(1)))),
    bytes(5, tensorProto('i', 7, [2], int(7, 5), int(7, 6))),
    bytes(5, tensorProto('r', 10, [4], bytes(9, Array(8).fill(60)))),
    bytes(
      1,
      bytes(1, 'w'),
      bytes(2, 'y'),
      bytes(3, 'node'),
      bytes(4, 'If'),
      bytes(5, bytes(1, 'then'), bytes(6, bytes(1, bytes(4, 'Op'))), int(20, 5)),
    ),
    bytes(11, bytes(1, 'x'), bytes(2, bytes(1, int(1, 1), bytes(2, bytes(1, int(1, 2)), bytes(1, bytes(2, 'n')))))),
  ),
  ...bytes(25, bytes(1, 'Fn'), bytes(7, bytes(4, 'Op'), bytes(5, bytes(1, 'a'), bytes(21, 'b'), int(20, 2)))),
]);

describe('damage', () => {
  test('truncated at every length', () => {
    expect(survives(small)).toBe(true);
    let intact = 0;
    for (let length = 0; length < small.length; length++) if (survives(small.slice(0, length))) intact++;
    expect(intact).toBeLessThan(5); // where only whole trailing fields are missing
  });

  test('one byte changed, everywhere', () => {
    const random = seeded(1);
    for (let at = 0; at < small.length; at++)
      for (let k = 0; k < 6; k++) {
        const file = small.slice();
        file[at] = k === 0 ? 0xff : k === 1 ? 0 : random();
        survives(file);
      }
  });

  test('bytes of a real model changed', () => {
    const whole = encodeModelBytes(buildModel({ ...CONFIGS.get('tiny-bert'), layers: 1 } as never));
    const random = seeded(2);
    const began = performance.now();
    for (let k = 0; k < 150; k++) {
      const file = whole.slice();
      for (let flips = 0; flips <= k % 4; flips++) file[random() % file.length] ^= 1 << (random() & 7);
      survives(file);
    }
    expect(performance.now() - began).toBeLessThan(15_000);
  });

  test('random bytes', () => {
    const random = seeded(3);
    for (let k = 0; k < 300; k++) survives(Uint8Array.from({ length: random() % 200 }, random));
  });
});

describe('bombs', () => {
  test('groups and messages nested without end', () => {
    const groups = Uint8Array.from([
      ...modelProto(),
      ...Array(100_000)
        .fill(((99 * 8 + 3) & 127) | 128)
        .flatMap(() => varint(99 * 8 + 3)),
    ]);
    expect(codeOf(() => openModelBytes(groups))).toBe('onnx/malformed');
    let graph: number[] = [];
    for (let k = 0; k < 40; k++) graph = bytes(1, bytes(5, bytes(1, 'g'), bytes(6, graph), int(20, 5)));
    expect(codeOf(() => openModelBytes(modelProto(graph)))).toBe('onnx/too-deep');
    let deep: number[] = [];
    for (let k = 0; k < 18; k++) deep = bytes(1, bytes(4, 'If'), bytes(5, bytes(1, 'g'), bytes(6, deep), int(20, 5)));
    expect(survives(modelProto(deep))).toBe(true);
  });

  test('a few bytes of file per object', () => {
    const file = new Uint8Array(12 * 2 ** 20);
    const graph = varint(file.length - 20);
    file.set([...int(1, 8), 0x3a, ...graph]);
    for (let at = 2 + 1 + graph.length; at < file.length - 20; at += 2) file[at] = 0x0a; // empty nodes
    expect(codeOf(() => openModelBytes(file))).toMatch(/^onnx\/(too-large|malformed)$/);
  });

  test('shapes without bytes allocate nothing', () => {
    const max = 2n ** 63n - 1n;
    const cases: [string, Bytes][] = [
      ['onnx/tensor-shape', tensorProto('w', 1, [-1n])],
      ['onnx/tensor-shape', tensorProto('w', 1, [max, max])],
      ['onnx/tensor-shape', tensorProto('w', 1, [0n, max])],
      ['onnx/tensor-data', tensorProto('w', 1, [2n ** 40n], bytes(9, [1, 2, 3, 4]))],
      ['onnx/tensor-data', tensorProto('w', 7, [2n ** 40n], int(7, 1))],
      ['onnx/tensor-data', tensorProto('w', 1, [2n ** 40n], bytes(4, [1, 2, 3, 4]))],
      ['onnx/tensor-data', tensorProto('w', 1, [2n ** 40n])],
      ['onnx/tensor-data', tensorProto('w', 8, [2n ** 40n])],
      ['onnx/tensor-data', tensorProto('w', 1, [1], bytes(9, [1, 2, 3, 4, 5]))],
      ['onnx/tensor-data', tensorProto('w', 7, [1], int(7, 1), int(7, 2))],
      ['onnx/tensor-data', tensorProto('w', 7, [1], bytes(4, [0, 0, 0, 0]))],
      ['onnx/tensor-data', tensorProto('w', 1, [1], bytes(3, int(1, 0)), bytes(9, [1, 2, 3, 4]))],
      ['onnx/malformed', tensorProto('w', 1, Array(65).fill(1))],
      ['onnx/dtype', tensorProto('w', 14, [1], bytes(9, Array(8).fill(0)))],
      ['onnx/dtype', tensorProto('w', 99, [1])],
    ];
    for (const [code, tensor] of cases) expect(codeOf(() => openModelBytes(modelWithTensor(tensor)))).toBe(code);
  });

  test('the message names the tensor', () => {
    expect(() => openModelBytes(modelWithTensor(tensorProto('my.weight', 15, [1])))).toThrow(/my\.weight.*complex128/);
  });

  test('not models', () => {
    const code = (file: Uint8Array): string => codeOf(() => openModelBytes(file));
    expect(code(new Uint8Array(0))).toBe('onnx/not-a-model');
    expect(code(Uint8Array.from(bytes(7, bytes(2, 'g'))))).toBe('onnx/not-a-model');
    expect(code(Uint8Array.from([...int(1, 15), ...bytes(7, [])]))).toBe('onnx/ir-version');
    expect(code(Uint8Array.from([...int(1, 2), ...bytes(7, [])]))).toBe('onnx/ir-version');
    expect(code(modelProto(bytes(11, bytes(1, 'x'), bytes(2, bytes(1, bytes(2, bytes(1, int(1, -7))))))))).toBe(
      'onnx/tensor-shape',
    );
  });
});

describe('external data', () => {
  const root = temporaryFolder();
  const folder = join(root, 'model');
  mkdirSync(folder);
  writeFileSync(join(root, 'secret'), new Uint8Array(64));
  writeFileSync(
    join(folder, 'data'),
    Uint8Array.from({ length: 64 }, (_, i) => i),
  );
  mkdirSync(join(folder, 'sub'));
  writeFileSync(join(folder, 'sub', 'data'), new Uint8Array(64));
  symlinkSync(join(root, 'secret'), join(folder, 'link'));
  symlinkSync(root, join(folder, 'up'));
  symlinkSync(join(folder, 'data'), join(folder, 'inside'));

  const entry = (key: string, value: string): number[] => bytes(13, bytes(1, key), bytes(2, value));
  const external = (...entries: number[][]): Uint8Array =>
    modelWithTensor(tensorProto('w', 2, [8]), ...entries, int(14, 1));
  const at = (location: string, ...more: number[][]): string =>
    codeOf(() => openModelBytes(external(entry('location', location), ...more), folder));

  test('a file beside the model', () => {
    const file = external(entry('location', 'data'), entry('offset', '16'), entry('length', '8'));
    const [tensor] = openModelBytes(file, folder).graph.initializers;
    expect([...contents(tensor)]).toEqual([16, 17, 18, 19, 20, 21, 22, 23]);
    expect(tensor.location).toBe('data');
    for (const location of ['inside', 'sub/data', './data', 'sub/../data']) expect(at(location)).toBe('no diagnostic');
  });

  test.each([
    '../secret',
    '/etc/passwd',
    'C:\\x',
    '\\x',
    'sub/../../secret',
    '..',
    '',
    'a\0b',
    'link',
    'up/secret',
    'x'.repeat(5000),
  ])('refuses %j', (location) => expect(at(location)).toBe('onnx/external-path'));

  test('is not a regular file', () => expect(at('sub')).toBe('onnx/no-file'));

  test.each([
    ['offset', '57'],
    ['offset', '-1'],
    ['offset', '1e3'],
    ['offset', '99999999999999999999'],
    ['offset', '9007199254740991'],
    ['length', '7'],
    ['length', ''],
    ['length', '0x8'],
  ])('refuses %s %j', (key, value) => expect(at('data', entry(key, value))).toBe('onnx/external-range'));

  test('a missing file is named at once and fails when read', () => {
    const model = openModelBytes(external(entry('location', 'gone')), folder);
    expect(model.missingFiles).toEqual(['gone']);
    expect(codeOf(() => contents(model.graph.initializers[0]))).toBe('onnx/external-missing');
  });

  test('no folder, no external data', () => {
    expect(codeOf(() => openModelBytes(external(entry('location', 'data'))))).toBe('onnx/external-path');
  });

  test('a model behind a symlink finds the data of its real folder', () => {
    const cache = join(root, 'cache');
    mkdirSync(cache);
    writeFileSync(join(folder, 'm.onnx'), external(entry('location', 'data')));
    symlinkSync(join(folder, 'm.onnx'), join(cache, 'm.onnx'));
    symlinkSync(join(folder, 'data'), join(cache, 'data'));
    const model = openModel(join(cache, 'm.onnx'));
    expect(contents(model.graph.initializers[0])[7]).toBe(7);
    model.close();
    expect(contents(model.graph.initializers[0])[7]).toBe(7); // opens again
    model.close();
  });

  test('the file shrinks after it was opened', () => {
    writeFileSync(join(folder, 'shrinks'), new Uint8Array(2000));
    const file = modelWithTensor(tensorProto('w', 2, [2000]), entry('location', 'shrinks'), int(14, 1));
    const model = openModelBytes(file, folder);
    writeFileSync(join(folder, 'shrinks'), new Uint8Array(10));
    expect(codeOf(() => contents(model.graph.initializers[0]))).toBe('onnx/short-file');
    model.close();
  });
});
