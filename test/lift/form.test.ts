/** The algebra of forms: moving, scaling, joining and adding them is moving, scaling, joining and adding elements. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ValueId } from '../../src/ir/ids.ts';
import {
  added,
  type Base,
  broadcastIndex,
  concatInts,
  controlled,
  type Form,
  formOf,
  joined,
  pick,
  rebased,
  scaled,
  uniformScale,
} from '../../src/lift/form.ts';

const base: Base = { kind: 'value', value: 0 as ValueId, batch: 1, tokens: 4, tokenDim: 4, features: 6 };
const SIZE = 24;
const CONTROL = 9 as ValueId;
/** Contents of the base, and of the control value. */
const values = Float64Array.from({ length: SIZE }, (_, i) => i * i + 1);
const controls = Float64Array.from({ length: SIZE }, (_, i) => 1 / (i + 2));

/** What the form's elements are. */
const contents = ({ terms }: Form): number[] =>
  Array.from(terms[0].index, (_, i) =>
    terms.reduce((sum, t) => {
      if (t.index[i] < 0) return sum;
      return sum + values[t.index[i]] * t.scale[i] * (t.control[i] < 0 ? 1 : controls[t.controlIndex[i]]);
    }, 0),
  );

const close = (a: readonly number[], b: readonly number[]): void => {
  expect(a).toHaveLength(b.length);
  for (const [i, x] of a.entries()) expect(x).toBeCloseTo(b[i], 9);
};

const indices = (limit: number): fc.Arbitrary<Int32Array> =>
  fc.array(fc.nat({ max: limit - 1 }), { minLength: 1, maxLength: 12 }).map((a) => Int32Array.from(a));
const factor = fc.integer({ min: -8, max: 8 }).filter((n) => n !== 0);

/** Of one or two terms, scaled, some with a control. */
const form: fc.Arbitrary<Form> = fc
  .tuple(indices(SIZE), indices(SIZE), factor, factor, fc.boolean(), fc.boolean())
  .map(([first, second, a, b, turned, two]) => {
    const n = Math.min(first.length, second.length);
    const one = scaled(formOf(base, [n], first.slice(0, n)), a);
    const control = Int32Array.from({ length: n }, (_, i) => (i * 5) % SIZE);
    const left = turned ? (controlled(one, CONTROL, control) as Form) : one;
    const right = scaled(formOf(base, [n], second.slice(0, n)), b);
    return two ? (added(left, right) as Form) : left;
  });

describe('forms', () => {
  test('picking elements, twice', () => {
    fc.assert(
      fc.property(form, fc.array(fc.nat(), { minLength: 1 }), fc.array(fc.nat(), { minLength: 1 }), (f, a, b) => {
        const n = f.terms[0].index.length;
        const first = Int32Array.from(a, (i) => i % n);
        const second = Int32Array.from(b, (i) => i % first.length);
        const once = pick(f, first, [first.length]);
        close(
          contents(once),
          Array.from(first, (i) => contents(f)[i]),
        );
        close(
          contents(pick(once, second, [b.length])),
          contents(
            pick(
              f,
              second.map((i) => first[i]),
              [b.length],
            ),
          ),
        );
      }),
    );
  });

  test('scaling', () => {
    fc.assert(
      fc.property(form, factor, (f, by) => {
        close(
          contents(scaled(f, by)),
          contents(f).map((x) => x * by),
        );
      }),
    );
  });

  test('adding two terms; a third is no form', () => {
    fc.assert(
      fc.property(form, form, (a, b) => {
        const n = Math.min(a.terms[0].index.length, b.terms[0].index.length);
        const head = Int32Array.from({ length: n }, (_, i) => i);
        const [x, y] = [pick(a, head, [n]), pick(b, head, [n])];
        const sum = added(x, y);
        if (x.terms.length + y.terms.length > 2) expect(sum).toBeUndefined();
        else
          close(
            contents(sum as Form),
            contents(x).map((v, i) => v + contents(y)[i]),
          );
      }),
    );
    const other = { ...base };
    expect(added(formOf(base, [SIZE]), formOf(other, [SIZE]))).toBeUndefined();
  });

  test('joining parts of one and of two terms', () => {
    fc.assert(
      fc.property(fc.array(form, { minLength: 1, maxLength: 4 }), (parts) => {
        close(contents(joined(parts) as Form), parts.flatMap(contents));
      }),
    );
    expect(joined([formOf(base, [SIZE]), formOf({ ...base }, [SIZE])])).toBeUndefined();
  });

  test('a control stands once', () => {
    const f = formOf(base, [SIZE]);
    const once = controlled(f, CONTROL, f.terms[0].index) as Form;
    close(
      contents(once),
      Array.from(values, (v, i) => v * controls[i]),
    );
    expect(controlled(once, CONTROL, f.terms[0].index)).toBeUndefined();
  });

  test('another base that holds the same elements elsewhere', () => {
    fc.assert(
      fc.property(form, (f) => {
        const turned = rebased(f, { ...base, features: SIZE, tokens: 1 }, (i) => SIZE - 1 - i);
        const back = rebased(turned, base, (i) => SIZE - 1 - i);
        close(contents(back), contents(f));
        expect(turned.terms.every((t, d) => t.index.every((i, at) => i === SIZE - 1 - f.terms[d].index[at]))).toBe(
          true,
        );
      }),
    );
  });

  test('one number times a selection', () => {
    const plain = formOf(base, [SIZE]);
    expect(uniformScale(plain)).toBe(1);
    expect(uniformScale(scaled(plain, -2.5))).toBe(-2.5);
    expect(uniformScale(controlled(plain, CONTROL, plain.terms[0].index) as Form)).toBeUndefined();
    expect(uniformScale(added(plain, plain) as Form)).toBeUndefined();
    const mixed = joined([plain, scaled(plain, 2)]) as Form;
    expect(uniformScale(mixed)).toBeUndefined();
  });
});

test('broadcasting is that of numpy', () => {
  const shape = fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 4 });
  fc.assert(
    fc.property(shape, fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }), fc.nat({ max: 4 }), (to, ones, drop) => {
      const from = to.map((n, d) => (ones[d] ? 1 : n)).slice(Math.min(drop, to.length));
      const found = broadcastIndex(from, to);
      const pad = to.length - from.length;
      expect(found).toHaveLength(to.reduce((a, b) => a * b, 1));
      for (const [i, at] of found.entries()) {
        const where: number[] = [];
        for (let d = to.length - 1, rest = i; d >= 0; rest = Math.floor(rest / to[d--])) where.unshift(rest % to[d]);
        expect(at).toBe(from.reduce((flat, n, d) => flat * n + (n === 1 ? 0 : where[d + pad]), 0));
      }
    }),
  );
});

test('lists of integers one after another', () => {
  expect([...concatInts([Int32Array.of(1, 2), new Int32Array(0), Int32Array.of(3)])]).toEqual([1, 2, 3]);
});
