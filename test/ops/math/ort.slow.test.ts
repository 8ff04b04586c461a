/** Every op against onnxruntime, on seeded inputs, at several opsets. */
import { describe, expect, test } from 'vitest';
import type { DType } from '../../../src/ir/types.ts';
import type { Tensor } from '../../../src/tensor/tensor.ts';
import { difference, hasOracle, oracle } from './oracle.ts';
import { type Call, f32, filled, i64, infer, run, typesOf } from './support.ts';

interface Case extends Call {
  readonly inputs: readonly (Tensor | undefined)[];
  readonly label?: string;
}

const cases: Case[] = [];
let seed = 1;
const fill = (dtype: DType, shape: readonly number[], low?: number, high?: number) =>
  filled(dtype, shape, seed++, low, high);

const each = (
  version: readonly number[],
  op: string,
  inputs: readonly (Tensor | undefined)[],
  attrs: Call['attrs'] = {},
  outputs = 1,
) => {
  for (const v of version) cases.push({ op, version: v, attrs, outputs, inputs });
};

// Two operands: every way to broadcast, and the integer types.
const SHAPES: readonly (readonly [readonly number[], readonly number[]])[] = [
  [
    [2, 3, 4],
    [2, 3, 4],
  ],
  [[2, 3, 4], []],
  [[1], [3, 1]],
  [[2, 3, 4], [4]],
  [
    [2, 3, 4],
    [3, 1],
  ],
  [
    [2, 1, 4],
    [1, 3, 1],
  ],
  [[0, 3], [3]],
];
for (const [a, b] of SHAPES) {
  for (const op of ['Add', 'Sub', 'Mul', 'Div']) each([7, 13, 14], op, [fill('f32', a), fill('f32', b, 0.5, 2)]);
  for (const op of ['Less', 'Greater', 'Equal'])
    each([op === 'Equal' ? 11 : 9, 13], op, [fill('f32', a), fill('f32', b)]);
  for (const op of ['And', 'Or', 'Xor']) each([7], op, [fill('bool', a, 0, 2), fill('bool', b, 0, 2)]);
  for (const op of ['Min', 'Max', 'Sum', 'Mean']) each([8, 13], op, [fill('f32', a), fill('f32', b), fill('f32', b)]);
  each([12], 'GreaterOrEqual', [fill('i32', a), fill('i32', b)]);
  each([16], 'LessOrEqual', [fill('i64', a), fill('i64', b)]);
  each([7, 13], 'Pow', [fill('f32', a, 0.1, 2), fill('f32', b)]);
}
for (const dtype of ['i32', 'i64'] as const) {
  for (const op of ['Add', 'Sub', 'Mul', 'Div'])
    each([7, 14], op, [fill(dtype, [40], -100, 100), fill(dtype, [40], 1, 9)]);
  each([13], 'Mod', [fill(dtype, [40], -100, 100), fill(dtype, [40], -9, -1)]);
  each([13], 'Mod', [fill(dtype, [40], -100, 100), fill(dtype, [40], -9, -1)], { fmod: 1 });
  each([12, 13], 'Max', [fill(dtype, [40], -9, 9), fill(dtype, [40], -9, 9)]);
  each([18], 'BitwiseAnd', [fill(dtype, [40], -900, 900), fill(dtype, [40], -900, 900)]);
  each([18], 'BitwiseXor', [fill(dtype, [40], -900, 900), fill(dtype, [40], -900, 900)]);
  each([18], 'BitwiseNot', [fill(dtype, [40], -900, 900)]);
  each([15], 'Pow', [fill(dtype, [40], -9, 9), fill(dtype, [40], 0, 5)]);
  each([6, 13], 'Neg', [fill(dtype, [40], -9, 9)]);
  each([6, 13], 'Abs', [fill(dtype, [40], -9, 9)]);
}
each([14], 'Mul', [fill('i32', [20], -(2 ** 31), 2 ** 31), fill('i32', [20], -(2 ** 31), 2 ** 31)]); // wraps
each([14], 'Add', [fill('u32', [20], 0, 2 ** 32), fill('u32', [20], 0, 2 ** 32)]);
each([18], 'BitwiseNot', [fill('u8', [20], 0, 256)]);
for (const direction of ['LEFT', 'RIGHT'])
  each([11], 'BitShift', [fill('u32', [20], 0, 2 ** 32), fill('u32', [20], 0, 31)], { direction });
for (const direction of ['LEFT', 'RIGHT'])
  each([11], 'BitShift', [fill('u8', [20], 0, 256), fill('u8', [20], 0, 8)], { direction });
each([13], 'Mod', [fill('f32', [20], -9, 9), fill('f32', [20], -4, -1)], { fmod: 1 });
each([7, 9, 16], 'PRelu', [fill('f32', [2, 3, 4]), fill('f32', [3, 1])]);

// One operand.
const X = fill('f32', [3, 50], -4, 4);
for (const op of ['Abs', 'Neg', 'Exp', 'Ceil', 'Floor', 'Relu', 'Sigmoid', 'Tanh', 'Reciprocal'])
  each([6, 13], op, [X]);
for (const op of ['Sqrt', 'Log']) each([6, 13], op, [fill('f32', [50], 0.01, 30)]);
for (const op of ['Sign', 'Erf', 'IsNaN']) each([9, 13], op, [X]);
for (const op of ['Sin', 'Cos', 'Tan', 'Atan']) each([7, 22], op, [X]);
for (const op of ['Asin', 'Acos', 'Atanh']) each([9], op, [fill('f32', [50], -0.99, 0.99)]);
for (const op of ['Sinh', 'Cosh', 'Asinh']) each([9], op, [X]);
each([9], 'Acosh', [fill('f32', [50], 1, 9)]);
each([11], 'Round', [f32([9], [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0.49999997, 8388609, -0.2])]);
each([10], 'IsInf', [f32([4], [1, Infinity, -Infinity, NaN])], { detect_negative: 0 });
for (const op of ['Softplus', 'Softsign']) each([1, 22], op, [X]);
for (const op of ['Elu', 'LeakyRelu', 'ThresholdedRelu', 'Celu'])
  each([op === 'LeakyRelu' ? 16 : 12], op, [X], { alpha: 0.7 });
each([6, 22], 'Selu', [X]);
each([6], 'Selu', [X], { alpha: 1.2, gamma: 0.8 });
each([6, 22], 'HardSigmoid', [X], { alpha: 0.3, beta: 0.4 });
each([14], 'HardSwish', [X]);
each([18], 'Mish', [X]);
each([20], 'Gelu', [X]);
each([20], 'Gelu', [X], { approximate: 'tanh' });
each([9], 'Shrink', [X], { lambd: 1, bias: 0.5 });
each([6], 'Clip', [X], { min: -1, max: 1.5 });
each([11, 12, 13], 'Clip', [X, f32([], [-1]), undefined]);
each([11, 12, 13], 'Clip', [X, undefined, f32([], [0.5])]);
each([12, 13], 'Clip', [fill('i64', [30], -9, 9), i64([], [-2]), i64([], [5])]);
for (const axis of [0, 1, 2, -1]) {
  for (const op of ['Softmax', 'LogSoftmax', 'Hardmax']) each([11, 13], op, [fill('f32', [2, 3, 4])], { axis });
}
for (const op of ['Softmax', 'LogSoftmax', 'Hardmax']) each([7, 11, 13], op, [fill('f32', [2, 3, 4])]);
each([7, 10, 12, 13], 'Dropout', [X]);

// Casts.
const TYPES: readonly DType[] = ['f32', 'f64', 'f16', 'i64', 'i32', 'i16', 'i8', 'u8', 'u16', 'u32', 'u64', 'bool'];
const CODES: Partial<Record<DType, number>> = {
  f32: 1,
  u8: 2,
  i8: 3,
  u16: 4,
  i16: 5,
  i32: 6,
  i64: 7,
  bool: 9,
  f16: 10,
  f64: 11,
  u32: 12,
  u64: 13,
};
for (const from of TYPES) {
  for (const to of TYPES)
    each([to === 'f32' ? 9 : from === 'f32' ? 19 : 13], 'Cast', [fill(from, [30], 0, from === 'bool' ? 2 : 100)], {
      to: CODES[to] ?? 1,
    });
}
each([13], 'Cast', [fill('i64', [30], -70000, 70000)], { to: 3 });
each([13], 'Cast', [fill('i32', [30], -70000, 70000)], { to: 4 });
each([13], 'Cast', [fill('f32', [30], -100, 100)], { to: 6 });
each([15, 19], 'CastLike', [fill('f32', [30], -100, 100), i64([], [0])]);

// Reductions.
for (const op of [
  'ReduceSum',
  'ReduceMean',
  'ReduceMax',
  'ReduceMin',
  'ReduceProd',
  'ReduceL1',
  'ReduceL2',
  'ReduceLogSum',
  'ReduceLogSumExp',
  'ReduceSumSquare',
]) {
  const x = fill('f32', [2, 3, 4, 5], 0.1, 2);
  for (const axes of [[0], [1, 2], [-1], [0, 3], [0, 1, 2, 3], undefined]) {
    for (const keepdims of [0, 1]) {
      const versions = axes?.[0] !== 1 ? [] : op === 'ReduceSum' ? [7, 11] : [7, 11, 13];
      each(versions, op, [x], { axes: [1, 2], keepdims });
      each(op === 'ReduceSum' ? [13] : [18], op, [x, axes && i64([axes.length], axes)], { keepdims });
    }
  }
  each(op === 'ReduceSum' ? [13] : [18], op, [x, i64([0], [])], { noop_with_empty_axes: 0 });
}
for (const op of ['ReduceSum', 'ReduceMax', 'ReduceMin', 'ReduceProd', 'ReduceMean', 'ReduceSumSquare'])
  each([12], op, [fill('i32', [3, 4], -9, 9)], { axes: [1] });
for (const op of ['ArgMax', 'ArgMin']) {
  for (const axis of [0, 1, -1])
    for (const select_last_index of [0, 1])
      each([12, 13], op, [fill('i32', [3, 4, 5], 0, 3)], { axis, select_last_index, keepdims: axis === 1 ? 0 : 1 });
}
for (const largest of [0, 1])
  each([11], 'TopK', [fill('i64', [3, 20, 2], 0, 6), i64([1], [5])], { axis: 1, largest }, 2);
each([10], 'TopK', [fill('f32', [3, 20]), i64([1], [5])], {}, 2);
for (const exclusive of [0, 1])
  for (const reverse of [0, 1])
    each([11, 14], 'CumSum', [fill('f32', [3, 4, 5]), i64([], [-2])], { exclusive, reverse });

// Norms.
for (const axis of [-1, 1, 0]) {
  const inner = axis === -1 ? [5] : axis === 1 ? [4, 5] : [3, 4, 5];
  each(
    [17],
    'LayerNormalization',
    [fill('f32', [3, 4, 5]), fill('f32', inner), fill('f32', inner)],
    { axis, epsilon: 1e-3 },
    3,
  );
  each([17], 'LayerNormalization', [fill('f32', [3, 4, 5]), fill('f32', inner)], { axis });
  each([23], 'RMSNormalization', [fill('f32', [3, 4, 5]), fill('f32', inner)], { axis, epsilon: 1e-3 });
}
const channels = [fill('f32', [4]), fill('f32', [4])];
each([7, 9, 14, 15], 'BatchNormalization', [
  fill('f32', [2, 4, 3, 3]),
  ...channels,
  fill('f32', [4]),
  fill('f32', [4], 0.5, 2),
]);
each([6], 'InstanceNormalization', [fill('f32', [2, 4, 3, 3]), ...channels]);
each([18], 'GroupNormalization', [fill('f32', [2, 4, 3, 3]), fill('f32', [2]), fill('f32', [2])], { num_groups: 2 });
each([21], 'GroupNormalization', [fill('f32', [2, 4, 3, 3]), ...channels], { num_groups: 2 });
for (const p of [1, 2]) each([1], 'LpNormalization', [fill('f32', [2, 3, 4])], { axis: 1, p });
each([9, 13], 'MeanVarianceNormalization', [fill('f32', [2, 3, 4, 5])]);
each([9, 13], 'MeanVarianceNormalization', [fill('f32', [2, 3, 4])], { axes: [2] });

// Products.
const PAIRS: readonly (readonly [readonly number[], readonly number[]])[] = [
  [[5], [5]],
  [[3, 5], [5]],
  [[5], [5, 3]],
  [
    [1, 5],
    [5, 7],
  ],
  [
    [9, 5],
    [5, 7],
  ],
  [
    [2, 9, 5],
    [5, 7],
  ],
  [
    [2, 9, 5],
    [2, 5, 7],
  ],
  [
    [4, 1, 3, 5],
    [2, 5, 6],
  ],
  [
    [2, 5],
    [3, 5, 6],
  ],
  [[3, 2, 5], [5]],
  [
    [0, 5],
    [5, 3],
  ],
  [
    [3, 0],
    [0, 2],
  ],
];
for (const [a, b] of PAIRS) {
  each([7, 9, 13], 'MatMul', [fill('f32', a), fill('f32', b)]);
  each([9], 'MatMul', [fill('i32', a, -9, 9), fill('i32', b, -9, 9)]);
}
for (const transA of [0, 1]) {
  for (const transB of [0, 1]) {
    const a = fill('f32', transA ? [6, 5] : [5, 6]);
    const b = fill('f32', transB ? [7, 6] : [6, 7]);
    for (const c of [[7], [5, 1], [1, 7], [5, 7], []])
      each([7, 9, 11, 13], 'Gemm', [a, b, fill('f32', c)], { transA, transB, alpha: 0.5, beta: 1.5 });
    each([11, 13], 'Gemm', [a, b], { transA, transB });
  }
}
for (const [equation, ...shapes] of [
  ['ij,jk->ik', [3, 4], [4, 5]],
  ['bhid,bhjd->bhij', [2, 3, 4, 5], [2, 3, 6, 5]],
  ['i,j', [3], [4]],
  ['ii->i', [4, 4]],
  ['ij->', [3, 4]],
  ['...ij,...jk->...ik', [2, 3, 4], [2, 4, 5]],
  ['ij,jk,kl->il', [2, 3], [3, 4], [4, 5]],
  ['ba', [3, 4]],
  ['ijk->kij', [2, 3, 4]],
  ['bij,bj->bi', [2, 3, 4], [2, 4]],
] as const)
  each(
    [12],
    'Einsum',
    shapes.map((s) => fill('f32', s)),
    { equation },
  );

// Windows.
const image = fill('f32', [2, 4, 9, 8]);
for (const attrs of [
  {},
  { pads: [1, 1, 1, 1] },
  { strides: [2, 3] },
  { dilations: [2, 1], pads: [2, 0, 1, 1] },
  { auto_pad: 'SAME_UPPER', strides: [2, 2] },
  { auto_pad: 'SAME_LOWER' },
  { auto_pad: 'VALID' },
]) {
  each([7, 11, 22], 'Conv', [image, fill('f32', [6, 4, 3, 2]), fill('f32', [6])], attrs);
  each([11], 'Conv', [image, fill('f32', [6, 2, 3, 2])], { ...attrs, group: 2 });
  each([11], 'Conv', [image, fill('f32', [4, 1, 3, 2])], { ...attrs, group: 4 });
  each(
    [10],
    'ConvInteger',
    [fill('u8', [2, 4, 9, 8], 0, 256), fill('u8', [6, 4, 3, 2], 0, 256), filled('u8', [], 3, 9, 10)],
    attrs,
  );
  each([12], 'MaxPool', [image], { ...attrs, kernel_shape: [3, 2] }, 2);
  if (!('dilations' in attrs)) {
    each([7, 11, 19], 'AveragePool', [image], { ...attrs, kernel_shape: [3, 2] });
    each([11, 19], 'AveragePool', [image], { ...attrs, kernel_shape: [3, 2], count_include_pad: 1 });
    if (!('auto_pad' in attrs))
      each([11, 19], 'AveragePool', [image], { ...attrs, kernel_shape: [3, 2], ceil_mode: 1 });
  }
}
each([11], 'Conv', [fill('f32', [2, 3, 12]), fill('f32', [5, 3, 4]), fill('f32', [5])], { strides: [2], pads: [1, 2] });
each([11], 'Conv', [fill('f32', [1, 2, 5, 6, 7]), fill('f32', [3, 2, 2, 3, 2])], { strides: [1, 2, 1] });
each([8, 12], 'MaxPool', [image], { kernel_shape: [2, 2], storage_order: 1, strides: [2, 2] }, 2);
each([1], 'GlobalAveragePool', [image]);
each([1], 'GlobalMaxPool', [image]);

// Quantization.
const real = fill('f32', [3, 8], -9, 9);
const scalar = f32([], [0.07]);
for (const dtype of ['u8', 'i8'] as const) {
  const zero = filled(dtype, [], 5, 3, 4);
  each([10, 13, 19, 21], 'QuantizeLinear', [real, scalar, zero]);
  each([13, 19, 21], 'QuantizeLinear', [real, fill('f32', [3], 0.05, 0.1), fill(dtype, [3], 0, 9)], { axis: 0 });
  each([21], 'QuantizeLinear', [real, fill('f32', [3, 2], 0.05, 0.1), fill(dtype, [3, 2], 0, 9)], {
    axis: 1,
    block_size: 4,
  });
  each([10, 13, 19, 21], 'DequantizeLinear', [fill(dtype, [3, 8], dtype === 'u8' ? 0 : -128, 127), scalar, zero]);
  each(
    [13, 21],
    'DequantizeLinear',
    [fill(dtype, [3, 8], 0, 127), fill('f32', [8], 0.05, 0.1), fill(dtype, [8], 0, 9)],
    { axis: -1 },
  );
  each([21], 'DequantizeLinear', [fill(dtype, [3, 8], 0, 127), fill('f32', [3, 4], 0.05, 0.1)], {
    axis: 1,
    block_size: 2,
  });
}
each([10, 21], 'DequantizeLinear', [fill('i32', [3, 8], -1e6, 1e6), scalar]);
each([11], 'DynamicQuantizeLinear', [real], {}, 3);
each([11], 'DynamicQuantizeLinear', [fill('f32', [20], 2, 9)], {}, 3);

/** onnxruntime's AVX2 kernels add two u8 x i8 products in 16 bits and saturate; with 7 bits of weight they cannot. */
const SEVEN_BITS = [-64, 64] as const;
each([10], 'MatMulInteger', [
  fill('u8', [2, 5, 6], 0, 256),
  fill('i8', [6, 7], ...SEVEN_BITS),
  filled('u8', [], 1, 100, 101),
  fill('i8', [7], -9, 9),
]);
each([10], 'MatMulInteger', [fill('u8', [5, 6], 0, 256), fill('u8', [6, 7], 0, 256)]);
each([10], 'QLinearMatMul', [
  fill('u8', [5, 6], 0, 256),
  f32([], [0.02]),
  filled('u8', [], 1, 100, 101),
  fill('i8', [6, 7], ...SEVEN_BITS),
  fill('f32', [7], 0.01, 0.02),
  filled('i8', [7], 1, 0, 1),
  f32([], [0.3]),
  filled('u8', [], 1, 128, 129),
]);
each(
  [10],
  'QLinearConv',
  [
    fill('u8', [1, 4, 6, 6], 0, 256),
    f32([], [0.02]),
    filled('u8', [], 1, 100, 101),
    fill('i8', [3, 4, 3, 3], ...SEVEN_BITS),
    fill('f32', [3], 0.01, 0.02),
    filled('i8', [3], 1, 0, 1),
    f32([], [0.9]),
    filled('u8', [], 1, 128, 129),
    fill('i32', [3], -900, 900),
  ],
  { pads: [1, 1, 1, 1] },
);

/** What this build of onnxruntime cannot run: no CPU kernel, or an older definition. Each is covered by test/conformance. */
const NO_KERNEL =
  /NOT_IMPLEMENTED|is not a registered function|Could not find an implementation|Opset \d+ is under development/;

describe.skipIf(!hasOracle)('onnxruntime', () => {
  for (const op of new Set(cases.map((c) => c.op))) {
    const group = cases.filter((c) => c.op === op);
    test(op, async () => {
      const faults: string[] = [];
      let compared = 0;
      for (const c of group) {
        const label = `${op}-${c.version} ${JSON.stringify(c.attrs)} ${c.inputs.map((t) => (t ? `${t.dtype}[${t.shape}]` : '-')).join(' ')}`;
        const ours = run(c, c.inputs);
        const known = Object.fromEntries(
          c.inputs.flatMap((t, i) => (t && t.dtype === 'i64' ? [[i, Array.from(t.data)]] : [])),
        );
        const { types } = infer(c, typesOf(c.inputs), known);
        expect({ label, types }).toEqual({ label, types: typesOf(ours) });
        let theirs: readonly Tensor[];
        try {
          theirs = await oracle(c, c.inputs, ours);
        } catch (error) {
          if (error instanceof Error && NO_KERNEL.test(error.message)) continue;
          throw new Error(label, { cause: error });
        }
        compared++;
        for (const [i, t] of ours.entries()) {
          const found = difference(t, theirs[i]);
          if (found) faults.push(`${label}: output ${i}: ${found}`);
        }
      }
      expect(faults.slice(0, 10)).toEqual([]);
      expect(compared).toBeGreaterThan(0);
    });
  }
});
