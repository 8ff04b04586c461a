import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Dim, printDim, sym } from '../../../src/ir/dim.ts';
import {
  binaryInto,
  broadcastNumbers,
  broadcastShapes,
  broadcastTo,
  planRows,
  rowOf,
} from '../../../src/ops/support/broadcast.ts';
import { fromNumbers, sizeOf, zeros } from '../../../src/tensor/tensor.ts';

/** A shape, and operand shapes that broadcast to it: leading dims dropped, some dims 1. */
const broadcastable = fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 5 }).chain((shape) =>
  fc.tuple(
    fc.constant(shape),
    fc.array(
      fc
        .tuple(fc.nat(shape.length), fc.array(fc.boolean(), { minLength: shape.length, maxLength: shape.length }))
        .map(([drop, ones]) => shape.map((n, d) => (ones[d] ? 1 : n)).slice(drop)),
      { minLength: 2, maxLength: 2 },
    ),
  ),
);

/** Element of a broadcast operand by the definition: index arithmetic, one element at a time. */
function elementAt(data: ArrayLike<number>, from: readonly number[], to: readonly number[], at: number): number {
  let source = 0;
  let rest = at;
  let step = 1;
  for (let d = to.length - 1; d >= 0; d--) {
    const index = rest % to[d];
    rest = Math.floor(rest / to[d]);
    const own = d - (to.length - from.length);
    if (own < 0) continue;
    if (from[own] !== 1) source += index * step;
    step *= from[own];
  }
  return data[source];
}

const counting = (shape: readonly number[]) =>
  fromNumbers(
    'f32',
    shape,
    Array.from({ length: sizeOf(shape) }, (_, i) => i + 1),
  );

describe('broadcast', () => {
  test('broadcastTo follows the definition', () => {
    fc.assert(
      fc.property(broadcastable, ([shape, [from]]) => {
        const out = broadcastTo(counting(from), shape);
        expect(out.shape).toEqual(shape);
        const expected = Array.from({ length: sizeOf(shape) }, (_, i) =>
          elementAt(counting(from).data, from, shape, i),
        );
        expect(Array.from(out.data)).toEqual(expected);
      }),
    );
  });

  test('binaryInto follows the definition', () => {
    fc.assert(
      fc.property(broadcastable, ([, [a, b]]) => {
        const shape = broadcastNumbers(a, b);
        const out = zeros('f32', shape).data;
        binaryInto(
          out,
          shape,
          counting(a),
          counting(b),
          rowOf((x, y) => x - 100 * y),
        );
        const expected = Array.from(
          { length: sizeOf(shape) },
          (_, i) => elementAt(counting(a).data, a, shape, i) - 100 * elementAt(counting(b).data, b, shape, i),
        );
        expect(Array.from(out)).toEqual(expected);
      }),
    );
  });

  test.each([
    ['same shape', [2, 3, 4], [2, 3, 4], [], 24],
    ['scalar', [2, 3, 4], [], [], 24],
    ['trailing vector', [2, 3, 4], [4], [6], 4],
    ['per row', [2, 3, 4], [2, 3, 1], [6], 4],
    ['channel', [2, 3, 4, 5], [3, 1, 1], [2, 3], 20],
  ])('%s is walked in %j x rows', (_, a, b, outer, length) => {
    const plan = planRows(a, [a, b]);
    expect([plan.outer, plan.length]).toEqual([outer, length]);
  });

  const [S, T] = [sym('S'), sym('T')];
  const shapes: [readonly Dim[], readonly Dim[], string | undefined][] = [
    [[S, 1], [T], 'S,T'],
    [[S], [1], 'S'],
    [[S], [4], '4'],
    [[S], [T], 'S'],
    [[2, S], [3, S], undefined],
    [[], [S, 2], 'S,2'],
  ];
  test.each(shapes)('symbolic %# agrees', (a, b, expected) => {
    expect(broadcastShapes(a, b)?.map(printDim).join(',')).toBe(expected);
  });
});
