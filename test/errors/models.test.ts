/** One bad model each, and what is said of it in full: code, node, op, place, what was expected and found. */
import { describe, expect, test } from 'vitest';
import { Diagnosed, type Diagnostic } from '../../src/diag/diagnostic.ts';
import { importOnnx } from '../../src/frontend/import.ts';
import { openModelBytes } from '../../src/onnx/reader.ts';
import type { WritableAttribute } from '../../src/onnx/writer.ts';
import { bytes, modelProto, tensorProto } from '../onnx/support.ts';
import { body, encoded, f32, graph, i64, int, ints, node, type Parts, tensor, value } from './bad-models.ts';

type Expected = Omit<Diagnostic, 'severity'>;
type Case = readonly [name: string, model: Parts | Uint8Array, ...expected: Expected[]];

function diagnose(model: Parts | Uint8Array): readonly Diagnostic[] {
  try {
    importOnnx(openModelBytes(model instanceof Uint8Array ? model : encoded(model)));
    return [];
  } catch (error) {
    if (error instanceof Diagnosed) return error.diagnostics;
    throw error; // anything else is a fault of wafc
  }
}

function table(title: string, cases: readonly Case[]): void {
  describe(title, () => {
    for (const [name, model, ...expected] of cases)
      test(name, () => expect(diagnose(model)).toEqual(expected.map((d) => ({ severity: 'error', ...d }))));
  });
}

const mismatch = (op: string, expected: string, found: string, where?: string): Expected => ({
  code: 'onnx/type-mismatch',
  message: `${op} expects ${expected}, found ${found}`,
  node: `the ${op}`,
  ...(where === undefined ? {} : { where }),
});
const importsWith = (domain: string): ReadonlyMap<string, number> =>
  new Map([
    ['', 17],
    [domain, 1],
  ]);
const READ = 'every value that is read must be a graph input, an initializer, or the output of a node';
const CONDITION = value('c', 'bool', []);
const branch = (op: string, attributes: Record<string, WritableAttribute> = {}, input = 'x'): WritableAttribute =>
  body(graph({ name: op, nodes: [node(op, [input], [`${op}_out`], attributes)], outputs: [{ name: `${op}_out` }] }));
const conditional = (then_branch: WritableAttribute, else_branch: WritableAttribute): Parts => ({
  inputs: [f32('x', 2, 3), CONDITION],
  nodes: [node('If', ['c'], ['y'], { then_branch, else_branch })],
});

table('element types', [
  [
    'two types where one is needed',
    { inputs: [f32('x', 2, 3), i64('k', 2, 3)], nodes: [node('Add', ['x', 'k'], ['y'])] },
    mismatch('Add', 'f32', 'i64', 'input 1 (k: i64[2,3])'),
  ],
  [
    'booleans in arithmetic',
    { inputs: [value('k', 'bool', [3, 3])], nodes: [node('MatMul', ['k', 'k'], ['y'])] },
    mismatch('MatMul', 'numbers', 'bool', 'input 0 (k: bool[3,3])'),
  ],
  [
    'strings where numbers are computed',
    { inputs: [value('x', 'string', [2, 3])], nodes: [node('Relu', ['x'], ['y'])] },
    mismatch('Relu', 'numbers', 'string', 'input 0 (x: string[2,3])'),
  ],
  [
    'integers where floats are',
    { inputs: [i64('x', 2, 3)], nodes: [node('Softmax', ['x'], ['y'])] },
    mismatch('Softmax', 'floats', 'i64', 'input 0 (x: i64[2,3])'),
  ],
  [
    'floats as indices',
    { inputs: [f32('x', 2, 3), f32('k', 2)], nodes: [node('Gather', ['x', 'k'], ['y'])] },
    mismatch('Gather', 'integers', 'f32', 'input 1 (k: f32[2])'),
  ],
  [
    'a condition that is none',
    {
      ...conditional(branch('Relu'), branch('Neg')),
      inputs: [f32('x', 2, 3), i64('c')],
    },
    mismatch('If', 'booleans', 'i64', 'input 0 (c: i64[])'),
  ],
  [
    'Cast to what does not exist',
    { nodes: [node('Cast', ['x'], ['y'], { to: int(99) })] },
    mismatch('Cast', 'a supported element type in attribute to', 'code 99'),
  ],
  [
    'an output declared as another type',
    { outputs: [i64('y', 2, 3)], nodes: [node('Relu', ['x'], ['y'])] },
    {
      code: 'onnx/type-mismatch',
      message: 'graph output y: expected i64[2,3] as declared, found f32[2,3]',
      where: 'graph output 0',
    },
  ],
  [
    'a default of another type than its input',
    {
      inputs: [f32('x', 2, 3), f32('w', 5)],
      initializers: [tensor('w', 'f32', [3])],
      nodes: [node('Add', ['x', 'w'], ['y'])],
    },
    {
      code: 'onnx/type-mismatch',
      message: 'graph input w: expected f32[5] as declared, found an initializer f32[3]',
      where: 'graph input 1 (w)',
    },
  ],
  [
    'complex numbers',
    modelProto(bytes(5, tensorProto('w', 14, [1], bytes(9, new Uint8Array(8))))),
    {
      code: 'onnx/dtype',
      message: 'tensor w has complex64, which is not supported',
      notes: ['supported: float64/32/16, bfloat16, float8, float6, float4, (u)int64/32/16/8/4/2, bool, string'],
    },
  ],
]);

table('shapes', [
  [
    'a product whose inner extents differ',
    { initializers: [tensor('w', 'f32', [4, 3])], nodes: [node('MatMul', ['x', 'w'], ['y'])] },
    mismatch('MatMul', 'inner extent [3] to match [2,3]', '[4,3]', 'input 1 (w: f32[4,3])'),
  ],
  [
    'a rank too many',
    {
      inputs: [f32('x', 2, 3, 4)],
      initializers: [tensor('w', 'f32', [4, 3])],
      nodes: [node('Gemm', ['x', 'w'], ['y'])],
    },
    mismatch('Gemm', 'a matrix', '[2,3,4]', 'input 0 (x: f32[2,3,4])'),
  ],
  [
    'a rank too few',
    { initializers: [tensor('w', 'f32', [4, 3])], nodes: [node('Conv', ['x', 'w'], ['y'])] },
    mismatch('Conv', 'rank 3 or more', '[2,3]', 'input 0 (x: f32[2,3])'),
  ],
  [
    'a gain that does not broadcast',
    { initializers: [tensor('w', 'f32', [4])], nodes: [node('LayerNormalization', ['x', 'w'], ['y'])] },
    mismatch('LayerNormalization', 'a shape that broadcasts to [3]', '[4]', 'input 1 (w: f32[4])'),
  ],
  [
    'operands that do not broadcast',
    { initializers: [tensor('w', 'f32', [2])], nodes: [node('Add', ['x', 'w'], ['y'])] },
    mismatch('Add', 'a shape that broadcasts with [2,3]', '[2]', 'input 1 (w: f32[2])'),
  ],
  [
    'Reshape to another number of elements',
    { initializers: [tensor('s', 'i64', [2], [2, 4])], nodes: [node('Reshape', ['x', 's'], ['y'])] },
    mismatch('Reshape', 'as many elements as in [2,4]', '[2,3]', 'input 0 (x: f32[2,3])'),
  ],
  [
    'Reshape by a rest that is no whole number',
    { initializers: [tensor('s', 'i64', [2], [4, -1])], nodes: [node('Reshape', ['x', 's'], ['y'])] },
    mismatch('Reshape', 'as many elements as in [4,-1]', '[2,3]', 'input 0 (x: f32[2,3])'),
  ],
  [
    'Reshape with two rests',
    { initializers: [tensor('s', 'i64', [2], [-1, -1])], nodes: [node('Reshape', ['x', 's'], ['y'])] },
    mismatch('Reshape', 'at most one -1', '[-1,-1]', 'input 1 (s: i64[2])'),
  ],
  [
    'Concat of dims that disagree',
    { initializers: [tensor('w', 'f32', [3, 4])], nodes: [node('Concat', ['x', 'w'], ['y'], { axis: int(0) })] },
    mismatch('Concat', 'f32[2,3] but for axis 0', 'f32[3,4]', 'input 1 (w: f32[3,4])'),
  ],
  [
    'Concat of ranks that disagree',
    { initializers: [tensor('w', 'f32', [3])], nodes: [node('Concat', ['x', 'w'], ['y'], { axis: int(0) })] },
    mismatch('Concat', 'f32[2,3] but for axis 0', 'f32[3]', 'input 1 (w: f32[3])'),
  ],
  [
    'an axis out of range',
    { nodes: [node('Softmax', ['x'], ['y'], { axis: int(2) })] },
    mismatch('Softmax', 'an axis in -2..1', '2'),
  ],
  [
    'a permutation that is none',
    { nodes: [node('Transpose', ['x'], ['y'], { perm: ints(0, 0) })] },
    mismatch('Transpose', 'perm: a permutation of 0..1', '[0,0]'),
  ],
  [
    'Squeeze of a dim that is not 1',
    { initializers: [tensor('a', 'i64', [1], [0])], nodes: [node('Squeeze', ['x', 'a'], ['y'])] },
    mismatch('Squeeze', '1 at axis 0', '2', 'input 0 (x: f32[2,3])'),
  ],
  [
    'Split into parts that do not add up',
    { initializers: [tensor('a', 'i64', [2], [1, 3])], nodes: [node('Split', ['x', 'a'], ['y', 'z'])] },
    mismatch('Split', 'parts that add up to 2', '[1,3]', 'input 0 (x: f32[2,3])'),
  ],
  [
    'an index out of range',
    { initializers: [tensor('a', 'i64', [1], [7])], nodes: [node('Gather', ['x', 'a'], ['y'])] },
    mismatch('Gather', 'indices in -2..1', '7', 'input 1 (a: i64[1])'),
  ],
  [
    'quantized codes of another size than K, N and bits say',
    {
      model: { opsets: importsWith('com.microsoft') },
      initializers: [tensor('q', 'u8', [3, 1, 8]), tensor('s', 'f32', [3])],
      nodes: [
        node(
          'MatMulNBits',
          ['x', 'q', 's'],
          ['y'],
          { K: int(3), N: int(3), bits: int(4), block_size: int(32) },
          { domain: 'com.microsoft' },
        ),
      ],
    },
    {
      ...mismatch('com.microsoft.MatMulNBits', '48 bytes of codes', '24', 'input 1 (q: u8[3,1,8])'),
      node: 'the MatMulNBits',
    },
  ],
]);

table('sizes', [
  [
    'an input of more elements than can be counted',
    { inputs: [f32('x', 2 ** 40, 2 ** 40)], nodes: [node('Relu', ['x'], ['y'])] },
    {
      code: 'onnx/tensor-shape',
      message: 'graph input x has more elements than can be counted: f32[1099511627776,1099511627776]',
      where: 'graph input 0 (x)',
    },
  ],
  [
    'a result of more elements than can be counted',
    {
      inputs: [f32('x', 2 ** 30, 1), f32('k', 1, 2 ** 30)],
      nodes: [node('Add', ['x', 'k'], ['y'])],
      outputs: [{ name: 'y' }],
    },
    mismatch('Add', 'a result of less than 2^53 elements', 'f32[1073741824,1073741824]'),
  ],
  [
    'an initializer whose dims overflow',
    modelProto(bytes(5, tensorProto('w', 1, [2 ** 31, 2 ** 31], bytes(9, new Uint8Array(4))))),
    { code: 'onnx/tensor-shape', message: 'tensor w has the absurd shape [2147483648,2147483648]' },
  ],
  [
    'an initializer with a negative dim',
    modelProto(bytes(5, tensorProto('w', 1, [-3], bytes(9, new Uint8Array(4))))),
    { code: 'onnx/tensor-shape', message: 'tensor w has a dimension of -3 in [-3]' },
  ],
  [
    'an input with a negative dim',
    { inputs: [f32('x', 2, -3)], nodes: [node('Relu', ['x'], ['y'])] },
    { code: 'onnx/tensor-shape', message: 'value x has a dimension of -3' },
  ],
  [
    'an initializer with fewer bytes than its shape needs',
    modelProto(bytes(5, tensorProto('w', 1, [2, 3], bytes(9, new Uint8Array(20))))),
    { code: 'onnx/tensor-data', message: 'tensor w of type f32[2,3] needs 24 bytes and has 20 bytes' },
  ],
  [
    'an initializer with more elements than its shape has',
    modelProto(bytes(5, tensorProto('w', 7, [2], bytes(7, [1, 2, 3])))),
    { code: 'onnx/tensor-data', message: 'tensor w needs 2 elements of i64 and has more' },
  ],
]);

table('names', [
  [
    'a name that nothing defines',
    { initializers: [tensor('weights', 'f32', [3])], nodes: [node('Add', ['x', 'weigths'], ['y'])] },
    {
      code: 'onnx/dangling',
      message: 'value weigths is read but never defined',
      node: 'the Add',
      where: 'input 1 of Add',
      notes: [READ, "did you mean 'weights'?"],
    },
  ],
  [
    'an output that is never produced',
    { nodes: [node('Relu', ['x'], ['result'])] },
    {
      code: 'onnx/dangling',
      message: 'value y is never produced',
      where: 'graph output 0',
      notes: [READ, "did you mean 'x'?"],
    },
  ],
  [
    'a body that captures what nobody defines',
    conditional(branch('Relu', {}, 'ghost'), branch('Neg')),
    {
      code: 'onnx/dangling',
      message: 'value ghost is read but never defined',
      node: 'the Relu',
      where: 'input 0 of Relu',
      notes: [READ],
    },
  ],
  [
    'a cycle',
    { nodes: [node('Add', ['x', 'b'], ['a']), node('Relu', ['a'], ['b']), node('Neg', ['b'], ['y'])] },
    {
      code: 'onnx/cycle',
      message: 'Relu depends on its own output b',
      node: 'the Relu',
      notes: ['it reads, in turn, from: the Add, the Relu'],
    },
  ],
  [
    'a node that reads its own output',
    { nodes: [node('Add', ['x', 'y'], ['y'])] },
    {
      code: 'onnx/cycle',
      message: 'Add depends on its own output y',
      node: 'the Add',
      notes: ['it reads, in turn, from: the Add'],
    },
  ],
  [
    'two nodes with one output',
    { nodes: [node('Relu', ['x'], ['y']), node('Neg', ['x'], ['y'])] },
    { code: 'onnx/duplicate-value', message: 'value y is defined twice', node: 'the Neg', where: 'output 0' },
  ],
  [
    'a node with one output twice',
    { nodes: [node('Split', ['x'], ['y', 'y'])] },
    { code: 'onnx/duplicate-value', message: 'value y is defined twice', node: 'the Split', where: 'output 1' },
  ],
  [
    'a node that defines an input again',
    { nodes: [node('Relu', ['x'], ['x']), node('Neg', ['x'], ['y'])] },
    { code: 'onnx/duplicate-value', message: 'value x is defined twice', node: 'the Relu', where: 'output 0' },
  ],
  [
    'a node that defines an initializer again',
    {
      initializers: [tensor('w', 'f32', [2, 3])],
      nodes: [node('Relu', ['x'], ['w']), node('Neg', ['w'], ['y'])],
    },
    { code: 'onnx/duplicate-value', message: 'value w is defined twice', node: 'the Relu', where: 'output 0' },
  ],
  [
    'an initializer given twice',
    {
      initializers: [tensor('w', 'f32', [2, 3]), tensor('w', 'f32', [3])],
      nodes: [node('Add', ['x', 'w'], ['y'])],
    },
    { code: 'onnx/duplicate-value', message: 'value w is defined twice', where: 'initializer' },
  ],
  [
    'an input listed twice',
    { inputs: [f32('x', 2, 3), f32('x', 2, 3)], nodes: [node('Relu', ['x'], ['y'])] },
    { code: 'onnx/duplicate-value', message: 'value x is defined twice', where: 'graph input 1' },
  ],
]);

table('ops and versions', [
  [
    'an op that does not exist',
    { nodes: [node('Sofmax', ['x'], ['y'])] },
    {
      code: 'onnx/unsupported-op',
      message: 'Sofmax (opset 17) is not supported',
      node: 'the Sofmax',
      notes: ['nearest supported: Softmax'],
    },
  ],
  [
    'an op of a domain of its own',
    { model: { opsets: importsWith('my.ops') }, nodes: [node('Relu', ['x'], ['y'], {}, { domain: 'my.ops' })] },
    {
      code: 'onnx/unsupported-op',
      message: 'my.ops.Relu (opset 1) is not supported',
      node: 'the Relu',
      notes: ['nearest supported: Relu, Celu, Elu'],
    },
  ],
  [
    'all ops that do not exist, once each',
    { nodes: [node('Foo', ['x'], ['a']), node('Foo', ['a'], ['b']), node('Barbaric', ['b'], ['y'])] },
    {
      code: 'onnx/unsupported-op',
      message: 'Foo (opset 17) is not supported',
      node: 'the Foo',
      notes: ['2 nodes use it; the first is named above'],
    },
    { code: 'onnx/unsupported-op', message: 'Barbaric (opset 17) is not supported', node: 'the Barbaric' },
  ],
  [
    'an opset that is too old',
    { model: { opsets: new Map([['', 5]]) }, nodes: [node('Add', ['x', 'x'], ['y'])] },
    {
      code: 'onnx/unsupported-op',
      message: 'Add at opset 5 is older than what is supported (7)',
      node: 'the Add',
      notes: ['convert the model: onnx.version_converter.convert_version(model, 7) or later'],
    },
  ],
  [
    'no opset import at all',
    { model: { opsets: new Map() }, nodes: [node('Relu', ['x'], ['y'])] },
    {
      code: 'onnx/no-opset',
      message: 'Relu is of domain ai.onnx, of which the model imports no opset version',
      node: 'the Relu',
      notes: ['found imports: none'],
    },
  ],
  [
    'no opset import of a domain',
    { nodes: [node('Gelu', ['x'], ['y'], {}, { domain: 'com.microsoft' })] },
    {
      code: 'onnx/no-opset',
      message: 'com.microsoft.Gelu is of domain com.microsoft, of which the model imports no opset version',
      node: 'the Gelu',
      notes: ['found imports: ai.onnx 17'],
    },
  ],
]);

table('operands and attributes', [
  ['an operand too few', { nodes: [node('MatMul', ['x'], ['y'])] }, mismatch('MatMul', 'an input', 'none', 'input 1')],
  [
    'an operand left out',
    { nodes: [node('MatMul', ['', 'x'], ['y'])] },
    mismatch('MatMul', 'an input', 'none', 'input 0'),
  ],
  [
    'an operand too many',
    { nodes: [node('Relu', ['x', 'x'], ['y'])] },
    mismatch('Relu', '1 input', '2', 'input 1 (x: f32[2,3])'),
  ],
  [
    'an output too many',
    { nodes: [node('Relu', ['x'], ['y', 'z'])] },
    mismatch('Relu', 'at most 1 outputs', 'output 1 (z)'),
  ],
  [
    'an attribute of another kind',
    { nodes: [node('Softmax', ['x'], ['y'], { axis: { kind: 'string', value: 'last' } })] },
    {
      code: 'onnx/attribute',
      message: 'Softmax: attribute axis: expected an integer, found string last',
      node: 'the Softmax',
    },
  ],
  [
    'a fraction where an integer is needed',
    { nodes: [node('Softmax', ['x'], ['y'], { axis: { kind: 'float', value: 1.5 } })] },
    {
      code: 'onnx/attribute',
      message: 'Softmax: attribute axis: expected an integer, found number 1.5',
      node: 'the Softmax',
    },
  ],
  [
    'a body where a number is needed',
    { nodes: [node('Softmax', ['x'], ['y'], { axis: branch('Relu') })] },
    {
      code: 'onnx/attribute',
      message: 'Softmax: attribute axis: expected an integer, found a graph',
      node: 'the Softmax',
    },
  ],
  [
    'an attribute that nothing takes',
    { nodes: [node('Softmax', ['x'], ['y'], { axis: { kind: 'tensors', value: [] } })] },
    {
      code: 'onnx/attribute',
      message: 'Softmax: attribute axis: expected a number, a string, a tensor or a graph, found tensors',
      node: 'the Softmax',
    },
  ],
  [
    'an attribute that is missing',
    { nodes: [node('Concat', ['x', 'x'], ['y'])] },
    { code: 'onnx/attribute', message: 'Concat: attribute axis: expected an integer, found none', node: 'the Concat' },
  ],
]);

table('bodies and functions', [
  [
    'branches of different types',
    conditional(branch('Relu'), branch('Cast', { to: int(7) })),
    mismatch('If', 'f32[2,3] on both ways to output 0', 'i64[2,3]'),
  ],
  [
    'a branch without outputs',
    conditional(branch('Relu'), body(graph({}))),
    mismatch('If', '1 outputs of else_branch', '0'),
  ],
  [
    'a branch that is missing',
    { inputs: [f32('x', 2, 3), CONDITION], nodes: [node('If', ['c'], ['y'], { then_branch: branch('Relu') })] },
    { code: 'onnx/attribute', message: 'If: attribute else_branch: expected a graph, found none', node: 'the If' },
  ],
  [
    'a fault in a body is told once, of the node in it',
    conditional(branch('Relu'), branch('Softmax', { axis: int(9) })),
    mismatch('Softmax', 'an axis in -2..1', '9'),
  ],
  [
    'a loop whose body forgets what it carries',
    {
      initializers: [tensor('n', 'i64', [], [3]), tensor('go', 'bool', [], [1])],
      nodes: [
        node('Loop', ['n', 'go', 'x'], ['y'], {
          body: body(
            graph({
              inputs: [i64('i'), value('k', 'bool', []), f32('s', 2, 3)],
              nodes: [node('Identity', ['k'], ['k2'])],
              outputs: [value('k2', 'bool', [])],
            }),
          ),
        }),
      ],
    },
    mismatch('Loop', '2 outputs of body', '1'),
  ],
  [
    'a function called with an operand too many',
    {
      model: {
        opsets: importsWith('f'),
        functions: [
          {
            name: 'Twice',
            domain: 'f',
            inputs: ['a'],
            outputs: ['b'],
            nodes: [node('Add', ['a', 'a'], ['b'])],
            opsets: new Map([['', 17]]),
          },
        ],
      },
      nodes: [node('Twice', ['x', 'x'], ['y'], {}, { domain: 'f' })],
    },
    {
      code: 'onnx/function-call',
      message: 'Twice is a function of the model: expected at most 1 inputs, found 2',
      node: 'the Twice',
    },
  ],
]);

table('graphs', [
  ['without anything', { inputs: [], outputs: [] }, { code: 'onnx/no-output', message: 'graph g has no outputs' }],
  [
    'without outputs',
    { outputs: [], nodes: [node('Relu', ['x'], ['y'])] },
    { code: 'onnx/no-output', message: 'graph g has no outputs' },
  ],
  [
    'with an input of no type',
    { inputs: [{ name: 'x' }], nodes: [node('Relu', ['x'], ['y'])] },
    {
      code: 'onnx/input-type',
      message: 'graph input x: expected a tensor of known rank, found unknown',
      where: 'graph input 0 (x)',
      notes: ['export the model with typed inputs'],
    },
  ],
  [
    'with an input of no rank',
    { inputs: [{ name: 'x', kind: 'tensor', dtype: 'f32' }], nodes: [node('Relu', ['x'], ['y'])] },
    {
      code: 'onnx/input-type',
      message: 'graph input x: expected a tensor of known rank, found no shape',
      where: 'graph input 0 (x)',
      notes: ['export the model with typed inputs'],
    },
  ],
  ['that hand an input on are valid', { outputs: [f32('x', 2, 3)] }],
]);

const external = (...entries: [string, string][]): Uint8Array =>
  modelProto(
    bytes(5, tensorProto('w', 1, [2], ...entries.map(([k, v]) => bytes(13, bytes(1, k), bytes(2, v))), [14 * 8, 1])),
  );
const outside = (message: string, where?: string): Expected => ({
  code: 'onnx/external-path',
  message,
  ...(where === undefined ? {} : { where }),
});

table('external data', [
  [
    'of a model without a folder',
    external(['location', 'weights.bin']),
    outside('tensor w is in the file weights.bin, but a model from memory has no folder to look in'),
  ],
]);

describe('external data beside a file', () => {
  const diagnoseIn = (model: Uint8Array): readonly Diagnostic[] => {
    try {
      openModelBytes(model, import.meta.dirname);
      return [];
    } catch (error) {
      if (error instanceof Diagnosed) return error.diagnostics;
      throw error;
    }
  };
  const path = "it must be a relative path inside the model's folder";
  test.each([
    ['no location', external(), outside(`the location of tensor w is empty; ${path}`, '')],
    [
      '/etc/passwd',
      external(['location', '/etc/passwd']),
      outside(`the location of tensor w is an absolute path; ${path}`, '/etc/passwd'),
    ],
    [
      '../secret',
      external(['location', '../secret']),
      outside(`the location of tensor w leaves the model's folder; ${path}`, '../secret'),
    ],
    [
      'beyond the end',
      external(['location', 'bad-models.ts'], ['offset', '900000']),
      {
        code: 'onnx/external-range',
        message: expect.stringMatching(/^tensor w is bytes 900000 \.\. 900008 of bad-models\.ts, which has \d+$/),
      },
    ],
    [
      'another length',
      external(['location', 'bad-models.ts'], ['length', '4']),
      { code: 'onnx/external-range', message: 'tensor w has 4 bytes in bad-models.ts, but its shape needs 8' },
    ],
    [
      'an offset that is no number',
      external(['location', 'bad-models.ts'], ['offset', '-1']),
      { code: 'onnx/external-range', message: 'the offset of tensor w is "-1"; it must be a count of bytes' },
    ],
  ] as [string, Uint8Array, Expected][])('%s', (_, model, expected) => {
    expect(diagnoseIn(model)).toEqual([{ severity: 'error', ...expected }]);
  });
});
