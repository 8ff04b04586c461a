/** Models that are fed features instead of token ids: patches of an image, embeddings made elsewhere. */
import { expect, test } from 'vitest';
import splitStages from '../../passes/3-partition/split-stages.ts';
import { GraphBuilder, type Scope } from '../../models/graph-builder.ts';
import { Diagnosed } from '../../src/diag/diagnostic.ts';
import { step } from '../../src/pass/pass.ts';
import { QUIET, runPasses } from '../../src/pass/manager.ts';
import type { WritableModel } from '../../src/onnx/writer.ts';
import { TINY } from '../support/program.ts';
import { expectSame, lift, type Lifted, opsOf, refusal } from './support.ts';

const WIDTH = 12;

/** One head of attention over x [1, n, WIDTH], with a norm before it. */
function layer(s: Scope, x: string): string {
  const b = s.builder;
  const normed = s.op('LayerNormalization', [x, b.weight('gain', [WIDTH], 0.1, 1), b.weight('shift', [WIDTH], 0.1)]);
  const [q, k, v] = ['q', 'k', 'v'].map((name) => s.op('MatMul', [normed, b.weight(name, [WIDTH, WIDTH], 0.3)]));
  const scores = s.op('MatMul', [q, s.op('Transpose', [k], { perm: [0, 2, 1] })]);
  const mixed = s.op('MatMul', [s.op('Softmax', [s.op('Mul', [scores, s.scalar(WIDTH ** -0.5)])], { axis: -1 }), v]);
  return s.op('Add', [x, mixed]);
}

function imageModel(): WritableModel {
  const b = new GraphBuilder('f32', 3);
  const s = b.scope('/vit');
  b.input('pixel_values', 'f32', [1, 3, 8, 8]);
  b.output('features', [1, 5, WIDTH]);
  const conv = s.op(
    'Conv',
    ['pixel_values', b.weight('patch', [WIDTH, 3, 4, 4], 0.2), b.weight('patch.bias', [WIDTH], 0.2)],
    {
      kernel_shape: [4, 4],
      strides: [4, 4],
    },
  );
  const patches = s.op('Transpose', [s.reshape(conv, [1, WIDTH, 4])], { perm: [0, 2, 1] });
  const all = s.op('Concat', [b.weight('cls', [1, 1, WIDTH], 1), patches], { axis: 1 });
  const placed = s.op('Add', [all, b.weight('positions', [1, 5, WIDTH], 1)]);
  b.scope('/head').op('MatMul', [layer(s, placed), b.weight('head', [WIDTH, WIDTH], 0.3)], {}, 'features');
  return b.finish('vit', 17);
}

function embedsModel(): WritableModel {
  const b = new GraphBuilder('f32', 3);
  b.input('inputs_embeds', 'f32', ['batch', 'length', WIDTH]);
  b.output('hidden', ['batch', 'length', WIDTH]);
  b.scope('/head').op(
    'MatMul',
    [layer(b.scope('/m'), 'inputs_embeds'), b.weight('head', [WIDTH, WIDTH], 0.3)],
    {},
    'hidden',
  );
  return b.finish('embeds', 17);
}

function stagesOf({ after, roles }: Lifted): number | undefined {
  const mode = { kind: 'whole', batch: 1, context: 5 } as const;
  return runPasses({ graph: after, roles, target: TINY, mode }, [step(splitStages, {})], QUIET).stages?.stages.length;
}

test('an image: patches are cut by the host, activations begin at the first norm', () => {
  const lifted = lift(imageModel());
  expect(opsOf(lifted.after, 'wafc.attention')).toHaveLength(1);
  expect(opsOf(lifted.after, 'wafc.linear')).toHaveLength(4);
  expect(stagesOf(lifted)).toBeGreaterThan(0);
  expectSame(lifted);
});

test('embeddings that are fed have a batch and an open length', () => {
  const lifted = lift(embedsModel());
  const [input] = lifted.after.inputs;
  expect(lifted.after.types[input].shape.map(String)).toEqual(['1', expect.any(String), String(WIDTH)]);
  expect(opsOf(lifted.after, 'wafc.attention')).toHaveLength(1);
  expectSame(lifted);
});

test('one-hot ids times a matrix are activations, and what mixes them is named', () => {
  const b = new GraphBuilder('f32', 3);
  const s = b.scope('/m');
  b.input('ids', 'i64', [1, 6]);
  b.output('y', [1, WIDTH]);
  const hot = s.op('OneHot', ['ids', s.ints(8), b.weight('values', [2], 1)]);
  const x = s.op('MatMul', [hot, b.weight('table', [8, WIDTH], 1)]);
  s.op('ReduceMax', [x], { axes: [1], keepdims: 0 }, 'y');
  expect(refusal(b.finish('bytes', 17))).toMatchObject([
    { code: 'lift/not-token-wise', message: 'ReduceMax has no token-wise form yet', node: '/m/ReduceMax' },
  ]);
});

test('a norm without gains, and attention whose softmax has one key, which is none', () => {
  const b = new GraphBuilder('f32', 3);
  const s = b.scope('/m');
  b.input('x', 'f32', ['batch', 'length', WIDTH]);
  b.output('y', ['batch', 'length', WIDTH]);
  const v = s.op('MatMul', ['x', b.weight('v', [WIDTH, WIDTH], 0.3)]);
  // The batch stands where tokens should be: [B, L, F] -> [L, B, F], as torch's encoder layers take it by default.
  const rows = s.op('Transpose', [v], { perm: [1, 0, 2] });
  const scores = s.op('MatMul', [rows, s.op('Transpose', [rows], { perm: [0, 2, 1] })]);
  const mixed = s.op('MatMul', [s.op('Softmax', [scores], { axis: 2 }), rows]);
  const sum = s.op('Add', ['x', s.op('Transpose', [mixed], { perm: [1, 0, 2] })]);
  const centred = s.op('Sub', [sum, s.op('ReduceMean', [sum], { axes: [-1] })]);
  const variance = s.op('ReduceMean', [s.op('Pow', [centred, s.scalar(2)])], { axes: [-1] });
  const normed = s.op('Div', [centred, s.op('Sqrt', [s.op('Add', [variance, s.scalar(1e-5)])])]);
  b.scope('/head').op('MatMul', [normed, b.weight('head', [WIDTH, WIDTH], 0.3)], {}, 'y');
  const lifted = lift(b.finish('encoder', 17));
  expect(lifted.after.ops.map(({ kind }) => kind)).toEqual(['wafc.linear', 'Add', 'wafc.layernorm', 'wafc.linear']);
  expectSame(lifted);
});

test('a table that is written out for every sequence of a batch is one table', () => {
  const b = new GraphBuilder('f32', 3);
  const s = b.scope('/m');
  b.input('ids', 'i64', [2, 3]);
  b.output('y', [2, 3, WIDTH]);
  const table = Array.from({ length: 3 * WIDTH }, (_, i) => Math.sin(i));
  const words = s.op('Gather', [b.weight('words', [12, WIDTH], 1), 'ids']);
  const x = s.op('Add', [words, s.constant('f32', [...table, ...table], [2, 3, WIDTH])]);
  b.scope('/head').op('MatMul', [x, b.weight('head', [WIDTH, WIDTH], 0.3)], {}, 'y');
  const { after, before, roles } = lift(b.finish('placed', 17), 2);
  expect([...after.constants.values()].map(({ shape }) => shape)).toContainEqual([3, WIDTH]);
  expect(before.ops.length).toBeGreaterThan(0);
  expect(roles.get('ids')).toEqual({ kind: 'tokens' });
});

test('a graph of host arithmetic alone has no stages', () => {
  const b = new GraphBuilder('f32', 3);
  b.input('x', 'f32', [1, 4, 4]);
  b.output('y', [1, 4, 4]);
  b.scope('/m').op('Add', ['x', b.weight('w', [4, 4], 1)], {}, 'y');
  const stages = (): unknown => stagesOf(lift(b.finish('sum', 17)));
  expect(stages).toThrow(Diagnosed);
  try {
    stages();
  } catch (error) {
    expect((error as Diagnosed).diagnostics).toMatchObject([
      {
        code: 'map/no-stages',
        message: 'sum has nothing to place: no op multiplies, normalises or attends to activations',
        node: '/m/Add',
        notes: ['models that work have linear layers, norms or attention over token embeddings or fed features'],
      },
    ]);
  }
});
