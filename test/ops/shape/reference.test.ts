/** The reference executor: feeds, demand, lifetimes, bodies. */
import { describe, expect, test } from 'vitest';
import { constantCache, evaluate, runGraph } from '../../../src/exec/reference.ts';
import { inferTypes } from '../../../src/frontend/infer.ts';
import { bytesSource, type Constant, denseConstant } from '../../../src/ir/constant.ts';
import type { Graph } from '../../../src/ir/graph.ts';
import { parseGraph } from '../../../src/ir/parse.ts';
import { fromNumbers, type Tensor } from '../../../src/tensor/tensor.ts';

const graphOf = (text: string): Graph => inferTypes(parseGraph(text));
const f32 = (shape: number[], values: number[]): Tensor => fromNumbers('f32', shape, values);
const numbers = (t: Tensor | undefined): number[] => Array.from(t?.data ?? []);

const sums = graphOf(`graph g (%a: f32[N], %b: f32[N], %c: f32[2*N]) -> %y {
  %x: f32[N] = Add %a, %b
  %z: f32[2*N] = Neg %c
  %y: f32[N] = Mul %x, %x
}`);
const feeds = { a: f32([2], [1, 2]), b: f32([2], [3, 4]), c: f32([4], [0, 0, 0, 0]) };
const fed = (more: Record<string, Tensor | undefined>): Map<string, Tensor> =>
  new Map(Object.entries({ ...feeds, ...more }).flatMap(([k, v]): [string, Tensor][] => (v ? [[k, v]] : [])));

describe('feeds', () => {
  test('run', () => expect(numbers(runGraph(sums, fed({})).get('y'))).toEqual([16, 36]));
  test.each([
    ['a missing one', { a: undefined }, 'input a: expected f32[N], found nothing'],
    ['a dtype', { a: fromNumbers('i64', [2], [1, 2]) }, 'input a: expected f32[N], found i64[2]'],
    ['a rank', { a: f32([1, 2], [1, 2]) }, 'input a: expected f32[N], found f32[1,2]'],
    ['a dim', { b: f32([3], [1, 2, 3]) }, 'input b: expected 2 at axis 0 (N, by input a), found 3'],
    ['a dim by arithmetic', { c: f32([3], [1, 2, 3]) }, 'input c: expected 4 at axis 0 (2*N, by input a), found 3'],
    ['an unknown name', { d: feeds.a }, 'input d: expected one of a, b, c, found a feed of this name'],
  ])('%s is refused', (_, more, message) => expect(() => runGraph(sums, fed(more))).toThrow(message));
});

describe('evaluate', () => {
  const idOf = (name: string) =>
    sums.outputs
      .concat(
        sums.inputs,
        sums.ops.flatMap((op) => op.outputs.filter((v) => v !== null)),
      )
      .find((v) => sums.names[v] === name);
  test('computes only what is wanted', () => {
    const ran: string[] = [];
    const z = idOf('z');
    if (z === undefined) throw new Error('no z');
    const options = { observe: (op: { kind: string }) => void ran.push(op.kind) };
    expect(numbers(evaluate(sums, [z], new Map([['c', f32([2], [1, 2])]]), options)[0])).toEqual([-1, -2]);
    expect(ran).toEqual(['Neg']);
  });
  test('takes a fed value as it is', () => {
    const [y] = evaluate(sums, sums.outputs, new Map([['x', f32([1], [5])]]));
    expect(numbers(y)).toEqual([25]);
  });
  test('names the value that nobody gave', () => {
    expect(() => evaluate(sums, sums.outputs, new Map([['a', feeds.a]]))).toThrow('expected a value for b, found none');
  });
});

describe('constants', () => {
  const constant = (value: number): Constant =>
    denseConstant('f32', [256], bytesSource(`c${value}`, new Uint8Array(new Float32Array(256).fill(value).buffer)));
  test('are read once while they fit', () => {
    const cache = constantCache(4096);
    const c = constant(1);
    expect(cache.read(c)).toBe(cache.read(c));
  });
  test('leave the cache oldest first', () => {
    const cache = constantCache(2048);
    const [a, b, c] = [constant(1), constant(2), constant(3)];
    const first = cache.read(a);
    const second = cache.read(b);
    cache.read(a);
    cache.read(c);
    expect(cache.read(a)).toBe(first);
    expect(cache.read(b)).not.toBe(second);
  });
});

test('a bad value names its node', () => {
  const graph = graphOf(`graph g (%x: f32[3], %i: i64[1]) -> %y {
    %y: f32[1] = Gather %x, %i  // node /pick
  }`);
  const run = () =>
    runGraph(
      graph,
      new Map([
        ['x', f32([3], [1, 2, 3])],
        ['i', fromNumbers('i64', [1], [3])],
      ]),
    );
  expect(run).toThrow('expected an index in -3..2, found 3');
  try {
    run();
  } catch (error) {
    expect(error).toMatchObject({ diagnostics: [{ node: '/pick' }] });
  }
});

describe('bodies', () => {
  const conditional = (c: number) =>
    runGraph(
      graphOf(`graph g (%x: f32[1], %c: bool[]) -> %y {
        %one: f32[1] = Relu %x
        %y: f32[1] = If %c {else_branch=graph e () captures (%i: f32[1] = %one) -> %o {
          %o: f32[1] = Neg %i
        }, then_branch=graph t () captures (%i: f32[1] = %x, %d: bool[] = %c) -> %o {
          %o: f32[1] = If %d {else_branch=graph e () captures (%j: f32[1] = %i) -> %p {
            %p: f32[1] = Neg %j
          }, then_branch=graph t () captures (%j: f32[1] = %i) -> %p {
            %one = const f32[1] [10]
            %p: f32[1] = Add %j, %one
          }}
        }}
      }`),
      new Map([
        ['x', f32([1], [4])],
        ['c', fromNumbers('bool', [], [c])],
      ]),
    ).get('y');
  test('capture through two levels, and own names hide outer ones', () => {
    expect(numbers(conditional(1))).toEqual([14]);
    expect(numbers(conditional(0))).toEqual([-4]);
  });

  test('Loop carries state, captures, stops by condition and stacks its scans', () => {
    const graph = graphOf(
      `graph g (%n: i64[], %start: f32[1], %step: f32[1]) -> %last, %all {
      %yes = const bool[] 1
      %last: f32[1], %all: f32[?,1] = Loop %n, %yes, %start {body=graph b (%i: i64[], %c: bool[], %s: f32[1]) captures (%d: f32[1] = %step) -> %go, %t, %u {
        %t: f32[1] = Add %s, %d
        %u: f32[1] = Mul %t, %t
        %limit = const f32[1] [6]
        %less: bool[1] = Less %t, %limit
        %axes = const i64[1] [0]
        %go: bool[] = Squeeze %less, %axes
      }}
    }`.replace('[?,1]', '[N,1]'),
    );
    const run = (n: number) => {
      const out = runGraph(
        graph,
        new Map([
          ['n', fromNumbers('i64', [], [n])],
          ['start', f32([1], [1])],
          ['step', f32([1], [2])],
        ]),
      );
      return [numbers(out.get('last')), out.get('all')?.shape, numbers(out.get('all'))];
    };
    expect(run(2)).toEqual([[5], [2, 1], [9, 25]]);
    expect(run(9)).toEqual([[7], [3, 1], [9, 25, 49]]);
    expect(run(0)).toEqual([[1], [0, 1], []]);
  });
});
