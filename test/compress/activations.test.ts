/** Fixed scales of activations, and rounding to them and to scales of each token: against their definition, and in ONNX's own ops. */
import { describe, expect, test } from 'vitest';
import { clipOf, parseClip, SizeHistogram } from '../../src/compress/activations.ts';
import { runGraph } from '../../src/exec/reference.ts';
import { inferTypes } from '../../src/frontend/infer.ts';
import { lowerGraph } from '../../src/frontend/lower.ts';
import { parseGraph } from '../../src/ir/parse.ts';
import { fromNumbers, type Tensor } from '../../src/tensor/tensor.ts';
import { normalStream, randomStream } from '../../src/util/rng.ts';

const clip = (histogram: SizeHistogram, word: string): number => {
  const parsed = parseClip(word);
  if (parsed === undefined) throw new Error(word);
  return clipOf(histogram, parsed);
};

describe('where sizes are cut off', () => {
  const normal = normalStream(randomStream(1, 'sizes'));
  const histogram = new SizeHistogram();
  histogram.add(Float32Array.of(0.001)); // the range grows from here
  for (let batch = 0; batch < 20; batch++) histogram.add(Float32Array.from({ length: 5000 }, normal));
  histogram.add(Float32Array.of(-80));

  test('max: the largest of all', () => expect(clip(histogram, 'max')).toBe(80));
  test('a percentile: as many beyond it as it says, to a bin', () => {
    expect(clip(histogram, 'p95')).toBeCloseTo(1.96, 0);
    expect(clip(histogram, 'p100')).toBe(80);
    expect(histogram.beyond(clip(histogram, 'p99.99'))).toBeLessThanOrEqual(1e-4);
  });
  test('one outlier decides neither for the squared error nor for the divergence', () => {
    expect(clip(histogram, 'mse')).toBeLessThan(80);
    expect(clip(histogram, 'entropy')).toBeLessThan(20);
    expect(clip(histogram, 'entropy')).toBeGreaterThan(3);
  });
  test('of nothing but zeros: 0', () => {
    const zeros = new SizeHistogram();
    zeros.add(new Float32Array(9));
    for (const word of ['max', 'mse', 'entropy', 'p99']) expect(clip(zeros, word)).toBe(0);
  });
  test.each(['p', 'p101', 'p0', 'p-1', 'median', ''])("'%s' is no cut", (word) =>
    expect(parseClip(word)).toBeUndefined(),
  );
});

describe('wafc.round', () => {
  const roundOf = (format: string, scale: string) =>
    inferTypes(
      parseGraph(`graph g opset 17 (%x: f32[1,S,4]) -> %y {
${scale === '' ? '' : `  %s = const f32[1] [${scale}]\n`}  %y: f32[1,S,4] = wafc.round %x${scale === '' ? '' : ', %s'} {format="${format}"}
}`),
    );
  const x = fromNumbers('f32', [1, 3, 4], [0.5, 1.5, -2.5, 400, 0, 0, 0, 0, 127, -63.5, 1.4, -1e3]);
  const run = (graph: ReturnType<typeof roundOf>): Tensor => [...runGraph(graph, new Map([['x', x]])).values()][0];

  test('a fixed scale: nearest, ties to even, cut off', () => {
    expect([...run(roundOf('int8:static', '1')).data].map((v) => Number(v) + 0)).toEqual([
      0, 2, -2, 127, 0, 0, 0, 0, 127, -64, 1, -128,
    ]);
  });
  test('a scale for each token: its largest is exact, zeros stay', () => {
    const { data } = run(roundOf('int8:token', ''));
    expect(data[3]).toBeCloseTo(400, 3);
    expect([...data.subarray(4, 8)]).toEqual([0, 0, 0, 0]);
    for (const [i, v] of data.entries()) expect(Math.abs(Number(v) - Number(x.data[i]))).toBeLessThanOrEqual(4);
  });
  test.each([
    ['int8:static', '0.7'],
    ['int8:token', ''],
  ])("%s in ONNX's own ops", (format, scale) => {
    const graph = roundOf(format, scale);
    expect([...run(lowerGraph(graph)).data].map((v) => Number(v) + 0)).toEqual(
      [...run(graph).data].map((v) => Number(v) + 0),
    );
  });
});
