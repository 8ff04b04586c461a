import { describe, expect, test } from 'vitest';
import { printDim, sym } from '../../../src/ir/dim.ts';
import { parseEquation } from '../../../src/ops/support/einsum.ts';
import { sizeOf } from '../../../src/tensor/tensor.ts';
import { filled, infer, run } from './support.ts';

/** Sums over all indices, by the definition. Ellipses are not handled. */
function naive(equation: string, operands: ReturnType<typeof filled>[]): number[] {
  const [left, right] = equation.split('->');
  const terms = left.split(',');
  const extents = new Map<string, number>();
  terms.forEach((term, i) => [...term].forEach((label, d) => extents.set(label, operands[i].shape[d])));
  const labels = [...extents.keys()];
  const out = new Array<number>(sizeOf([...right].map((l) => extents.get(l) ?? 1))).fill(0);
  const total = sizeOf([...extents.values()]);
  for (let e = 0; e < total; e++) {
    const index = new Map<string, number>();
    let rest = e;
    for (const label of labels) {
      index.set(label, rest % (extents.get(label) ?? 1));
      rest = Math.floor(rest / (extents.get(label) ?? 1));
    }
    const place = (term: string) => [...term].reduce((at, l) => at * (extents.get(l) ?? 1) + (index.get(l) ?? 0), 0);
    out[place(right)] += terms.reduce((product, term, i) => product * operands[i].data[place(term)], 1);
  }
  return out;
}

describe('Einsum', () => {
  test.each([
    ['ij,jk->ik', [2, 3], [3, 4]],
    ['ij,kj->ik', [2, 3], [4, 3]],
    ['bhid,bhjd->bhij', [2, 2, 3, 4], [2, 2, 5, 4]],
    ['bhij,bhjd->bihd', [2, 2, 3, 4], [2, 2, 4, 5]],
    ['ii->i', [3, 3]],
    ['iij->j', [3, 3, 2]],
    ['ijk->', [2, 3, 4]],
    ['ijk->kji', [2, 3, 4]],
    ['i,j->ij', [3], [4]],
    ['ij,ij->', [3, 4], [3, 4]],
    ['ab,bc,cd->ad', [2, 3], [3, 4], [4, 5]],
    ['ab,ac,ad->bcd', [2, 3], [2, 4], [2, 5]],
    ['abc,c->b', [2, 3, 4], [4]],
  ] as [string, ...number[][]][])('%s is the sum over all indices', (equation, ...shapes) => {
    const operands = shapes.map((shape, i) => filled('f32', shape, i + 1));
    const [out] = run({ op: 'Einsum', version: 12, attrs: { equation } }, operands);
    const expected = naive(equation, operands);
    for (let i = 0; i < expected.length; i++) expect(out.data[i]).toBeCloseTo(expected[i], 4);
  });

  test('an ellipsis covers a different number of dims in each operand', () => {
    const [a, b] = [filled('f32', [2, 5, 3, 4], 1), filled('f32', [4, 6], 2)];
    const [out] = run({ op: 'Einsum', version: 12, attrs: { equation: '...ij,...jk->...ik' } }, [a, b]);
    const [expected] = run({ op: 'MatMul', version: 13 }, [a, b]);
    expect(out).toEqual(expected);
  });

  test('symbolic dims follow their labels', () => {
    const call = { op: 'Einsum', version: 12, attrs: { equation: 'bsh,hd->bsd' } };
    const { types } = infer(call, [
      { dtype: 'f32', shape: [sym('B'), sym('S'), 64] },
      { dtype: 'f32', shape: [64, 32] },
    ]);
    expect(types[0].shape.map(printDim)).toEqual(['B', 'S', '32']);
  });

  test.each([
    ['ij,jk', [2], '1 operands'],
    ['ij->ik', [2], 'output term ik'],
    ['i!->i', [2], 'term i!'],
    ['ijk->i', [2], 'rank 2'],
  ])('%s is refused', (equation, ranks, reason) => {
    expect(parseEquation(equation, ranks)).toContain(reason);
  });
});
