/** Sessions against the reference executor: the same bits on the plain kernels, the rounding of a sum apart on SIMD. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { runGraph } from '../../src/exec/reference.ts';
import { Session } from '../../src/exec/session/session.ts';
import { inferTypes } from '../../src/frontend/infer.ts';
import type { Graph } from '../../src/ir/graph.ts';
import { parseGraph } from '../../src/ir/parse.ts';
import { quantizedConstant } from '../../src/tensor/quantized.ts';
import { fromNumbers, sizeOf, type Tensor } from '../../src/tensor/tensor.ts';

/** Types of results are left to inference. */
const graphOf = (text: string): Graph =>
  inferTypes(parseGraph(text.replace(/^(\s*%\w+) = (?!const)/gm, '$1: f32[] = ')));

/** Deterministic numbers of about unit size. */
const noise = (shape: readonly number[], seed: number): Tensor =>
  fromNumbers(
    'f32',
    shape,
    Array.from({ length: sizeOf(shape) }, (_, i) => Math.sin(i * 12.9898 + seed * 78.233) * 2),
  );
const constant = (name: string, shape: readonly number[], seed: number): string =>
  `%${name} = const f32[${shape}] normal(seed=${seed})`;

/** Runs `session` and the reference executor on the same feeds. Bit for bit unless `slack`, relative to the largest, is given. */
function expectSame(session: Session, feeds: ReadonlyMap<string, Tensor>, slack = 0): void {
  const found = session.run(feeds);
  for (const [name, expected] of runGraph(session.graph, feeds)) {
    const got = found.get(name);
    expect(got?.shape).toEqual(expected.shape);
    expect(got?.dtype).toBe(expected.dtype);
    if (got === undefined) continue;
    let largest = 1e-30;
    for (const v of expected.data) if (Number.isFinite(v)) largest = Math.max(largest, Math.abs(v));
    for (let i = 0; i < expected.data.length; i++) {
      if (Object.is(got.data[i], expected.data[i])) continue;
      if (Number.isFinite(expected.data[i]))
        expect(Math.abs(got.data[i] - expected.data[i])).toBeLessThanOrEqual(slack * largest);
      else expect(got.data[i]).toBe(expected.data[i]);
    }
  }
}

/** Both kinds of session on several feeds, one after another, and the first again at the end. */
function expectBoth(graph: Graph, feeds: readonly ReadonlyMap<string, Tensor>[], slack = 2e-6): void {
  const [plain, simd] = [new Session(graph, { memoryBytes: 0 }), new Session(graph)];
  for (const fed of [...feeds, feeds[0]]) {
    expectSame(plain, fed);
    expectSame(simd, fed, slack);
  }
}

const feed = (tensors: Record<string, Tensor>): ReadonlyMap<string, Tensor> => new Map(Object.entries(tensors));

/** An attention layer as exporters write it: norm, projections with a bias, heads, mask, softmax, shapes computed from inputs. */
const LAYER =
  graphOf(`graph layer opset 17 (%x: f32[B,S,16], %past: f32[B,2,P,4], %mask: i64[B,T]) -> %y, %present, %probs {
  ${constant('wq', [16, 16], 1)}
  ${constant('wk', [8, 16], 2)}
  ${constant('bq', [16], 3)}
  ${constant('gain', [16], 4)}
  ${constant('wo', [16, 11], 5)}
  %two = const f32[] 2
  %eps = const f32[] 0.00001
  %sq = Pow %x, %two
  %mean = ReduceMean %sq {axes=[-1], keepdims=1}
  %meps = Add %mean, %eps
  %root = Sqrt %meps
  %norm = Div %x, %root
  %h = Mul %norm, %gain
  %q0 = MatMul %h, %wq
  %q1 = Add %q0, %bq
  %shape = Shape %x
  %i0 = const i64[] 0
  %i1 = const i64[] 1
  %b = Gather %shape, %i0 {axis=0}
  %s = Gather %shape, %i1 {axis=0}
  %ax = const i64[1] [0]
  %b1 = Unsqueeze %b, %ax
  %s1 = Unsqueeze %s, %ax
  %four = const i64[1] [4]
  %rest = const i64[1] [-1]
  %target = Concat %b1, %s1, %rest, %four {axis=0}
  %q2 = Reshape %q1, %target
  %q = Transpose %q2 {perm=[0, 2, 1, 3]}
  %wkt = Transpose %wk {perm=[1, 0]}
  %k0 = MatMul %h, %wkt
  %k1 = Reshape %k0, %target
  %k2 = Transpose %k1 {perm=[0, 2, 1, 3]}
  %present = Concat %past, %k2 {axis=2}
  %ax2 = const i64[1] [2]
  %k3 = Unsqueeze %present, %ax2
  %pshape = Shape %present
  %i2 = const i64[] 2
  %t = Gather %pshape, %i2 {axis=0}
  %t1 = Unsqueeze %t, %ax
  %twos = const i64[2] [2, 2]
  %grown = Concat %b1, %twos, %t1, %four {axis=0}
  %k4 = Expand %k3, %grown
  %heads = const i64[1] [4]
  %joined = Concat %b1, %heads, %t1, %four {axis=0}
  %k = Reshape %k4, %joined
  %kt = Transpose %k {perm=[0, 1, 3, 2]}
  %scores = MatMul %q, %kt
  %ax12 = const i64[2] [1, 2]
  %m1 = Unsqueeze %mask, %ax12
  %zero = const i64[] 0
  %open = Equal %m1, %zero
  %low = const f32[] -10000
  %masked = Where %open, %low, %scores
  %probs = Softmax %masked {axis=-1}
  %o = MatMul %probs, %k
  %o1 = Transpose %o {perm=[0, 2, 1, 3]}
  %flat = Concat %b1, %s1, %rest {axis=0}
  %o2 = Reshape %o1, %flat
  %o3 = MatMul %o2, %wo
  %g = Sigmoid %o3
  %y = Mul %o3, %g
}`);

const layerFeeds = (batch: number, length: number, past: number, seed: number): ReadonlyMap<string, Tensor> =>
  feed({
    x: noise([batch, length, 16], seed),
    past: noise([batch, 2, past, 4], seed + 1),
    mask: fromNumbers(
      'i64',
      [batch, past + length],
      Array.from({ length: batch * (past + length) }, (_, i) => (i % 5 === 3 ? 0 : 1)),
    ),
  });

describe('a layer', () => {
  test('of any lengths, one after another', () => {
    expectBoth(LAYER, [
      layerFeeds(1, 5, 0, 1),
      layerFeeds(1, 1, 5, 2),
      layerFeeds(1, 1, 6, 3),
      layerFeeds(2, 3, 9, 4),
      layerFeeds(1, 17, 30, 5),
    ]);
  });

  test("results are the caller's: later calls leave them alone", () => {
    const session = new Session(LAYER);
    const first = session.run(layerFeeds(1, 3, 2, 1)).get('y');
    const kept = Array.from(first?.data ?? []);
    session.run(layerFeeds(1, 3, 2, 9));
    expect(Array.from(first?.data ?? [])).toEqual(kept);
  });

  test('keys kept in the session are the keys fed back', () => {
    const session = new Session(LAYER, { caches: [{ past: 'past', present: 'present' }] });
    const step = (length: number, seed: number, wanted?: readonly string[]) => {
      const { x, mask } = Object.fromEntries(layerFeeds(1, length, session.length, seed));
      return session.run(feed({ x, mask }), wanted);
    };
    let past: Tensor = noise([1, 2, 0, 4], 0);
    for (const [i, length] of [4, 1, 1, 20, 1].entries()) {
      const feeds = new Map(layerFeeds(1, length, past.shape[2], i)).set('past', past);
      const expected = new Session(LAYER).run(feeds);
      const found = step(length, i, ['y', 'present']);
      expect(found.get('y')).toEqual(expected.get('y'));
      expect(found.get('present')).toEqual(expected.get('present'));
      past = expected.get('present') ?? past;
    }
    expect(session.length).toBe(27);
    session.truncate(5);
    expect(step(1, 7, ['present']).get('present')?.shape).toEqual([1, 2, 6, 4]);
    expect([...step(1, 8).keys()]).toEqual(['y', 'probs']);
  });
});

describe('products', () => {
  const extent = fc.integer({ min: 1, max: 12 });
  const stack = fc.constantFrom(
    [[], []],
    [[3], []],
    [[3], [3]],
    [
      [2, 1],
      [1, 3],
    ],
    [[], [2]],
    [[2, 2], [2]],
  );

  test('stacks that broadcast, transposed or not, constant or not', () => {
    fc.assert(
      fc.property(extent, extent, extent, stack, fc.boolean(), fc.boolean(), (m, n, k, [sa, sb], flipA, flipB) => {
        const shapeA = [...sa, ...(flipA ? [k, m] : [m, k])];
        const shapeB = [...sb, ...(flipB ? [n, k] : [k, n])];
        const flip = (name: string, shape: readonly number[], flipped: boolean): string => {
          const r = shape.length;
          const perm = [...shape.keys()].slice(0, r - 2).concat(flipped ? [r - 1, r - 2] : [r - 2, r - 1]);
          return `%${name}t = Transpose %${name} {perm=[${perm.join(', ')}]}`;
        };
        const body = `${flip('a', shapeA, flipA)}\n  ${flip('b', shapeB, flipB)}\n  %c = MatMul %at, %bt\n  %y = Relu %c\n}`;
        const a = noise(shapeA, m);
        const both = graphOf(`graph g opset 17 (%a: f32[${shapeA}], %b: f32[${shapeB}]) -> %y {\n  ${body}`);
        expectBoth(both, [feed({ a, b: noise(shapeB, n) })]);
        const fixed = graphOf(
          `graph g opset 17 (%a: f32[${shapeA}]) -> %y {\n  ${constant('b', shapeB, k)}\n  ${body}`,
        );
        expectBoth(fixed, [feed({ a })]);
      }),
      { numRuns: 20 },
    );
  });

  test('Gemm, vectors, and types narrower than f32', () => {
    const gemm = graphOf(`graph g opset 17 (%a: f32[M,6]) -> %y, %z, %v {
      ${constant('b', [9, 6], 1)}
      ${constant('c', [9], 2)}
      ${constant('u', [6], 3)}
      %y = Gemm %a, %b, %c {transB=1}
      %z = Gemm %a, %b {transB=1, alpha=0.5}
      %v = MatMul %a, %u
    }`);
    expectBoth(gemm, [feed({ a: noise([5, 6], 1) }), feed({ a: noise([1, 6], 2) })]);
    const half = graphOf(`graph g opset 17 (%a: f16[M,6]) -> %y {
      %b = const f16[6,9] normal(seed=1)
      %y = MatMul %a, %b
    }`);
    expectBoth(half, [feed({ a: { ...noise([3, 6], 1), dtype: 'f16' } })], 1e-3);
  });

  test('a bias that others see, too, is not taken into the product', () => {
    const graph = graphOf(`graph g opset 17 (%a: f32[M,6]) -> %y, %z {
      ${constant('b', [6, 9], 1)}
      ${constant('c', [9], 2)}
      %p = MatMul %a, %b
      %y = Add %p, %c
      %z = Mul %p, %y
    }`);
    expectBoth(graph, [feed({ a: noise([5, 6], 1) })]);
  });

  test('weights that stay codes', () => {
    for (const [stored, block] of [
      ['i8', [6, 1]],
      ['u8', [1, 9]],
      ['i4', [2, 1]],
      ['u4', [4, 3]],
      ['i4', [3, 1]],
      ['f8e4m3fn', [6, 1]],
    ] as const) {
      const graph = graphOf(
        `graph g opset 17 (%a: f32[M,6]) -> %y {\n  ${constant('b', [6, 9], 1)}\n  %y = MatMul %a, %b\n}`,
      );
      const groups = Math.ceil(6 / block[0]) * Math.ceil(9 / block[1]);
      const weight = quantizedConstant('b', {
        stored,
        shape: [6, 9],
        codes: Float32Array.from({ length: 54 }, (_, i) => (i * 7) % 8),
        block: [...block],
        scales: Float32Array.from({ length: groups }, (_, i) => 0.01 * (i + 1)),
        scaleType: 'f32',
        zeros: Float32Array.from({ length: groups }, (_, i) => i % 3),
      });
      const constants = new Map([...graph.constants].map(([v]) => [v, weight]));
      const session = new Session({ ...graph, constants });
      for (const rows of [1, 3, 6]) expectSame(session, feed({ a: noise([rows, 6], rows) }), 2e-6);
      expect(session.remarks).toEqual([]);
    }
  });

  test('whole numbers', () => {
    const graph = graphOf(`graph g opset 17 (%a: u8[B,M,7], %z: u8[]) -> %x, %y, %w {
      %b = const i8[7,9] normal(seed=1, std=60)
      %zb = const i8[9] [0, 1, -2, 3, -4, 5, -128, 127, 8]
      %x = MatMulInteger %a, %b
      %y = MatMulInteger %a, %b, %z, %zb
      %w = MatMulInteger %a, %b, %z
    }`);
    const bytes = (shape: readonly number[]): Tensor =>
      fromNumbers(
        'u8',
        shape,
        Array.from({ length: sizeOf(shape) }, (_, i) => (i * 89) % 256),
      );
    const fed = (m: number, z: number) => feed({ a: bytes([2, m, 7]), z: fromNumbers('u8', [], [z]) });
    expectBoth(graph, [fed(3, 128), fed(1, 255), fed(6, 0)], 0);
  });

  test('without room for its weights a session says so, and runs', () => {
    const graph = graphOf(
      `graph g opset 17 (%a: f32[M,300]) -> %y {\n  ${constant('b', [300, 1000], 1)}\n  %y = MatMul %a, %b\n}`,
    );
    const session = new Session(graph, { memoryBytes: 2 ** 17 });
    expectSame(session, feed({ a: noise([2, 300], 1) }), 2e-6);
    expectSame(session, feed({ a: noise([3, 300], 2) }), 2e-6);
    expect(session.remarks).toEqual(['b does not fit kernel memory: its products run in plain TypeScript']);
  });
});

describe('what is known only at run time', () => {
  test('shapes that values decide', () => {
    const graph = graphOf(`graph g opset 17 (%x: f32[N], %n: i64[1]) -> %y, %z {
      %at = NonZero %x
      %first = const i64[1] [0]
      %row = Squeeze %at, %first
      %y = Gather %x, %row {axis=0}
      %one = const f32[] 1
      %shape = ConstantOfShape %n {value=const f32[1] 3}
      %z = Add %shape, %one
    }`);
    const fed = (values: number[], n: number) =>
      feed({ x: fromNumbers('f32', [values.length], values), n: fromNumbers('i64', [1], [n]) });
    expectBoth(graph, [fed([1, 0, 2], 4), fed([0, 0, 5], 2), fed([0, 0, 0], 0), fed([3, 3, 3, 3], 9)]);
  });

  test('shapes that inference took to be equal', () => {
    // Inference takes a broadcast of two open dims for the left one: %s has the type of %x, and at run time the shape of %y.
    const graph = graphOf(`graph g opset 17 (%x: f32[N], %y: f32[M]) -> %z, %s {
      %s = Add %x, %y
      %t = Neg %s
      %a = Shape %x
      %b = Shape %t
      %z = Concat %a, %b {axis=0}
    }`);
    const fed = (n: number, m: number) => feed({ x: noise([n], n), y: noise([m], m) });
    expectBoth(graph, [fed(3, 3), fed(1, 4), fed(2, 2)]);
  });

  test('bodies read the values around them', () => {
    const graph = graphOf(`graph g opset 17 (%x: f32[N], %c: bool[]) -> %y {
      %h = Neg %x
      %y = If %c {then_branch=graph t () captures (%h: f32[N] = %h) -> %a {
        %a = Exp %h
      }, else_branch=graph e () captures (%h: f32[N] = %h, %x: f32[N] = %x) -> %b {
        %b = Add %h, %x
      }}
    }`);
    const fed = (c: number, n = 3) => feed({ x: noise([n], c), c: fromNumbers('bool', [], [c]) });
    expectBoth(graph, [fed(1), fed(0), fed(1, 5), fed(0, 2)]);
  });

  test('a fault names its node, and the session goes on', () => {
    const graph = graphOf(
      `graph g opset 17 (%i: i64[N]) -> %y {\n  ${constant('t', [4, 3], 1)}\n  %y = Gather %t, %i {axis=0}  // node /embed\n}`,
    );
    const session = new Session(graph);
    const fed = (i: number) => feed({ i: fromNumbers('i64', [1], [i]) });
    expect(() => session.run(fed(4))).toThrow('expected an index in -4..3, found 4');
    expectSame(session, fed(-1));
    expect(() => session.run(new Map())).toThrow('input i: expected i64[N], found nothing');
  });
});
