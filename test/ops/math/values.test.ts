/** Integer values carried as dims, and the disagreements that infer reports. */
import { describe, expect, test } from 'vitest';
import { addDims, type Dim, mulDims, parseDim, printDim, sym } from '../../../src/ir/dim.ts';
import type { DType, TensorType } from '../../../src/ir/types.ts';
import { boundsOf } from '../../../src/ops/support/values.ts';
import { infer } from './support.ts';

const vector = (n: number, dtype: DType = 'i64'): TensorType => ({ dtype, shape: [n] });
const [B, S] = [sym('B'), sym('S')];

const shown = (values: readonly (Dim | undefined)[] | undefined) =>
  values?.map((d) => (d === undefined ? undefined : printDim(d))).join(' ');

const binary = (op: string, a: readonly Dim[], b: readonly Dim[], version = 13): string | undefined =>
  shown(infer({ op, version }, [vector(a.length), vector(b.length)], { 0: a, 1: b }).values?.[0]);

describe('value propagation', () => {
  test.each([
    ['Add', [S, 2], [B, 3], 'B + S 5'],
    ['Sub', [addDims(S, 4)], [S], '4'],
    ['Mul', [B, 3], [S, 7], 'B*S 21'],
    ['Div', [mulDims(S, 64), 7], [16, -2], '4*S -3'],
    ['Div', [S], [2], undefined],
    ['Div', [7], [0], undefined],
    ['Mod', [mulDims(S, 4), 7], [2, 4], '0 3'],
    ['Max', [S, 3], [0, 5], 'S 5'],
    ['Max', [S], [4], undefined],
    ['Min', [addDims(S, 1)], [S], 'S'],
    ['Equal', [S, -1, 4], [-1, -1, 5], '0 1 0'],
    ['Equal', [S], [1], undefined],
    ['Less', [S, 3], [0, 4], '0 1'],
    ['Greater', [addDims(S, 1)], [S], '1'],
    ['Add', [S], [1, 2], 'S + 1 S + 2'],
  ] as [string, Dim[], Dim[], string | undefined][])('%s %#', (op, a, b, expected) => {
    expect(binary(op, a, b)).toBe(expected);
  });

  test('logic on known conditions', () => {
    const and = infer({ op: 'And', version: 7 }, [vector(3, 'bool'), vector(3, 'bool')], {
      0: [0, 1, 1],
      1: [S, 1, 0],
    });
    expect(shown(and.values?.[0])).toBe('0 1 0');
    expect(shown(infer({ op: 'Not', version: 1 }, [vector(2, 'bool')], { 0: [0, 1] }).values?.[0])).toBe('1 0');
  });

  test('casts, negation and clipping keep what they can', () => {
    const cast = (to: number) =>
      shown(infer({ op: 'Cast', version: 13, attrs: { to } }, [vector(2)], { 0: [S, 3] }).values?.[0]);
    expect(cast(6)).toBe('S 3');
    expect(cast(1)).toBe(undefined);
    expect(shown(infer({ op: 'Neg', version: 13 }, [vector(2)], { 0: [S, 3] }).values?.[0])).toBe('-S -3');
    const limits = { 0: [S, 300], 1: [0], 2: [255] };
    const clip = infer(
      { op: 'Clip', version: 13 },
      [vector(2), { dtype: 'i64', shape: [] }, { dtype: 'i64', shape: [] }],
      limits,
    );
    expect(clip.values?.[0]).toBe(undefined); // S may exceed 255
  });

  test('the number of elements of a shape', () => {
    const reduce = (op: string, version: number) =>
      shown(infer({ op, version, attrs: { keepdims: 0 } }, [vector(3)], { 0: [B, S, 64] }).values?.[0]);
    expect(reduce('ReduceProd', 18)).toBe('64*B*S');
    expect(reduce('ReduceSum', 13)).toBe('B + S + 64');
    expect(reduce('ReduceMax', 18)).toBe(undefined);
  });

  test.each([
    ['S', 0, Number.POSITIVE_INFINITY],
    ['2*S + P + 3', 3, Number.POSITIVE_INFINITY],
    ['4 - S', Number.NEGATIVE_INFINITY, 4],
    ['S - P', Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY],
  ])('%s lies between %d and %d', (text, low, high) => {
    expect(boundsOf(parseDim(text))).toEqual({ low, high });
  });
});

describe('mismatches name input, expected and found', () => {
  const f = (...shape: Dim[]): TensorType => ({ dtype: 'f32', shape });
  test.each([
    ['Add', [f(2, 3), f(4)], {}, '1: expected a shape that broadcasts with [2,3], found [4]'],
    ['Add', [f(2), vector(2)], {}, '1: expected f32, found i64'],
    ['MatMul', [f(2, 3), f(4, 5)], {}, '1: expected inner extent [3] to match [2,3], found [4,5]'],
    ['Gemm', [f(2, 3), f(4, 5)], { transB: 1 }, '1: expected inner extent [3] to match [2,3], found [4,5]'],
    ['Gemm', [f(2, 3), f(3, 5), f(2)], {}, '2: expected a shape that broadcasts to [2,5], found [2]'],
    ['LayerNormalization', [f(2, 8), f(7)], {}, '1: expected a shape that broadcasts to [8], found [7]'],
    ['Softmax', [f(2, 8)], { axis: 2 }, '-: expected an axis in -2..1, found 2'],
    ['Conv', [f(1, 3, 8, 8), f(4, 2, 3, 3)], {}, '1: expected 3 / 1 channels, found [4,2,3,3]'],
    [
      'Conv',
      [f(1, 3, 2, 2), f(4, 3, 3, 3)],
      {},
      '0: expected padded dim 2 to hold the kernel [4,3,3,3], found [1,3,2,2]',
    ],
    ['And', [f(2), f(2)], {}, '0: expected bool, found f32'],
    [
      'DequantizeLinear',
      [{ dtype: 'i8', shape: [4, 8] }, f(4)],
      { axis: 1 },
      '1: expected one scale for each of the [8] of axis 1, found [4]',
    ],
  ] as [string, TensorType[], Record<string, number>, string][])('%s %#', (op, inputs, attrs, message) => {
    expect(() => infer({ op, version: 17, attrs }, inputs)).toThrow(new Error(message));
  });

  test('symbols are taken to agree', () => {
    const { types } = infer({ op: 'MatMul', version: 13 }, [f(B, S, sym('T')), f(B, sym('P'), 64)]);
    expect(types[0].shape.map(printDim)).toEqual(['B', 'S', '64']);
  });
});
