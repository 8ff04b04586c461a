/** Codes beyond the budget of memory are read back from their file as they were. */
import { expect, test } from 'vitest';
import { weightFrom } from '../../src/compress/constant.ts';
import { roundToNearest } from '../../src/compress/rtn.ts';
import { Spill } from '../../src/compress/spill.ts';
import { readConstant, readElements } from '../../src/tensor/read.ts';
import { normalStream, randomStream } from '../../src/util/rng.ts';

test('a weight of 4 bits in memory, one in the file', () => {
  const values = Float32Array.from({ length: 24 * 40 }, normalStream(randomStream(1, 'spill')));
  const format = { kind: 'integer', bits: 4, grid: 'asymmetric', group: 16 } as const;
  const weight = weightFrom('w', roundToNearest({ rows: 24, columns: 40, values }, format), 'f32');
  const spill = new Spill(700);
  const [first, second] = [spill.put(weight), spill.put(weight)];
  expect(first.source).toBe(weight.source);
  expect(second.source).not.toBe(weight.source);
  for (const stored of [first, second]) {
    expect(readConstant(stored)).toEqual(readConstant(weight));
    expect(readElements(stored, [17, 3], [9, 5])).toEqual(readElements(weight, [17, 3], [9, 5]));
  }
});
