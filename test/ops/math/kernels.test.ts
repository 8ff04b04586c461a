/** Values that the definitions fix: version differences, edge cases, rounding, saturation. */
import { describe, expect, test } from 'vitest';
import { erf, roundEven } from '../../../src/ops/support/special.ts';
import { fromNumbers, type Tensor, tensor } from '../../../src/tensor/tensor.ts';
import { type Call, f32, filled, i64, run } from './support.ts';

const values = (call: Call, inputs: readonly (Tensor | undefined)[]) => Array.from(run(call, inputs)[0].data);

describe('special functions', () => {
  // Digits of erf from Abramowitz & Stegun, table 7.1, and the limits.
  test.each([
    [0.5, 0.5204998778],
    [1, 0.8427007929],
    [1.5, 0.9661051465],
    [2, 0.995322265],
    [3, 0.9999779095],
    [1e-9, 1.1283791671e-9],
    [Number.POSITIVE_INFINITY, 1],
  ])('erf(%d)', (x, expected) => {
    expect(Math.abs(erf(x) - expected)).toBeLessThan(1e-10);
    expect(erf(-x)).toBe(-erf(x));
  });

  test('erf is continuous where its pieces meet', () => {
    for (const x of [0.84375, 1.25, 1 / 0.35, 6]) expect(Math.abs(erf(x - 1e-12) - erf(x + 1e-12))).toBeLessThan(1e-11);
  });

  test('ties round to even', () => {
    expect([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.4999].map(roundEven)).toEqual([-2, -2, -0, 0, 2, 2, 3]);
    expect(roundEven(2 ** 52 + 1)).toBe(2 ** 52 + 1);
  });
});

describe('integers', () => {
  const i32 = (...v: number[]) => fromNumbers('i32', [v.length], v);
  test('division truncates, is exact near 2^53, and refuses zero', () => {
    expect(values({ op: 'Div', version: 14 }, [i32(7, -7, 7, -7), i32(2, 2, -2, -2)])).toEqual([3, -3, -3, 3]);
    expect(values({ op: 'Div', version: 14 }, [i64([1], [2 ** 53 - 1]), i64([1], [2])])).toEqual([2 ** 52 - 1]);
    expect(() => run({ op: 'Div', version: 14 }, [i32(1), i32(0)])).toThrow('integer division by zero');
  });

  test('the sign of Mod follows the divisor, with fmod the dividend', () => {
    const operands = [i32(-4, 7, 5, 4, -7, 8), i32(2, -3, 8, -2, 3, 5)];
    expect(values({ op: 'Mod', version: 13 }, operands)).toEqual([0, -2, 5, 0, 2, 3]);
    expect(values({ op: 'Mod', version: 13, attrs: { fmod: 1 } }, operands)).toEqual(
      [-0, 1, 5, 0, -1, 3].map((v) => v + 0),
    );
  });

  test('32-bit products keep the low bits', () => {
    expect(values({ op: 'Mul', version: 14 }, [i32(123456789), i32(987654321)])).toEqual([-67153019]);
  });

  test('the largest i64 survives arithmetic that does not change it', () => {
    const max = i64([1], [2 ** 63]);
    expect(values({ op: 'Min', version: 13 }, [max, max])).toEqual([2 ** 63]);
    expect(values({ op: 'Mul', version: 14 }, [max, i64([1], [1])])).toEqual([2 ** 63]);
  });
});

describe('versions', () => {
  const x = filled('f32', [2, 3, 4], 1);
  test('Softmax before 13 normalizes everything from axis on', () => {
    const [old] = run({ op: 'Softmax', version: 12 }, [x]);
    const flat = tensor('f32', [2, 12], x.data);
    expect(old.data).toEqual(run({ op: 'Softmax', version: 13 }, [flat])[0].data);
    expect(old.shape).toEqual([2, 3, 4]);
  });

  test('axes of reductions are an attribute, then an input', () => {
    const byAttr = run({ op: 'ReduceMean', version: 13, attrs: { axes: [1] } }, [x]);
    expect(run({ op: 'ReduceMean', version: 18 }, [x, i64([1], [1])])).toEqual(byAttr);
    const all = run({ op: 'ReduceSum', version: 13 }, [x, i64([0], [])]);
    expect(all[0].shape).toEqual([1, 1, 1]);
    const noop = run({ op: 'ReduceL1', version: 18, attrs: { noop_with_empty_axes: 1 } }, [x]);
    expect(noop[0].data).toEqual(x.data.map(Math.abs));
  });

  test('Clip takes its limits from attributes, then inputs', () => {
    const byAttr = run({ op: 'Clip', version: 6, attrs: { min: -1, max: 1 } }, [x]);
    expect(run({ op: 'Clip', version: 11 }, [x, f32([], [-1]), f32([], [1])])).toEqual(byAttr);
  });

  test('GroupNormalization scales by group before 21, by channel since', () => {
    const image = filled('f32', [1, 4, 2, 2], 2);
    const old = run({ op: 'GroupNormalization', version: 18, attrs: { num_groups: 2 } }, [
      image,
      f32([2], [1, 3]),
      f32([2], [0, 1]),
    ]);
    const now = run({ op: 'GroupNormalization', version: 21, attrs: { num_groups: 2 } }, [
      image,
      f32([4], [1, 1, 3, 3]),
      f32([4], [0, 0, 1, 1]),
    ]);
    expect(old).toEqual(now);
  });

  test('the mask of Dropout has the type of the data before 10', () => {
    expect(run({ op: 'Dropout', version: 7, outputs: 2 }, [x])[1].dtype).toBe('f32');
    expect(run({ op: 'Dropout', version: 12, outputs: 2 }, [x])[1].dtype).toBe('bool');
  });

  test('Dropout in training: what numpy draws after seed(1) decides, and what is kept is scaled', () => {
    const data = f32([6], [1, 2, 3, 4, 5, 6]);
    const training = [data, f32([], [0.25]), fromNumbers('bool', [], [1])];
    // numpy 2: seed(1); rand(6) = 0.417, 0.720, 0.000114, 0.302, 0.147, 0.0923
    const [kept, mask] = run({ op: 'Dropout', version: 13, attrs: { seed: 1 }, outputs: 2 }, training);
    expect([...mask.data]).toEqual([1, 1, 0, 1, 0, 0]);
    expect([...kept.data].map((v) => Number(v.toFixed(5)))).toEqual([1.33333, 2.66667, 0, 5.33333, 0, 0]);
  });
});

describe('empty and extreme', () => {
  test('reductions of nothing', () => {
    const none = f32([2, 0], []);
    const over = (op: string) => values({ op, version: op === 'ReduceSum' ? 13 : 18 }, [none, i64([1], [1])]);
    expect(over('ReduceSum')).toEqual([0, 0]);
    expect(over('ReduceProd')).toEqual([1, 1]);
    expect(over('ReduceMax')).toEqual([Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY]);
    expect(over('ReduceLogSumExp')).toEqual([Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY]);
  });

  test('large logits neither overflow nor lose their differences', () => {
    const logits = f32([1, 3], [1e4, 1e4 + 1, -1e30]);
    const [a, b, c] = values({ op: 'Softmax', version: 13 }, [logits]);
    expect([a, b, c].map((v) => Number(v.toFixed(6)))).toEqual([0.268941, 0.731059, 0]);
    expect(values({ op: 'ReduceLogSumExp', version: 18 }, [f32([2], [1000, 1000])])[0]).toBeCloseTo(1000.6931, 3);
  });

  test('ties: ArgMax takes the first or the last, TopK the lower index', () => {
    const x = f32([5], [1, 3, 2, 3, 3]);
    expect(values({ op: 'ArgMax', version: 13 }, [x])).toEqual([1]);
    expect(values({ op: 'ArgMax', version: 13, attrs: { select_last_index: 1 } }, [x])).toEqual([4]);
    const [top, indices] = run({ op: 'TopK', version: 11, outputs: 2 }, [x, i64([1], [4])]);
    expect([Array.from(top.data), Array.from(indices.data)]).toEqual([
      [3, 3, 3, 2],
      [1, 3, 4, 2],
    ]);
    expect(() => run({ op: 'TopK', version: 11, outputs: 2 }, [x, i64([1], [6])])).toThrow('k = 6');
  });
});

describe('casts', () => {
  const cast = (x: Tensor, to: number, attrs = {}, version = 25) =>
    values({ op: 'Cast', version, attrs: { to, ...attrs } }, [x]);
  const x = f32([6], [-300.7, 3.99, -0.5, 1e9, Number.NaN, 464]);
  test('floats truncate, integers wrap, bool is not zero', () => {
    expect(cast(x, 6)).toEqual([-300, 3, 0, 1e9, 0, 464]);
    expect(cast(fromNumbers('i32', [3], [300, -129, 127]), 3)).toEqual([44, 127, 127]);
    expect(cast(f32([3], [0.5, 0, -1]), 9)).toEqual([1, 0, 1]);
    expect(cast(fromNumbers('i32', [3], [9, -9, 7]), 22)).toEqual([-7, 7, 7]);
  });

  test('8-bit floats saturate, or do not', () => {
    expect(cast(f32([3], [464, 465, -1e9]), 17)).toEqual([448, 448, -448]);
    expect(cast(f32([3], [464, 465, -1e9]), 17, { saturate: 0 })).toEqual([448, Number.NaN, Number.NaN]);
    expect(cast(f32([2], [1e9, -1e9]), 19, { saturate: 0 })).toEqual([
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
    ]);
  });

  test('f8e8m0 rounds up unless told otherwise', () => {
    const y = f32([4], [3, 2.9, 2, 5]);
    expect(cast(y, 24)).toEqual([4, 4, 2, 8]);
    expect(cast(y, 24, { round_mode: 'down' })).toEqual([2, 2, 2, 4]);
    expect(cast(y, 24, { round_mode: 'nearest' })).toEqual([4, 2, 2, 4]);
  });

  test('text and back', () => {
    const [text] = run({ op: 'Cast', version: 13, attrs: { to: 8 } }, [
      f32([5], [0.1, -2, 1e-7, Number.NaN, Number.NEGATIVE_INFINITY]),
    ]);
    expect(text.strings).toEqual(['0.1', '-2', '1e-7', 'NaN', '-INF']);
    const [back] = run({ op: 'Cast', version: 13, attrs: { to: 1 } }, [text]);
    expect(Array.from(back.data)).toEqual([0.1, -2, 1e-7, Number.NaN, Number.NEGATIVE_INFINITY].map(Math.fround));
    const bad: Tensor = { dtype: 'string', shape: [1], data: new Uint8Array(0), strings: ['4x'] };
    expect(() => run({ op: 'Cast', version: 13, attrs: { to: 1 } }, [bad])).toThrow('"4x" is not a number');
  });
});

describe('quantization', () => {
  test('there and back moves a value by at most half a step', () => {
    const x = filled('f32', [6, 32], 7, -4, 4);
    const scale = filled('f32', [6, 4], 8, 0.04, 0.08);
    const attrs = { axis: 1, block_size: 8 };
    const zero = fromNumbers('i8', [6, 4], new Array(24).fill(3));
    const [q] = run({ op: 'QuantizeLinear', version: 21, attrs }, [x, scale, zero]);
    const [back] = run({ op: 'DequantizeLinear', version: 21, attrs }, [q, scale, zero]);
    for (let i = 0; i < x.data.length; i++) {
      const step = scale.data[Math.floor(i / 32) * 4 + Math.floor((i % 32) / 8)];
      expect(Math.abs(back.data[i] - x.data[i])).toBeLessThanOrEqual(step / 2 + 1e-5);
    }
  });

  test('a last block may be short', () => {
    const x = fromNumbers('i4', [2, 5], [1, 2, 3, 4, 5, -1, -2, -3, -4, -5]);
    const [y] = run({ op: 'DequantizeLinear', version: 21, attrs: { axis: 1, block_size: 2 } }, [
      x,
      f32([2, 3], [1, 10, 100, 1, 10, 100]),
    ]);
    expect(Array.from(y.data)).toEqual([1, 2, 30, 40, 500, -1, -2, -30, -40, -500]);
  });

  test('values clamp to the type', () => {
    const x = f32([4], [-1e9, -1.5, 2.5, 1e9]);
    const to = (dtype: 'u4' | 'i4' | 'u2' | 'i2') =>
      values({ op: 'QuantizeLinear', version: 25 }, [x, f32([], [1]), fromNumbers(dtype, [], [1])]);
    expect([to('u4'), to('i4'), to('u2'), to('i2')]).toEqual([
      [0, 0, 3, 15],
      [-8, -1, 3, 7],
      [0, 0, 3, 3],
      [-2, -1, 1, 1],
    ]);
  });

  test('a constant input has scale 1', () => {
    const [y, scale, zero] = run({ op: 'DynamicQuantizeLinear', version: 11, outputs: 3 }, [f32([2], [0, 0])]);
    expect([Array.from(y.data), scale.data[0], zero.data[0]]).toEqual([[0, 0], 1, 0]);
  });
});
