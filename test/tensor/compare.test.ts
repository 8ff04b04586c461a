/** Differences between tensors: by hand, and piece by piece as in one. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compare, Comparison } from '../../src/exec/compare.ts';
import { fromNumbers, type Tensor } from '../../src/tensor/tensor.ts';

const row = (...values: number[]): Tensor => fromNumbers('f64', [values.length], values);

describe('by hand', () => {
  test('a difference of one element', () => {
    const found = compare(row(3, 0, 4), row(3, 0, 5));
    const rms = Math.sqrt(34 / 3);
    expect(found).toMatchObject({ maxAbs: 1, index: 2, found: 4, expected: 5 });
    expect(found.maxRel).toBeCloseTo(1 / 5, 12);
    expect(compare(row(3, 1, 5), row(3, 0, 5)).maxRel).toBeCloseTo(1 / rms, 12);
    expect(found.cosine).toBeCloseTo(29 / Math.sqrt(25 * 34), 12);
    expect(found.sqnrDb).toBeCloseTo(10 * Math.log10(34), 12);
  });
  test('none', () => {
    expect(
      compare(row(1, Number.NaN, Number.NEGATIVE_INFINITY), row(1, Number.NaN, Number.NEGATIVE_INFINITY)),
    ).toMatchObject({
      maxAbs: 0,
      maxRel: 0,
      sqnrDb: null,
    });
    expect(compare(row(0, 0), row(0, 0))).toMatchObject({ cosine: 1, sqnrDb: null });
  });
  test.each([
    [row(Number.NaN, 1), row(0, 1)],
    [row(0, 1), row(Number.NaN, 1)],
    [row(Number.POSITIVE_INFINITY, 1), row(1, 1)],
    [row(1), row(1, 2)],
  ])('what is no number, or not there, is infinitely far', (found, expected) => {
    expect(compare(found, expected)).toMatchObject({
      maxAbs: Number.POSITIVE_INFINITY,
      maxRel: Number.POSITIVE_INFINITY,
    });
  });
  test('a sign turned round, and noise without a signal', () => {
    expect(compare(row(-1, 2), row(1, -2)).cosine).toBeCloseTo(-1, 12);
    expect(compare(row(1), row(0))).toMatchObject({ cosine: 0, sqnrDb: Number.NEGATIVE_INFINITY });
  });
});

test('pieces add up: noise and angle are those of the whole', () => {
  const pairs = fc.array(fc.tuple(fc.integer({ min: -99, max: 99 }), fc.integer({ min: -99, max: 99 })), {
    minLength: 2,
  });
  fc.assert(
    fc.property(pairs, fc.nat(), (all, cut) => {
      const at = 1 + (cut % (all.length - 1));
      const piece = (list: typeof all, side: 0 | 1): Tensor => row(...list.map((pair) => pair[side]));
      const whole = compare(piece(all, 0), piece(all, 1));
      const [head, tail] = [all.slice(0, at), all.slice(at)];
      const added = new Comparison().add(piece(head, 0), piece(head, 1)).add(piece(tail, 0), piece(tail, 1)).result();
      expect(added.maxAbs).toBe(whole.maxAbs);
      expect(added.cosine).toBeCloseTo(whole.cosine, 12);
      if (whole.sqnrDb === null || !Number.isFinite(whole.sqnrDb)) expect(added.sqnrDb).toBe(whole.sqnrDb);
      else expect(added.sqnrDb).toBeCloseTo(whole.sqnrDb, 9);
    }),
  );
});
