/** From logits to tokens: what may be drawn, how often, and the same for the same seed. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { distribution, draw, GREEDY, likeliest, type Sampling } from '../../src/generate/sampling.ts';
import { randomStream } from '../../src/util/rng.ts';

const logits = fc.array(
  fc.integer({ min: -40, max: 40 }).map((n) => n / 4),
  { minLength: 1, maxLength: 24 },
);
const ALL: Sampling = { temperature: 1, topK: null, topP: 1 };
const kept = (p: Float64Array): number[] => [...p.keys()].filter((i) => p[i] > 0);
const sum = (p: Float64Array): number => p.reduce((a, b) => a + b, 0);

describe('distributions', () => {
  test('add up to 1, and are ordered as the logits are', () => {
    const samplings = fc.record({
      temperature: fc.constantFrom(0.1, 0.7, 1, 3),
      topK: fc.option(fc.integer({ min: 1, max: 30 })),
      topP: fc.constantFrom(1e-9, 0.3, 0.9, 1),
    });
    fc.assert(
      fc.property(logits, samplings, (given, sampling) => {
        const p = distribution(given, sampling);
        expect(sum(p)).toBeCloseTo(1, 10);
        for (const i of kept(p)) for (const j of p.keys()) if (given[j] > given[i]) expect(p[j]).toBeGreaterThan(p[i]);
        if (sampling.topK !== null) expect(kept(p).length).toBeLessThanOrEqual(sampling.topK);
      }),
    );
  });
  test('top-p keeps the fewest that reach p', () => {
    fc.assert(
      fc.property(logits, fc.double({ min: 0.01, max: 0.99, noNaN: true }), (given, topP) => {
        const all = distribution(given, ALL);
        const some = kept(distribution(given, { ...ALL, topP }));
        const mass = some.reduce((n, i) => n + all[i], 0);
        const least = Math.min(...some.map((i) => all[i]));
        expect(mass).toBeGreaterThanOrEqual(topP - 1e-12);
        expect(mass - least).toBeLessThan(topP);
      }),
    );
  });
  test('greedy is the first of the likeliest; k of 1 and a tiny p are greedy, too', () => {
    expect(likeliest([1, 3, 3, 2])).toBe(1);
    for (const sampling of [GREEDY, { ...ALL, topK: 1 }, { ...ALL, topP: 1e-12 }])
      expect([...distribution([1, 3, 3, 2], sampling)]).toEqual([0, 1, 0, 0]);
  });
  test('equal logits: the first k', () => {
    expect(kept(distribution([0, 0, 0, 0], { ...ALL, topK: 2 }))).toEqual([0, 1]);
    expect(kept(distribution([0, 0, 0, 0], { ...ALL, topP: 0.75 }))).toEqual([0, 1, 2]);
  });
  test('a word that cannot come has no probability; huge logits do not overflow', () => {
    expect([...distribution([Number.NEGATIVE_INFINITY, 5000, 5000], ALL)]).toEqual([0, 0.5, 0.5]);
    expect([...distribution([-1e4, 0], { ...ALL, temperature: 1e-3 })]).toEqual([0, 1]);
  });
  test.each([
    [[0, Number.NaN], 'expected a finite logit to choose by, found NaN for token 1'],
    [[Number.POSITIVE_INFINITY], 'found Infinity for token 0'],
    [[Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY], 'found -Infinity for token 0'],
    [[], 'found undefined for token 0'],
  ])('%j is refused', (given, message) => {
    for (const sampling of [GREEDY, ALL]) expect(() => distribution(given, sampling)).toThrow(message);
  });
});

describe('draws', () => {
  test('the same for the same seed, and only what may come', () => {
    fc.assert(
      fc.property(logits, fc.nat(1000), (given, seed) => {
        const p = distribution(given, { ...ALL, topP: 0.8 });
        const some = (): number[] => {
          const random = randomStream(seed, 'sample');
          return Array.from({ length: 8 }, () => draw(p, random));
        };
        expect(some()).toEqual(some());
        for (const id of some()) expect(p[id]).toBeGreaterThan(0);
      }),
    );
  });
  test('as often as they should: chi squared', () => {
    const p = distribution([0, 1, 2, 3, 4, Number.NEGATIVE_INFINITY], ALL);
    const random = randomStream(5, 'sample');
    const counts = new Float64Array(p.length);
    const draws = 20_000;
    for (let i = 0; i < draws; i++) counts[draw(p, random)]++;
    expect(counts[5]).toBe(0);
    const chi = [0, 1, 2, 3, 4].reduce((n, i) => n + (counts[i] - draws * p[i]) ** 2 / (draws * p[i]), 0);
    expect(chi).toBeLessThan(18.5); // 4 degrees of freedom, one in a thousand
  });
  test('rounding at the end takes the last that may come', () => {
    expect(draw(Float64Array.of(0.5, 0.5, 0), () => 1)).toBe(1);
  });
});
