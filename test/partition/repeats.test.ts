/** Runs of repeated items: every item in exactly one run, repetitions equal, nothing long overlooked. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { findRuns } from '../../src/partition/repeats.ts';

const text = fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 40 });
const show = (keys: string): string[] => findRuns([...keys]).map((r) => `${r.start}+${r.period}x${r.count}`);

describe('findRuns', () => {
  test('covers all items once, in order', () => {
    fc.assert(
      fc.property(text, (keys) => {
        let at = 0;
        for (const { start, period, count } of findRuns(keys)) {
          expect(start).toBe(at);
          expect(period).toBeGreaterThan(0);
          expect(count).toBeGreaterThan(0);
          at += period * count;
        }
        expect(at).toBe(keys.length);
      }),
    );
  });

  test('the repetitions of a run are equal', () => {
    fc.assert(
      fc.property(text, (keys) => {
        for (const { start, period, count } of findRuns(keys))
          for (let i = start + period; i < start + period * count; i++) expect(keys[i]).toBe(keys[i - period]);
      }),
    );
  });

  test('what repeats nothing has no repetition inside', () => {
    fc.assert(
      fc.property(text, (keys) => {
        for (const { start, period, count } of findRuns(keys)) {
          if (count > 1) continue;
          const part = keys.slice(start, start + period);
          for (let p = 1; 2 * p <= part.length; p++)
            for (let i = 0; i + 2 * p <= part.length; i++)
              expect(part.slice(i, i + p)).not.toEqual(part.slice(i + p, i + 2 * p));
        }
      }),
    );
  });

  test('layers between what comes before and after, whatever they consist of', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('p', 'q', 'r', 's'), { minLength: 1, maxLength: 5 }),
        fc.integer({ min: 3, max: 30 }),
        (layer, count) => {
          // Primitive: no shorter period.
          fc.pre(layer.every((_, p) => p === 0 || layer.some((x, i) => x !== layer[(i + p) % layer.length])));
          const keys = ['embed', ...Array.from({ length: count }, () => layer).flat(), 'norm', 'head'];
          expect(findRuns(keys)).toEqual([
            { start: 0, period: 1, count: 1 },
            { start: 1, period: layer.length, count },
            { start: 1 + layer.length * count, period: 2, count: 1 },
          ]);
        },
      ),
    );
  });

  test('equal items do not depend on what they are called', () => {
    fc.assert(
      fc.property(text, (keys) => {
        const renamed = keys.map((k) => ({ a: 'x', b: 'a', c: 'zz' })[k] ?? k);
        expect(findRuns(renamed)).toEqual(findRuns(keys));
      }),
    );
  });

  test.each([
    ['', []],
    ['a', ['0+1x1']],
    ['ab', ['0+2x1']],
    ['aa', ['0+1x2']],
    ['eabababh', ['0+1x1', '1+2x3', '7+1x1']],
    ['aabaab', ['0+3x2']],
    ['xaaaay', ['0+1x1', '1+1x4', '5+1x1']],
    ['abcabcxyxy', ['0+3x2', '6+2x2']],
  ])('%j', (keys, expected) => {
    expect(show(keys)).toEqual(expected);
  });
});
