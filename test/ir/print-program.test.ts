import { expect, test } from 'vitest';
import type { Program } from '../../src/ir/facts.ts';
import { id, type OpId, type ValueId } from '../../src/ir/ids.ts';
import { parseGraph } from '../../src/ir/parse.ts';
import { printGraph } from '../../src/ir/print.ts';
import { printProgram, printProgramOp, printRanges } from '../../src/ir/print-program.ts';
import { programOf } from '../support/program.ts';

const graph = parseGraph(`graph g (%x: f32[1,4]) -> %y {
  %w = const f32[4,4] @"w"
  %y: f32[1,4] = MatMul %x, %w
}`);
const value = (n: number): ValueId => id<'value'>(n);
const op = (n: number): OpId => id<'op'>(n);

const program: Program = {
  ...programOf(graph),
  roles: new Map([
    ['x', { kind: 'plain' }],
    ['past 0', { kind: 'past', cache: 0 }],
  ]),
  stages: {
    host: [],
    stages: [
      { name: 'layer0', template: 0, ops: [op(0)], inputs: [value(0)], outputs: [value(2)], weights: [value(1)] },
    ],
    templates: [{ name: 'layer', exemplar: 0 }],
  },
  mapping: {
    groups: [[0]],
    programs: [
      {
        shape: { width: 2, height: 2, groups: 1 },
        tokens: 1,
        context: 8,
        tensors: [
          { name: 'x', role: 'input', dtype: 'f16', shape: [1, 4], layout: { dims: [[], ['y']], partial: null } },
          { name: 'w', role: 'weight', dtype: 'f16', shape: [4, 4], layout: { dims: [['y'], ['xi']], partial: null } },
          {
            name: 'y',
            role: 'output',
            dtype: 'f32',
            shape: [1, 4],
            layout: { dims: [[], ['xi']], partial: { combine: 'sum', axes: ['y'] } },
          },
        ],
        ops: [
          { op: 'gemv', x: 0, weights: [1], outputs: [2], node: '/fc1' },
          { op: 'all_reduce', axes: ['y'], combine: 'sum', dim: -1, inputs: [2], outputs: [2], node: '' },
        ],
        inputs: [{ tensor: 0, kind: 'activation' }],
        outputs: [2],
        results: [],
        weights: [1],
        weightSources: [0],
        caches: [],
      },
    ],
  },
  placement: { regions: [{ stages: [0], x: 0, y: 0, width: 2, height: 2 }] },
  memory: {
    maps: [{ peakBytes: 64, buffers: [{ name: 'w', kind: 'weight', offset: 0, bytes: 8, live: [0, 2] }] }],
  },
};

test('facts are comments after the graph', () => {
  const text = printProgram(program);
  expect(text.startsWith(printGraph(graph))).toBe(true);
  expect(printGraph(parseGraph(text))).toBe(printGraph(graph));
  expect(text.slice(printGraph(graph).length)).toMatchInlineSnapshot(`
    "// target tiny; whole, batch 1, context 16
    // role x: plain
    // role "past 0": past 0
    // stages: 1 of 1 templates; host ops none
    //   layer0 (layer): ops 0, %x -> %y, weights %w
    // mapping: 0
    //   program layer: 2x2 in 1 groups, 1 tokens, context 8, x (activation) -> y
    //     input x: f16[1,4]{1@y, rep x}
    //     weight w: f16[4,4]{0@y, 1@xi, rep xo}
    //     output y: f32[1,4]{1@xi, partial(sum)@y, rep xo}
    //     0: gemv x=x, weights=w -> y  // /fc1
    //     1: all_reduce axes=y, combine=sum, dim=-1, inputs=y -> y
    // placement: 1 regions
    //   region 0: 2x2 at (0,0), stages 0
    // memory of group 0: peak 64 bytes
    //   0..8 weight w, live at 0..2
    "
  `);
});

test('a token index is a number, other indices are tensors', () => {
  const name = (t: number): string => `t${t}`;
  expect(printProgramOp({ op: 'token', x: 3, index: -1, out: 4, node: '' }, name)).toBe('token x=t3, index=-1 -> t4');
  expect(printProgramOp({ op: 'embed', table: 0, index: 1, out: 2, node: '' }, name)).toBe(
    'embed table=t0, index=t1 -> t2',
  );
});

test('ranges of ids', () => {
  expect([[], [4], [0, 1, 2, 7, 9, 10]].map(printRanges)).toEqual(['none', '4', '0..2, 7, 9..10']);
});
