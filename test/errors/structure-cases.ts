/** Bad models: names, ops, operands, bodies, and graphs as a whole. */
import {
  body,
  branch,
  type Cases,
  CONDITION,
  conditional,
  f32,
  graph,
  i64,
  ints,
  importsWith,
  int,
  mismatch,
  node,
  tensor,
  value,
} from './bad-models.ts';

const READ = 'every value that is read must be a graph input, an initializer, or the output of a node';

export const STRUCTURE_CASES: Cases = {
  names: [
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
  ],
  'ops and versions': [
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
  ],
  'operands and attributes': [
    [
      'an operand too few',
      { nodes: [node('MatMul', ['x'], ['y'])] },
      mismatch('MatMul', 'an input', 'none', 'input 1'),
    ],
    [
      'an operand left out',
      { nodes: [node('MatMul', ['', 'x'], ['y'])] },
      mismatch('MatMul', 'an input', 'none', 'input 0'),
    ],
    [
      'an operand of arithmetic that is missing',
      { nodes: [node('Mul', ['x'], ['y'])] },
      mismatch('Mul', 'an input', 'none', 'input 1'),
    ],
    [
      'an operand among optional ones that is missing',
      { nodes: [node('RotaryEmbedding', ['x', 'x'], ['y'])], model: { opsets: new Map([['', 23]]) } },
      mismatch('RotaryEmbedding', 'an input', 'none', 'input 2'),
    ],
    [
      'an operand that was an attribute once',
      { nodes: [node('Unsqueeze', ['x'], ['y'], { axes: ints(0) })] },
      mismatch('Unsqueeze', 'an input', 'none', 'input 1'),
    ],
    [
      'an operand after optional ones that is missing',
      {
        inputs: [i64('ids', 2, 3), f32('x', 2, 3)],
        nodes: [node('EmbedLayerNormalization', ['ids', '', 'x'], ['y'], {}, { domain: 'com.microsoft' })],
        model: { opsets: importsWith('com.microsoft') },
      },
      {
        ...mismatch('com.microsoft.EmbedLayerNormalization', 'an input', 'none', 'input 3'),
        node: 'the EmbedLayerNormalization',
      },
    ],
    [
      'a zero point that is no number',
      {
        inputs: [f32('x', 2, 3), f32('s'), value('z', 'bool', [])],
        nodes: [node('QuantizeLinear', ['x', 's', 'z'], ['y'])],
      },
      mismatch('QuantizeLinear', 'numbers', 'bool', 'input 2 (z: bool[])'),
    ],
    [
      'a range without end',
      {
        initializers: [tensor('s', 'i64', [], [0])],
        nodes: [node('Range', ['s', 's', 's'], ['y'])],
      },
      mismatch('Range', 'a step other than 0', '0', 'input 2 (s: i64[])'),
    ],
    [
      'integers in an op of onnxruntime',
      {
        inputs: [i64('x', 2, 3)],
        nodes: [node('QuickGelu', ['x'], ['y'], {}, { domain: 'com.microsoft' })],
        model: { opsets: importsWith('com.microsoft') },
      },
      { ...mismatch('com.microsoft.QuickGelu', 'floats', 'i64', 'input 0 (x: i64[2,3])'), node: 'the QuickGelu' },
    ],
    [
      'a shape below 0',
      {
        initializers: [tensor('s', 'i64', [2], [2, -3])],
        nodes: [node('ConstantOfShape', ['s'], ['y'])],
      },
      mismatch('ConstantOfShape', 'dims of at least 0', '[2,-3]', 'input 0 (s: i64[2])'),
    ],
    [
      'lists of different lengths',
      {
        inputs: [f32('x', 'n', 3)],
        initializers: [tensor('starts', 'i64', [2], [0, 0]), tensor('ends', 'i64', [1], [1])],
        nodes: [node('Slice', ['x', 'starts', 'ends'], ['y'])],
      },
      mismatch('Slice', '2 of each list', '1', 'input 2 (ends: i64[1])'),
    ],
    [
      'more dims than any tensor has',
      { inputs: [f32('x', 2, 3), i64('s', 2 ** 40)], nodes: [node('Reshape', ['x', 's'], ['y'])] },
      mismatch('Reshape', 'a list of at most 1024 dims', '1099511627776', 'input 1 (s: i64[1099511627776])'),
    ],
    [
      'an operand beyond the optional ones',
      { nodes: [node('Clip', ['x', '', '', 'x'], ['y'])] },
      mismatch('Clip', 'at most 3 inputs', '4', 'input 3 (x: f32[2,3])'),
    ],
    [
      'axes that are no integers',
      { nodes: [node('ReduceSum', ['x', 'x'], ['y'])] },
      mismatch('ReduceSum', 'integers', 'f32', 'input 1 (x: f32[2,3])'),
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
      {
        code: 'onnx/attribute',
        message: 'Concat: attribute axis: expected an integer, found none',
        node: 'the Concat',
      },
    ],
  ],
  'bodies and functions': [
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
  ],
  graphs: [
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
  ],
};
