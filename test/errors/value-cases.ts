/** Bad models: element types, shapes and sizes of values. */
import { bytes, modelProto, tensorProto } from '../onnx/support.ts';
import {
  branch,
  type Cases,
  conditional,
  f32,
  i64,
  importsWith,
  int,
  ints,
  mismatch,
  node,
  tensor,
  value,
} from './bad-models.ts';

export const VALUE_CASES: Cases = {
  'element types': [
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
  ],
  shapes: [
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
  ],
  sizes: [
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
  ],
};
