import fc from 'fast-check';
import { expect, test } from 'vitest';
import { lastOf, numbersOf, sizeOf, spanHas, spansMeet, spansOf } from '../../src/route/spans.ts';

const sets = fc
  .uniqueArray(fc.integer({ min: 0, max: 60 }), { minLength: 1, maxLength: 40 })
  .map((list) => list.sort((a, b) => a - b));

test('spans hold the numbers they were made of', () => {
  fc.assert(
    fc.property(sets, sets, (a, b) => {
      const spans = spansOf(a);
      expect(spans.flatMap(numbersOf).sort((x, y) => x - y)).toEqual(a);
      for (const span of spans) {
        const own = numbersOf(span);
        expect(sizeOf(span)).toBe(own.length);
        expect(lastOf(span)).toBe(Math.max(...own));
        expect(Array.from({ length: 70 }, (_, n) => n).filter((n) => spanHas(span, n))).toEqual(own);
      }
      const shared = a.some((n) => b.includes(n));
      expect(spansOf(b).some((q) => spans.some((p) => spansMeet(p, q)))).toBe(shared);
    }),
  );
});

test.each<[string, number[], number[][]]>([
  ['a block', [3, 4, 5], [[3, 3, 1]]],
  ['a checkerboard', [1, 3, 5, 7], [[1, 4, 2]]],
  ['blocks that repeat', [0, 1, 10, 11, 20, 21], [[0, 2, 1, 3, 10]]],
  ['every second core of segments', [0, 2, 4, 10, 12, 14], [[0, 3, 2, 2, 10]]],
  ['what is left at the end', [0, 1, 5, 6, 10], [[0, 2, 1, 2, 5], [10]]],
])('%s', (_, numbers, spans) => expect(spansOf(numbers)).toEqual(spans));
