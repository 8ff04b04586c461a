/** What the reader makes of well-formed files, in every encoding ONNX allows. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { bytesFor, DTYPE_BITS, type DType } from '../../src/ir/types.ts';
import { CODE_OF } from '../../src/onnx/dtype-codes.ts';
import { openModel, openModelBytes, readTensorFile } from '../../src/onnx/reader.ts';
import { pack, unpack } from '../../src/tensor/pack.ts';
import {
  bytes,
  codeOf,
  contents,
  int,
  modelProto,
  modelWithTensor,
  temporaryFolder,
  tensorProto,
  varint,
} from './support.ts';

const first = (file: Uint8Array) => openModelBytes(file).graph.initializers[0];
const fixed = (dtype: 'f32' | 'f64', values: readonly number[]): number[] => [
  ...pack(dtype, dtype === 'f32' ? Float32Array.from(values) : Float64Array.from(values)),
];

describe('tensor encodings', () => {
  for (const dtype of (Object.keys(CODE_OF) as DType[]).filter((d) => d !== 'string'))
    test(`raw ${dtype}`, () => {
      const raw = Array.from({ length: bytesFor(dtype, 8) }, (_, i) => (i * 37) & 0xff);
      const t = first(modelWithTensor(tensorProto('w', CODE_OF[dtype], [2, 4]), bytes(9, raw)));
      expect(t).toMatchObject({ name: 'w', dtype, shape: [2, 4] });
      expect([...contents(t)]).toEqual(raw);
    });

  const typed: [DType, number, number[], readonly number[]][] = [
    ['i32', 5, [-7, 2, 300000], [-7, 2, 300000]],
    ['i16', 5, [-7, 2, 300], [-7, 2, 300]],
    ['i8', 5, [-7, 2, 30], [-7, 2, 30]],
    ['u16', 5, [7, 65535], [7, 65535]],
    ['u8', 5, [7, 255], [7, 255]],
    ['bool', 5, [1, 0, 1], [1, 0, 1]],
    ['f16', 5, [0x3c00, 0xc000], [1, -2]],
    ['bf16', 5, [0x3f80, 0xc000], [1, -2]],
    ['f8e4m3fn', 5, [0x38], [1]],
    ['i4', 5, [0x21, 0x0f], [1, 2, -1]],
    ['u2', 5, [0xe4, 0x01], [0, 1, 2, 3, 1]],
    ['f4e2m1', 5, [0x21], [0.5, 1]],
    ['f6e2m3', 5, [8, 0, 16, 1, 31], [1, 0, 2, 0.125, 7.5]],
    ['i64', 7, [-9, 2 ** 40], [-9, 2 ** 40]],
    ['u64', 11, [9, 2 ** 50], [9, 2 ** 50]],
    ['u32', 11, [9, 2 ** 31], [9, 2 ** 31]],
  ];
  for (const [dtype, field, entries, values] of typed)
    test.each(['packed', 'unpacked', 'both'])(`${dtype} in field ${field}, %s`, (form) => {
      const packed = bytes(
        field,
        entries.flatMap((v) => varint(BigInt(v))),
      );
      const unpacked = entries.flatMap((v) => int(field, BigInt(v)));
      const both = [
        ...bytes(field, varint(BigInt(entries[0]))),
        ...entries.slice(1).flatMap((v) => int(field, BigInt(v))),
      ];
      const data = form === 'packed' ? packed : form === 'unpacked' ? unpacked : both;
      const t = first(modelWithTensor(tensorProto('w', CODE_OF[dtype], [values.length]), data));
      expect([...unpack(dtype, contents(t), values.length)]).toEqual(values);
    });

  test.each(['f32', 'f64'] as const)('%s typed, packed and not, large and small', (dtype) => {
    for (const count of [3, 1000]) {
      const values = Array.from({ length: count }, (_, i) => i / 4 - 7);
      const [field, wire, width] = dtype === 'f32' ? [4, 5, 4] : [10, 1, 8];
      const all = fixed(dtype, values);
      const packed = bytes(field, all);
      const unpacked = values.flatMap((_, i) => [field * 8 + wire, ...all.slice(i * width, (i + 1) * width)]);
      const halves = [...bytes(field, all.slice(0, width)), ...bytes(field, all.slice(width))];
      const tail = [...bytes(field, all.slice(0, width)), ...unpacked.slice(width + 1)];
      for (const data of [packed, unpacked, halves, tail]) {
        const t = first(modelWithTensor(tensorProto('w', CODE_OF[dtype], [count]), data));
        expect([...contents(t)]).toEqual(all);
        const part = new Uint8Array(width);
        t.source.read((count - 1) * width, part);
        expect([...part]).toEqual(all.slice(-width));
      }
    }
  });

  test('strings, packed dims, scalars, empty tensors, dims after data', () => {
    const strings = first(modelWithTensor(tensorProto('s', 8, [2]), bytes(6, 'ü'), bytes(6, '')));
    expect(strings.strings).toEqual(['ü', '']);
    const dims = first(modelWithTensor(bytes(1, [2, 1]), int(2, 2), bytes(9, [1, 2])));
    expect(dims.shape).toEqual([2, 1]);
    expect(first(modelWithTensor(tensorProto('e', 1, [0, 3]))).source.byteLength).toBe(0);
    expect(first(modelWithTensor(tensorProto('e', 1, []), bytes(9, [0, 0, 128, 63]))).shape).toEqual([]);
    expect([...contents(first(modelWithTensor(bytes(9, [7, 8]), int(1, 2), int(2, 2))))]).toEqual([7, 8]);
  });

  test('a file of one tensor; a sequence says what it is', () => {
    const folder = temporaryFolder();
    const write = (name: string, content: number[]): string => {
      writeFileSync(join(folder, name), Uint8Array.from(content));
      return join(folder, name);
    };
    const tensor = tensorProto('x', 1, [1], bytes(9, [0, 0, 128, 63]));
    expect([...contents(readTensorFile(write('t.pb', tensor)))]).toEqual([0, 0, 128, 63]);
    expect(codeOf(() => readTensorFile(write('s.pb', [...bytes(1, 'x'), ...int(2, 1), ...bytes(3, tensor)])))).toBe(
      'onnx/not-a-tensor',
    );
    expect(codeOf(() => readTensorFile(join(folder, 'none.pb')))).toBe('onnx/no-file');
    expect(codeOf(() => openModel(folder))).toBe('onnx/no-file');
  });
});

describe('structure', () => {
  const node = (...fields: number[][]): number[] => bytes(1, ...fields);
  const attributes = (...list: number[][]) =>
    openModelBytes(modelProto(node(bytes(4, 'Op'), ...list.map((a) => bytes(5, a))))).graph.nodes[0].attributes;

  test('attributes of every kind', () => {
    const tensor = tensorProto('', 6, [1], bytes(9, [5, 0, 0, 0]));
    const graph = bytes(2, 'inner');
    const sparse = [...bytes(1, tensor), ...bytes(2, tensorProto('', 7, [1], int(7, 3))), ...int(3, 9)];
    const type = bytes(1, int(1, 1), bytes(2, bytes(1, int(1, 4)), bytes(1, bytes(2, 'n')), bytes(1)));
    const map = attributes(
      [...bytes(1, 'f'), 0x15, 0, 0, 128, 63, ...int(20, 1)],
      [...bytes(1, 'i'), ...int(3, -5), ...int(20, 2)],
      [...bytes(1, 's'), ...bytes(4, 'text'), ...int(20, 3)],
      [...bytes(1, 'raw'), ...bytes(4, [0xff, 0]), ...int(20, 3)],
      [...bytes(1, 't'), ...bytes(5, tensor), ...int(20, 4)],
      [...bytes(1, 'g'), ...bytes(6, graph), ...int(20, 5)],
      [...bytes(1, 'floats'), ...bytes(7, [0, 0, 128, 63, 0, 0, 0, 64]), ...int(20, 6)],
      [...bytes(1, 'ints'), ...int(8, 1), ...int(8, -1), ...bytes(8, [7, 8]), ...int(20, 7)],
      [...bytes(1, 'strings'), ...bytes(9, 'a'), ...bytes(9, ''), ...int(20, 8)],
      [...bytes(1, 'tensors'), ...bytes(10, tensor), ...int(20, 9)],
      [...bytes(1, 'graphs'), ...bytes(11, graph), ...int(20, 10)],
      [...bytes(1, 'sparse'), ...bytes(22, sparse), ...int(20, 11)],
      [...bytes(1, 'type'), ...bytes(14, type), ...int(20, 13)],
      [...bytes(1, 'types'), ...bytes(15, type), ...int(20, 14)],
      [...bytes(1, 'ref'), ...bytes(21, 'outer'), ...int(20, 2)],
      [...bytes(1, 'untyped'), ...int(3, 4)],
      [...bytes(1, 'zero'), ...int(20, 2)],
    );
    const value = (name: string): unknown => map.get(name)?.value;
    expect(map.get('f')).toEqual({ kind: 'float', value: 1 });
    expect(map.get('i')).toEqual({ kind: 'int', value: -5 });
    expect(map.get('s')).toEqual({ kind: 'string', value: 'text' });
    expect(map.get('raw')).toMatchObject({ kind: 'string', bytes: Uint8Array.of(255, 0) });
    expect(map.get('t')).toMatchObject({ kind: 'tensor', value: { dtype: 'i32', shape: [1] } });
    expect(map.get('g')).toMatchObject({ kind: 'graph', value: { name: 'inner' } });
    expect(value('floats')).toEqual([1, 2]);
    expect(value('ints')).toEqual([1, -1, 7, 8]);
    expect(value('strings')).toEqual(['a', '']);
    expect(value('tensors')).toHaveLength(1);
    expect(value('graphs')).toHaveLength(1);
    expect(map.get('sparse')).toMatchObject({
      kind: 'sparse-tensor',
      value: { shape: [9], indices: { dtype: 'i64' } },
    });
    expect(map.get('type')).toEqual({
      kind: 'type',
      value: { kind: 'tensor', dtype: 'f32', elementCode: 1, shape: [4, 'n', null] },
    });
    expect(value('types')).toHaveLength(1);
    expect(map.get('ref')).toEqual({ kind: 'ref', value: 'outer', type: 2 });
    expect(map.get('untyped')).toEqual({ kind: 'int', value: 4 });
    expect(map.get('zero')).toEqual({ kind: 'int', value: 0 });
    expect(codeOf(() => attributes([...bytes(1, 'x'), ...int(20, 99)]))).toBe('onnx/attribute');
    expect(codeOf(() => attributes([...bytes(1, 'x'), ...int(20, 4)]))).toBe('onnx/attribute');
  });

  test('nodes, types, functions, metadata, unknown fields', () => {
    const file = Uint8Array.from([
      ...int(1, 10),
      ...bytes(2, 'maker'),
      ...bytes(3, '1.2'),
      ...bytes(7, [
        ...node(
          bytes(1, ''),
          bytes(1, 'x'),
          bytes(2, 'y'),
          bytes(4, 'Op'),
          bytes(7, 'ai.onnx'),
          bytes(8, 'v2'),
          bytes(9, bytes(1, 'k'), bytes(2, 'v')),
        ),
        ...bytes(11, bytes(1, 'x'), bytes(2, bytes(1, int(1, 14)))),
        ...bytes(12, bytes(1, 'y'), bytes(2, bytes(4, bytes(1)))),
        ...bytes(13, bytes(1, 'z'), bytes(2, bytes(1, int(1, 1), bytes(2, bytes(1, int(1, -1)))))),
        ...bytes(90, 'from the future'),
        ...int(91, 3),
      ]),
      ...bytes(8, bytes(1, 'ai.onnx'), int(2, 17)),
      ...bytes(8, bytes(1, 'com.microsoft'), int(2, 1)),
      ...bytes(14, bytes(1, 'a'), bytes(2, 'b')),
      ...bytes(
        25,
        bytes(1, 'Fn'),
        bytes(4, 'p'),
        bytes(5, 'q'),
        bytes(6, 'alpha'),
        bytes(7, bytes(4, 'Op')),
        bytes(10, 'my'),
      ),
    ]);
    const model = openModelBytes(file);
    expect(model.producer).toBe('maker 1.2');
    expect([...model.opsets]).toEqual([
      ['', 17],
      ['com.microsoft', 1],
    ]);
    expect([...model.metadata]).toEqual([['a', 'b']]);
    expect(model.graph.nodes[0]).toMatchObject({
      inputs: ['', 'x'],
      outputs: ['y'],
      opType: 'Op',
      domain: '',
      overload: 'v2',
    });
    expect([...model.graph.nodes[0].metadata]).toEqual([['k', 'v']]);
    expect(model.graph.inputs[0]).toEqual({ name: 'x', kind: 'tensor', elementCode: 14 }); // complex64: no DType
    expect(model.graph.outputs[0].kind).toBe('sequence');
    expect(model.graph.valueInfo[0].shape).toEqual([null]);
    expect(model.functions[0]).toMatchObject({
      name: 'Fn',
      domain: 'my',
      inputs: ['p'],
      outputs: ['q'],
      attributes: ['alpha'],
    });
  });

  test('every dtype code has a width', () => {
    for (const dtype of Object.keys(CODE_OF) as DType[]) expect(DTYPE_BITS[dtype]).toBeDefined();
  });
});
