/** Forms of models that are rare and valid: sparse and listed initializers, strings, functions of other versions. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Diagnosed } from '../../src/diag/diagnostic.ts';
import { runGraph } from '../../src/exec/reference.ts';
import { exportModel } from '../../src/frontend/export.ts';
import { importModel, importOnnx } from '../../src/frontend/import.ts';
import { denseTensor } from '../../src/frontend/sparse.ts';
import { openModel, openModelBytes } from '../../src/onnx/reader.ts';
import { type WritableFunction, writeModel } from '../../src/onnx/writer.ts';
import { fromNumbers, type Tensor } from '../../src/tensor/tensor.ts';
import { body, encoded, f32, graph, i64, int, node, type Parts, tensor, value } from '../errors/bad-models.ts';
import { temporaryFolder } from '../onnx/support.ts';

const folder = temporaryFolder();
const X = fromNumbers('f32', [2, 3], [1, -2, 3, -4, 5, -6]);

function run(parts: Parts, feeds: Readonly<Record<string, Tensor>> = { x: X }): Map<string, Tensor> {
  return runGraph(importOnnx(openModelBytes(encoded(parts))).graph, new Map(Object.entries(feeds)));
}
const numbers = (t: Tensor | undefined): readonly number[] => Array.from(t?.data ?? []);
const messageOf = (make: () => unknown): string => {
  try {
    make();
  } catch (error) {
    if (error instanceof Diagnosed) return error.message;
    throw error;
  }
  return 'no diagnostic';
};

describe('sparse initializers', () => {
  const sparse = (indices: readonly number[], shape = [indices.length]) => ({
    shape: [2, 3],
    values: tensor('w', 'f32', [2], [5, 6]),
    indices: tensor('', 'i64', shape, indices),
  });
  const add: Parts = { nodes: [node('Add', ['x', 'w'], ['y'])] };

  test('by flat indices, and by one index an axis', () => {
    const expected = [1, 3, 3, -4, 11, -6];
    expect(numbers(run({ ...add, sparseInitializers: [sparse([1, 4])] }).get('y'))).toEqual([1, 3, 3, -4, 11, -6]);
    expect(numbers(run({ ...add, sparseInitializers: [sparse([0, 1, 1, 1], [2, 2])] }).get('y'))).toEqual(expected);
  });

  test('the value of a Constant', () => {
    const constant = node('Constant', [], ['w'], { sparse_value: { kind: 'sparse-tensor', value: sparse([1, 4]) } });
    expect(numbers(run({ nodes: [constant, node('Add', ['x', 'w'], ['y'])] }).get('y'))).toEqual([1, 3, 3, -4, 11, -6]);
  });

  test('read by a body', () => {
    const inner = (op: string) => body(graph({ nodes: [node(op, ['x', 'w'], [op])], outputs: [{ name: op }] }));
    const parts: Parts = {
      inputs: [f32('x', 2, 3), value('c', 'bool', [])],
      sparseInitializers: [sparse([1, 4])],
      nodes: [node('If', ['c'], ['y'], { then_branch: inner('Add'), else_branch: inner('Sub') })],
    };
    const result = run(parts, { x: X, c: fromNumbers('bool', [], [0]) });
    expect(numbers(result.get('y'))).toEqual([1, -7, 3, -4, -1, -6]);
  });

  test('a range is made of the entries in it, whatever the size of the whole', () => {
    const [rows, count] = [2 ** 20, 200_000];
    const shape = [rows, 2 ** 14];
    const values = tensor(
      'w',
      'u8',
      [count],
      Array.from({ length: count }, (_, i) => (i % 255) + 1),
    );
    const indices = tensor(
      '',
      'i64',
      [count, 2],
      Array.from({ length: count }, (_, i) => [i * 5, (i * 7) % 2 ** 14]).flat(),
    );
    const { source } = denseTensor({ shape, values, indices } as Parameters<typeof denseTensor>[0]);
    expect(source.byteLength).toBe(2 ** 34);
    for (const i of [0, 1, 65_535, 65_536, 131_072, count - 1]) {
      const at = i * 5 * 2 ** 14 + ((i * 7) % 2 ** 14);
      const bytes = new Uint8Array(3).fill(9);
      source.read(Math.max(0, at - 1), bytes);
      expect([...bytes]).toEqual(at === 0 ? [1, 0, 0] : [0, (i % 255) + 1, 0]);
    }
  });

  test('made dense when read, and not before', () => {
    const { values, indices, shape } = sparse([1, 4]);
    let reads = 0;
    const watched = { ...values, source: { label: 'w', byteLength: 8, read: () => void reads++ } };
    const wide = { shape: [2 ** 13, 2 ** 13], indices, values: watched };
    const dense = denseTensor(wide as Parameters<typeof denseTensor>[0]);
    expect({ reads, bytes: dense.source.byteLength }).toEqual({ reads: 0, bytes: 2 ** 28 });
    expect(shape).toEqual([2, 3]);
  });

  test.each([
    [
      'an index beyond the shape',
      sparse([1, 6]),
      'error[onnx/sparse]: sparse tensor w has an element at 6 of an extent of 6',
    ],
    [
      'indices of another number',
      sparse([1, 4, 5]),
      'error[onnx/sparse]: sparse tensor w has values [2] at indices i64[3]; i64[2] or i64[2,2] is expected',
    ],
    [
      'indices in another order',
      sparse([4, 1]),
      'error[onnx/sparse]: sparse tensor w has element 1 after 4; ascending order is expected, each once',
    ],
  ])('%s', (_, sparseTensor, message) => {
    const outputs = [{ name: 'y' }];
    expect(messageOf(() => run({ ...add, outputs, sparseInitializers: [sparseTensor] }))).toBe(message);
  });
});

test('IR 3 lists initializers as inputs: they are constants, and not asked for', () => {
  const parts: Parts = {
    model: { irVersion: 3, opsets: new Map([['', 8]]) },
    inputs: [f32('x', 2, 3), f32('w', 3)],
    initializers: [tensor('w', 'f32', [3], [10, 20, 30])],
    nodes: [node('Add', ['x', 'w'], ['y'])],
  };
  const { graph: imported } = importOnnx(openModelBytes(encoded(parts)));
  expect(imported.inputs.map((v) => imported.names[v])).toEqual(['x']);
  expect(numbers(run(parts).get('y'))).toEqual([11, 18, 33, 6, 25, 24]);
});

describe('strings', () => {
  const outputs = [f32('y', 2, 3), value('s', 'string', [2])];
  const source = { label: '', byteLength: 0, read: () => {} };
  const strings = { name: 's', dtype: 'string', shape: [2], strings: ['a', 'b'], source } as const;
  const relu = node('Relu', ['x'], ['y']);
  test.each([
    ['a list', [node('Constant', [], ['s'], { value_strings: { kind: 'strings', value: ['a', 'b'] } }), relu], []],
    ['a tensor', [node('Constant', [], ['s'], { value: { kind: 'tensor', value: strings } }), relu], []],
    ['an initializer', [relu], [strings]],
  ] as const)('%s', (_, nodes, initializers) => {
    expect(run({ outputs, nodes, initializers }).get('s')?.strings).toEqual(['a', 'b']);
  });
  test('one string', () => {
    const nodes = [node('Constant', [], ['s'], { value_string: { kind: 'string', value: 'a' } }), relu];
    expect(run({ outputs: [outputs[0], value('s', 'string', [])], nodes }).get('s')?.strings).toEqual(['a']);
  });
});

describe('functions of other versions than the model', () => {
  // Up to 12, Softmax flattens all axes from `axis` on; since 13 it runs along one.
  const softmax = (version: number): WritableFunction => ({
    name: 'Soft',
    domain: 'f',
    inputs: ['a'],
    outputs: ['b'],
    attributes: ['axis'],
    nodes: [node('Softmax', ['a'], ['b'], { axis: { kind: 'ref', value: 'axis', type: 2 } })],
    opsets: new Map([['', version]]),
  });
  const ones = fromNumbers('f32', [1, 2, 3], [1, 1, 1, 1, 1, 1]);
  const model = (version: number): Parts => ({
    model: { opsets: new Map([['', 17]]).set('f', 1), functions: [softmax(version)] },
    inputs: [f32('x', 1, 2, 3)],
    outputs: [f32('y', 1, 2, 3), f32('z', 1, 2, 3)],
    nodes: [
      node('Soft', ['x'], ['y'], { axis: int(1) }, { domain: 'f' }),
      node('Softmax', ['x'], ['z'], { axis: int(1) }),
    ],
  });
  const sixth = new Array<number>(6).fill(Math.fround(1 / 6));
  const half = new Array<number>(6).fill(0.5);

  test.each([
    [12, sixth],
    [13, half],
  ])('a body of opset %i in a model of 17', (version, expected) => {
    const result = run(model(version), { x: ones });
    expect(numbers(result.get('y'))).toEqual(expected);
    expect(numbers(result.get('z'))).toEqual(half);
  });

  test('written and read again, each op means what it did', () => {
    const { graph: imported } = importOnnx(openModelBytes(encoded(model(12))));
    expect(imported.ops.map(({ kind, version }) => `${kind} ${version}`).sort()).toEqual(['Softmax 12', 'Softmax 17']);
    const path = join(folder, 'versions.onnx');
    writeModel(path, exportModel(imported, 'test'));
    const opened = openModel(path);
    expect([...opened.opsets]).toEqual([
      ['', 17],
      ['wafc.versions', 1],
    ]);
    opened.close();
    const result = runGraph(importModel(path).graph, new Map([['x', ones]]));
    expect([numbers(result.get('y')), numbers(result.get('z'))]).toEqual([sixth, half]);
  });

  test('a model of one version needs no functions', () => {
    const { graph: imported } = importOnnx(openModelBytes(encoded(model(17))));
    expect(exportModel(imported, 'test').functions).toBeUndefined();
  });

  test('functions that call functions each have their own', () => {
    const outer: WritableFunction = {
      name: 'Outer',
      domain: 'f',
      inputs: ['p'],
      outputs: ['q'],
      nodes: [
        node('Soft', ['p'], ['r'], { axis: int(1) }, { domain: 'f' }),
        node('Softmax', ['r'], ['q'], { axis: int(1) }),
      ],
      opsets: new Map([['', 13]]).set('f', 1),
    };
    const parts = model(12);
    const nested: Parts = {
      ...parts,
      model: { ...parts.model, functions: [outer, softmax(12)] },
      outputs: [f32('y', 1, 2, 3)],
      nodes: [node('Outer', ['x'], ['y'], {}, { domain: 'f' })],
    };
    const { graph: imported } = importOnnx(openModelBytes(encoded(nested)));
    expect(imported.ops.map(({ kind, version }) => `${kind} ${version}`)).toEqual(['Softmax 12', 'Softmax 13']);
    expect(numbers(run(nested, { x: ones }).get('y'))).toEqual(half);
  });

  test('a domain that only the function imports', () => {
    const gelu: WritableFunction = {
      name: 'G',
      domain: 'f',
      inputs: ['a'],
      outputs: ['b'],
      nodes: [node('Gelu', ['a'], ['b'], {}, { domain: 'com.microsoft' })],
      opsets: new Map([['com.microsoft', 1]]),
    };
    const parts: Parts = {
      model: { opsets: new Map([['f', 1]]), functions: [gelu] },
      nodes: [node('G', ['x'], ['y'], {}, { domain: 'f' })],
    };
    expect(numbers(run(parts).get('y')).map((v) => Math.round(v * 1e4))).toEqual([8413, -455, 29960, -1, 50000, -0]);
  });
});

test('an output of another shape than declared is a warning', () => {
  const bytes = encoded({ outputs: [f32('y', 2, 4)], nodes: [node('Relu', ['x'], ['y'])] });
  expect(importOnnx(openModelBytes(bytes)).diagnostics).toEqual([
    {
      code: 'onnx/output-shape',
      severity: 'warning',
      message: 'graph output y: expected f32[2,4] as declared, found f32[2,3]',
      where: 'graph output 0',
    },
  ]);
});

test('nodes in any order, and nodes that nothing reads', () => {
  const nodes = [node('Neg', ['b'], ['y']), node('Relu', ['x'], ['unused']), node('Abs', ['x'], ['b'])];
  const { graph: imported } = importOnnx(openModelBytes(encoded({ nodes })));
  expect(imported.ops.map((op) => op.kind)).toEqual(['Abs', 'Neg']);
});

test('integers keep to their op at every version', () => {
  // Clip took attributes until 11, and inputs since.
  const parts: Parts = {
    model: { opsets: new Map([['', 10]]) },
    nodes: [node('Clip', ['x'], ['y'], { min: { kind: 'float', value: -1 }, max: { kind: 'float', value: 2 } })],
  };
  expect(numbers(run(parts).get('y'))).toEqual([1, -1, 2, -1, 2, -1]);
  const inputs = [f32('x', 2, 3), i64('k', 2)];
  const since: Parts = {
    inputs,
    initializers: [tensor('low', 'i64', [], [0]), tensor('high', 'i64', [], [9])],
    outputs: [f32('y', 2, 3), i64('z', 2)],
    nodes: [node('Relu', ['x'], ['y']), node('Clip', ['k', 'low', 'high'], ['z'])],
  };
  expect(numbers(run(since, { x: X, k: fromNumbers('i64', [2], [-5, 50]) }).get('z'))).toEqual([0, 9]);
});
