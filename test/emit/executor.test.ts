/** The text of executor.ts: blocks, names, literals, bodies; the same bytes for the same model. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { findBlocks } from '../../src/emit/blocks.ts';
import { emitExecutor } from '../../src/emit/executor.ts';
import { nameByInstance, Names, shortName } from '../../src/emit/names.ts';
import { quote } from '../../src/emit/syntax.ts';
import { importModel } from '../../src/frontend/import.ts';
import type { OpId } from '../../src/ir/ids.ts';
import { parseGraph } from '../../src/ir/parse.ts';
import { permuteModel, PICO } from '../e2e/support.ts';

const emitted = (wir: string): string =>
  emitExecutor({ graph: parseGraph(wir), roles: new Map(), generator: 'wafc 0.0.0' });

/** Layers of five ops; a mask that the first layer makes, and all of them read. */
function layers(count: number): string {
  const lines: string[] = [];
  for (let l = 0; l < count; l++) {
    const from = l === 0 ? '%x' : `%h${l - 1}`;
    lines.push(
      `%w${l} = const f32[8,8] @"w${l}"`,
      `%a${l}: f32[4,8] = MatMul ${from}, %w${l}  // node /layers.${l}/up`,
    );
    if (l === 0) lines.push('%m: f32[4,8] = Cos %x  // node /mask');
    lines.push(
      `%b${l}: f32[4,8] = Mul %a${l}, %m  // node /layers.${l}/mask`,
      `%c${l}: f32[4,8] = Sigmoid %b${l}  // node /layers.${l}/act_${7 + 3 * l}`,
      `%d${l}: f32[4,8] = Mul %b${l}, %c${l}  // node /layers.${l}/gate`,
      `%e${l}: f32[4,8] = Neg %d${l}  // node /layers.${l}/neg`,
      `%f${l}: f32[4,8] = Exp %e${l}  // node /layers.${l}/exp`,
      `%h${l}: f32[4,8] = Add ${from}, %f${l}  // node /layers.${l}/add`,
    );
  }
  return `graph g opset 17 (%x: f32[4,8]) -> %y {\n${lines.join('\n')}\n%y: f32[4,8] = Neg %h${count - 1}  // node /head\n}\n`;
}

describe('blocks', () => {
  const graph = parseGraph(layers(5));
  const order = [...graph.ops.keys()].map((at) => at as OpId);
  const parts = findBlocks(graph, order);

  test('all layers are one block, cut where one value crosses; what they share comes before', () => {
    expect(parts.map((p) => (p.kind === 'ops' ? p.ops.length : p.instances.map((ops) => ops.length)))).toEqual([
      1,
      [7, 7, 7, 7, 7],
      1,
    ]);
  });
  test('every op is in one part, after what it reads', () => {
    const flat = parts.flatMap((p) => (p.kind === 'ops' ? p.ops : p.instances.flat()));
    expect([...flat].sort((a, b) => a - b)).toEqual(order);
    const made = new Set(graph.inputs);
    for (const at of flat) {
      for (const v of graph.ops[at].inputs) expect(v === null || graph.constants.has(v) || made.has(v)).toBe(true);
      for (const v of graph.ops[at].outputs) if (v !== null) made.add(v);
    }
  });
  test('a layer that is wired in another way is not an instance', () => {
    const other = parseGraph(layers(5).replace('Mul %b3, %c3', 'Mul %c3, %b3'));
    const found = findBlocks(other, order).flatMap((p) => (p.kind === 'block' ? [p.instances.length] : []));
    expect(found).toEqual([3]);
  });
  test('two layers are not worth a function, nor ops that do not repeat', () => {
    const few = parseGraph(layers(1));
    expect(
      findBlocks(
        few,
        [...few.ops.keys()].map((at) => at as OpId),
      ).map((p) => p.kind),
    ).toEqual(['ops']);
  });
});

test('a model of five layers', async () => {
  await expect(emitted(layers(5))).toMatchFileSnapshot('snapshots/layers.txt');
});

test('operands that are one value in the first instance, and two in others, are two parameters', () => {
  const lines = [0, 1, 2].flatMap((l) => {
    const from = l === 0 ? '%x' : `%h${l - 1}`;
    return [
      `%a${l}: f32[4] = Add ${from}, ${l === 1 ? '%y' : '%x'}  // node a${l}`,
      ...['b', 'c', 'd', 'e', 'f', 'g'].map((v, i) => `%${v}${l}: f32[4] = Neg %${'abcdef'[i]}${l}  // node ${v}${l}`),
      `%h${l}: f32[4] = Exp %g${l}  // node h${l}`,
    ];
  });
  const text = emitted(`graph g opset 17 (%x: f32[4], %y: f32[4]) -> %h2 {\n${lines.join('\n')}\n}\n`);
  expect(text).toContain("op('Add', 17, [x, x_2], {}, `a${k}`)");
  expect(text).toContain("= layer(0, inputs['x'], inputs['x']);");
  expect(text).toContain("= layer(1, h0, inputs['y']);");
});

test('what nothing reads gets no name, and what is not used is not there', () => {
  const text = emitted(`graph g opset 17 (%x: f32[4]) -> %b {
    %a: f32[2], %b: f32[2] = Split %x {num_outputs=2}  // node cut
  }
`);
  expect(text).toContain(
    "const [, b] = op('Split', 17, [inputs['x']], { num_outputs: 2 }, 'cut', 2); // f32[2], f32[2]",
  );
  expect(text).not.toContain('openWeights');
});

test('bodies are closures; odd names, numbers and strings are kept', async () => {
  const text = `graph "odd */ name" opset 17 (%cond: bool[], %x: f32[S,2], %"in put": i64[1]) -> %y, %"a'b" {
    %far: i64[2] = Constant {value=const i64[2] [9223372036854775807, -1]}
    %inf: f32[3] = Constant {value=const f32[3] [inf, -0, 0.1]}
    %y: f32[S,2] = If %cond {else_branch=graph else () captures (%x1: f32[S,2] = %x) -> %n {
      %n: f32[S,2] = Neg %x1
    }, then_branch=graph then () captures (%x2: f32[S,2] = %x, %at: i64[1] = %"in put", %to: i64[2] = %far) -> %k {
      %w = const f32[6] @"inner"
      %s: f32[1,2] = Slice %w, %at, %to
      %k: f32[S,2] = Mul %x2, %s
    }}  // node it's a \`node\`
    %"a'b": f32[3] = Einsum %inf {equation="i->i"}  // node class
  }
`;
  await expect(emitted(text)).toMatchFileSnapshot('snapshots/bodies.txt');
});

test('the same model with its nodes in another order is the same text', () => {
  const folder = mkdtempSync(join(tmpdir(), 'wafc-emit-'));
  try {
    const path = join(PICO, 'decoder_with_past.onnx');
    const textOf = (file: string): string => {
      const { graph, roles } = importModel(file);
      return emitExecutor({ graph, roles: roles.byName, generator: 'wafc 0.0.0' });
    };
    const text = textOf(path);
    permuteModel(path, join(folder, 'other.onnx'), 1);
    expect(textOf(join(folder, 'other.onnx'))).toBe(text);
    // 804 ops of 4 layers: one function, four calls.
    expect(text.match(/= layer\(/g)).toHaveLength(4);
    expect(text.split('\n').length).toBeLessThan(330);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

describe('names', () => {
  test('identifiers', () => {
    const outer = new Names();
    expect(['class', 'a b', '7', '', 'a_b', 'op'].map((name) => outer.add(name))).toEqual([
      'class_2',
      'a_b',
      'v7',
      'value',
      'a_b_2',
      'op_2',
    ]);
    expect(new Names(outer).add('v7')).toBe('v7_2');
  });
  test('telling ends', () => {
    expect(
      ['/m/layers.0/self_attn/q_proj/MatMul_output_0', '/m/layers.3/Add', 'present.0.key', 'linear_7'].map((name) =>
        shortName(name),
      ),
    ).toEqual(['q_proj_MatMul', 'Add', 'present_0_key', 'linear_7']);
  });
  test('numbers that grow evenly are written with k', () => {
    expect(nameByInstance(['a', 'a'])).toBe("'a'");
    expect(nameByInstance(['l.1/n9', 'l.2/n6', 'l.3/n3'])).toBe('`l.${1 + k}/n${9 - 3 * k}`');
    expect(nameByInstance(['l0', 'l1', 'l3'])).toBeUndefined();
    expect(nameByInstance(['l01', 'l02'])).toBeUndefined();
    expect(nameByInstance(['a`0', 'a`1'])).toBe('`a\\`${k}`');
  });
  test.each(["it's", '"', '\\', '\\"', 'a\nb', '\u2028', "\\'"])('%j in quotes reads back', (text) => {
    expect(new Function(`return ${quote(text)}`)()).toBe(text);
  });
});
