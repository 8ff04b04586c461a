/** What is written is read back, aligned, deterministic, complete or not there at all. */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { bytesSource, type ByteSource } from '../../src/ir/constant.ts';
import { openModel, openModelBytes } from '../../src/onnx/reader.ts';
import { encodeModelBytes, type WritableModel, type WritableTensor, writeModel } from '../../src/onnx/writer.ts';
import { codeOf, contents, snapshot, temporaryFolder } from './support.ts';

const folder = temporaryFolder();
const weight = (name: string, bytes: number, fill = 1): WritableTensor => ({
  name,
  dtype: 'u8',
  shape: [bytes],
  source: bytesSource(name, new Uint8Array(bytes).fill(fill)),
});
const graphOf = (...initializers: WritableTensor[]): WritableModel => ({
  irVersion: 10,
  opsets: new Map([
    ['', 17],
    ['com.microsoft', 1],
  ]),
  producer: 'test',
  metadata: new Map([['k', 'v']]),
  graph: {
    name: 'g',
    nodes: [
      {
        name: 'n',
        opType: 'If',
        domain: 'd',
        overload: 'o',
        inputs: ['', 'a'],
        outputs: ['b'],
        metadata: new Map([['wafc.region', '1']]),
        attributes: new Map([
          ['i', { kind: 'int', value: -3 }],
          ['max', { kind: 'int', value: 2 ** 63 }],
          ['f', { kind: 'float', value: 0.5 }],
          ['s', { kind: 'string', value: 'ü' }],
          ['b', { kind: 'string', value: '\ufffd', bytes: Uint8Array.of(255) }],
          ['t', { kind: 'tensor', value: weight('inner', 3) }],
          [
            'g',
            {
              kind: 'graph',
              value: { name: 'sub', nodes: [], initializers: [weight('deep', 5000, 9)], inputs: [], outputs: [] },
            },
          ],
          ['is', { kind: 'ints', value: [1, -2, 2 ** 40] }],
          ['fs', { kind: 'floats', value: [1, 0.25] }],
          ['ss', { kind: 'strings', value: ['', 'x'] }],
          ['ts', { kind: 'tensors', value: [weight('', 2)] }],
          ['gs', { kind: 'graphs', value: [] }],
          [
            'sp',
            {
              kind: 'sparse-tensor',
              value: { values: weight('v', 1), indices: { ...weight('x', 8), dtype: 'i64', shape: [1] }, shape: [4] },
            },
          ],
          ['ty', { kind: 'type', value: { kind: 'tensor', dtype: 'f16', elementCode: 10, shape: [1, 'n', null] } }],
          ['r', { kind: 'ref', value: 'outer', type: 2 }],
        ]),
      },
    ],
    initializers: [
      ...initializers,
      { name: 'strings', dtype: 'string', shape: [2], source: bytesSource('', new Uint8Array(0)), strings: ['a', ''] },
    ],
    inputs: [{ name: 'a', kind: 'tensor', dtype: 'f32', shape: [2, 'n', null] }],
    outputs: [{ name: 'b' }],
    valueInfo: [{ name: 'c', kind: 'tensor', dtype: 'bool' }],
    metadata: new Map([['m', '']]),
  },
  functions: [
    {
      name: 'F',
      domain: 'd',
      inputs: ['p'],
      outputs: ['q'],
      attributes: ['k'],
      defaults: new Map([['z', { kind: 'int', value: 1 }]]),
      nodes: [],
      opsets: new Map([['', 17]]),
    },
  ],
});

describe('writer and reader', () => {
  test('everything comes back', () => {
    const model = graphOf(weight('w', 10), weight('big', 3000, 7));
    const read = openModelBytes(encodeModelBytes(model));
    expect(snapshot(read)).toMatchSnapshot();
    expect(encodeModelBytes(read)).toEqual(encodeModelBytes(model));
    const path = join(folder, 'all.onnx');
    writeModel(path, model, { external: true });
    const external = openModel(path);
    expect(snapshot(external)).toEqual(snapshot(read));
    expect(external.graph.initializers.map((t) => t.location)).toEqual([undefined, 'all.onnx.data', undefined]);
    external.close();
  });

  test('the data file is aligned and named after the model', () => {
    const path = join(folder, 'aligned.onnx');
    const model = graphOf(weight('a', 1025, 1), weight('b', 2 ** 20, 2), weight('c', 1024, 3));
    writeModel(path, { ...model, graph: { ...model.graph, nodes: [] } }, { external: true });
    const data = readFileSync(`${path}.data`);
    expect(data.length).toBe(4096 + 2 ** 20 + 1024);
    expect([data[1024], data[1025], data[4095], data[4096], data[4096 + 2 ** 20 - 1], data[4096 + 2 ** 20]]).toEqual([
      1, 0, 0, 2, 2, 3,
    ]);
  });

  test('the same model gives the same bytes, and leaves nothing else behind', () => {
    const path = join(folder, 'same.onnx');
    const model = graphOf(weight('a', 5000));
    writeModel(path, model, { external: true });
    const before = [readFileSync(path), readFileSync(`${path}.data`)];
    writeModel(path, model, { external: true });
    expect([readFileSync(path), readFileSync(`${path}.data`)]).toEqual(before);
    expect(readdirSync(folder).filter((f) => f.endsWith('.tmp'))).toEqual([]);
  });

  test('shapes without weights', () => {
    const path = join(folder, 'shapes.onnx');
    const never: ByteSource = { label: 'never', byteLength: 2 ** 42, read: () => expect.unreachable() };
    writeModel(path, graphOf({ name: 'huge', dtype: 'u8', shape: [2 ** 42], source: never }), {
      external: true,
      data: false,
    });
    expect(existsSync(`${path}.data`)).toBe(false);
    const model = openModel(path);
    expect(model.missingFiles).toEqual(['shapes.onnx.data']);
    expect(model.graph.initializers[0].shape).toEqual([2 ** 42]);
    expect(
      codeOf(() =>
        contents({ ...model.graph.initializers[0], source: { ...model.graph.initializers[0].source, byteLength: 4 } }),
      ),
    ).toBe('onnx/external-missing');
    model.close();
  });

  test('beyond 2 GiB weights leave the file by themselves, or are refused', () => {
    const path = join(folder, 'large.onnx');
    const source: ByteSource = { label: 'w', byteLength: 2 ** 31, read: (_, into) => into.fill(0) };
    const model = graphOf({ name: 'w', dtype: 'u8', shape: [2 ** 31], source });
    writeModel(path, model, { data: false });
    expect(openModel(path).missingFiles).toEqual(['large.onnx.data']);
    expect(codeOf(() => writeModel(path, model, { external: false }))).toBe('onnx/write');
  });

  test('chunks, and sources that lie about their length', () => {
    const chunked = (lengths: number[]): WritableTensor => ({
      name: 'w',
      dtype: 'u8',
      shape: [6],
      source: { label: 'w', byteLength: 6, chunks: () => lengths.map((n) => new Uint8Array(n).fill(n)) },
    });
    const [w] = openModelBytes(encodeModelBytes(graphOf(chunked([4, 2])))).graph.initializers;
    expect([...contents(w)]).toEqual([4, 4, 4, 4, 2, 2]);
    const path = join(folder, 'lies.onnx');
    writeFileSync(path, 'old');
    for (const lengths of [[4], [4, 3]]) expect(() => writeModel(path, graphOf(chunked(lengths)))).toThrow(RangeError);
    expect(readFileSync(path, 'utf8')).toBe('old');
    expect(() => encodeModelBytes(graphOf({ ...weight('w', 3), shape: [4] }))).toThrow(RangeError);
  });

  test('a place that cannot be written', () => {
    expect(codeOf(() => writeModel(join(folder, 'none', 'x.onnx'), graphOf()))).toBe('onnx/write');
  });

  test('a model may be written over itself', () => {
    const path = join(folder, 'self.onnx');
    writeModel(path, graphOf(weight('a', 5000, 3)));
    const model = openModel(path);
    contents(model.graph.initializers[0]);
    writeModel(path, model);
    model.close();
    const again = openModel(path);
    expect(contents(again.graph.initializers[0])[4999]).toBe(3);
    again.close();
    rmSync(path);
  });
});
