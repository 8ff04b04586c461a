/** Activations and norms in the spellings of exporters become one op; functions that are nearly so do not. */
import { describe, expect, test } from 'vitest';
import cse from '../../passes/1-graph/cse.ts';
import deadCode from '../../passes/1-graph/dead-code.ts';
import foldConstants from '../../passes/1-graph/fold-constants.ts';
import fuseActivations from '../../passes/1-graph/fuse-activations.ts';
import fuseNorms from '../../passes/1-graph/fuse-norms.ts';
import type { Graph } from '../../src/ir/graph.ts';
import type { OpId, ValueId } from '../../src/ir/ids.ts';
import { parseGraph } from '../../src/ir/parse.ts';
import { conesOf, producersOf, relativeError, runCone, samples } from '../../src/match/cone.ts';
import { QUIET, runPasses } from '../../src/pass/manager.ts';
import { step } from '../../src/pass/pass.ts';
import { tensor } from '../../src/tensor/tensor.ts';
import { compareGraphs } from '../support/numerics.ts';
import { programOf } from '../support/program.ts';

const F = 8;
/** `name = Op a b ..`, one a line; numbers are scalar constants, `g` and `b` a gain and a bias. */
function graphOf(lines: string, dtype = 'f32'): Graph {
  const constants = new Set<string>();
  const named = (word: string): string => {
    if (!/^-?[\d.]+(?:e-?\d+)?$/.test(word)) return `%${word}`;
    constants.add(word);
    return `%c${word}`;
  };
  const reduced = new Set<string>();
  const types = new Map<string, string>();
  const body = lines
    .trim()
    .split('\n')
    .map((line) => {
      const [, name, op, rest] = /^\s*(\w+) = (\w+) (.*)$/.exec(line) ?? [];
      const [operands, attrs = ''] = rest.split('{');
      const words = operands.trim().split(/\s+/);
      const isMean = op === 'ReduceMean';
      if (isMean || words.every((w) => reduced.has(w) || /^-?[\d.]/.test(w))) reduced.add(name);
      const from = words.map((w) => types.get(w)).find((t) => t !== undefined) ?? dtype;
      const to = op === 'Cast' ? (attrs.includes('10') ? 'f16' : 'f32') : from;
      types.set(name, to);
      const shape = reduced.has(name) ? `2,${attrs.includes('-2') ? F : 1}` : `2,${F}`;
      return `  %${name}: ${to}[${shape}] = ${op} ${words.map(named).join(', ')}${attrs === '' ? '' : ` {${attrs}`}`;
    });
  const scalars = [...constants].map(
    (word) => `  %c${word} = const ${[...types.values()].includes('f32') ? 'f32' : dtype}[] ${word}`,
  );
  const vectors = ['g', 'b'].map((name, i) => `  %${name} = const ${dtype}[${F}] normal(seed=${i + 1})`);
  return parseGraph(
    `graph t opset 17 (%x: ${dtype}[2,${F}]) -> %y {\n${[...scalars, ...vectors, ...body].join('\n')}\n}`,
  );
}

const STEPS = [foldConstants, cse, fuseNorms, fuseActivations, deadCode].map((pass) => step(pass, {}));

/** Kinds of the ops that are left, after both graphs were run and compared. */
function fused(lines: string, dtype?: string): string[] {
  const before = graphOf(lines, dtype);
  const { graph } = runPasses(programOf(before), STEPS, QUIET);
  compareGraphs(before, graph, dtype === 'f16' ? 2e-2 : 1e-5);
  return graph.ops.map((op) => (op.kind === 'Gelu' ? `Gelu ${op.attrs.approximate}` : op.kind));
}

const TANH_INSIDE = `
  p = Pow x 3
  q = Mul p 0.044715
  r = Add x q
  t = Mul r 0.7978845608
  u = Tanh t`;

describe('activations', () => {
  test.each<[string, string, string]>([
    ['wafc.silu', 'x * sigmoid(x)', 's = Sigmoid x\ny = Mul x s'],
    ['wafc.silu', 'sigmoid(x) * x', 's = Sigmoid x\ny = Mul s x'],
    ['wafc.silu', 'x / (1 + exp(-x))', 'n = Neg x\ne = Exp n\nd = Add 1 e\ny = Div x d'],
    ['wafc.silu', 'x * 1 / (1 + exp(-x))', 'n = Mul x -1\ne = Exp n\nd = Add e 1\nr = Reciprocal d\ny = Mul x r'],
    ['wafc.silu', 'through tanh', 'h = Mul x 0.5\nt = Tanh h\nu = Add t 1\nv = Mul u 0.5\ny = Mul x v'],
    ['wafc.quick_gelu', 'x * sigmoid(1.702 x)', 'a = Mul x 1.702\ns = Sigmoid a\ny = Mul x s'],
    [
      'Gelu none',
      'x/2 (1 + erf(x / 1.414))',
      'd = Div x 1.4142135624\ne = Erf d\nu = Add e 1\nv = Mul x u\ny = Mul v 0.5',
    ],
    ['Gelu none', '0.5 x first', 'h = Mul 0.5 x\nd = Mul x 0.7071067812\ne = Erf d\nu = Add 1 e\ny = Mul u h'],
    ['Gelu none', 'divided by 2', 'd = Div x 1.4142135624\ne = Erf d\nu = Add e 1\nv = Mul x u\ny = Div v 2'],
    ['Gelu tanh', 'with Pow', `${TANH_INSIDE}\nv = Add u 1\nh = Mul x 0.5\ny = Mul h v`],
    [
      'Gelu tanh',
      'x (1 + 0.044715 x x)',
      'm = Mul x x\nq = Mul m 0.044715\nr = Add q 1\ns = Mul x r\nt = Mul s 0.7978845608\nu = Tanh t\nv = Add u 1\nw = Mul v x\ny = Mul w 0.5',
    ],
  ])('%s: %s', (kind, _, lines) => {
    expect(fused(lines)).toEqual([kind]);
    expect(fused(`${lines.replace(/\by = /, 'z = ')}\ny = Relu z`)).toEqual([kind, 'Relu']);
  });

  test('between casts to f32 and back', () => {
    const lines = 'a = Cast x {to=1}\ns = Sigmoid a\nm = Mul a s\ny = Cast m {to=10}';
    expect(fused(lines, 'f16')).toEqual(['Cast', 'wafc.silu', 'Cast']);
  });

  test.each<[string, string]>([
    ['sigmoid(x) + x', 's = Sigmoid x\ny = Add x s'],
    ['x * sigmoid(2 x)', 'a = Mul x 2\ns = Sigmoid a\ny = Mul x s'],
    ['x * sigmoid(1.6 x)', 'a = Mul x 1.6\ns = Sigmoid a\ny = Mul x s'],
    ['x * sigmoid(x + 0.01)', 'a = Add x 0.01\ns = Sigmoid a\ny = Mul x s'],
    ['1.001 x * sigmoid(x)', 's = Sigmoid x\na = Mul x 1.001\ny = Mul a s'],
    ['x * hard sigmoid', 'a = Mul x 0.2\nb0 = Add a 0.5\nk = Clip b0 0 1\ny = Mul x k'],
    ['x * sigmoid of x between -7 and 7', 'a = Clip x -7 7\ns = Sigmoid a\ny = Mul x s'],
    ['x * tanh(x)', 't = Tanh x\ny = Mul x t'],
    ['gelu with erf(x)', 'e = Erf x\nu = Add e 1\nv = Mul x u\ny = Mul v 0.5'],
    [
      'gelu with 0.05 x^3',
      'p = Pow x 3\nq = Mul p 0.05\nr = Add x q\nt = Mul r 0.7978845608\nu = Tanh t\nv = Add u 1\nh = Mul x 0.5\ny = Mul h v',
    ],
  ])('not %s', (_, lines) => {
    expect(fused(lines).filter((kind) => /silu|gelu/i.test(kind))).toEqual([]);
  });

  test('a product of two values is no activation of one', () => {
    const before = parseGraph(`graph t opset 17 (%x: f32[4], %z: f32[4]) -> %y {
  %s: f32[4] = Sigmoid %z
  %y: f32[4] = Mul %x, %s
}`);
    const { graph } = runPasses(programOf(before), STEPS, QUIET);
    expect(graph.ops.map((op) => op.kind)).toEqual(['Sigmoid', 'Mul']);
  });

  test('what is inside and also used outside stays', () => {
    expect(fused('s = Sigmoid x\nm = Mul x s\ny = Add m s').sort()).toEqual(['Add', 'Sigmoid', 'wafc.silu']);
  });
});

const MEAN = '{axes=[-1], keepdims=1}';
const SQUARES = `p = Pow x 2\nm = ReduceMean p ${MEAN}\ne = Add m 1e-5`;
const CENTRED = `mu = ReduceMean x ${MEAN}\nd = Sub x mu`;

describe('norms', () => {
  test.each<[string, string, string]>([
    ['wafc.rmsnorm', 'x * (1 / sqrt) * gain', `${SQUARES}\nr = Sqrt e\ni = Div 1 r\nn = Mul x i\ny = Mul g n`],
    ['wafc.rmsnorm', 'x / sqrt * gain', `${SQUARES}\nr = Sqrt e\nn = Div x r\ny = Mul n g`],
    ['wafc.rmsnorm', 'Reciprocal', `${SQUARES}\nr = Sqrt e\ni = Reciprocal r\nn = Mul x i\ny = Mul n g`],
    ['wafc.rmsnorm', 'Pow -0.5', `${SQUARES}\ni = Pow e -0.5\nn = Mul x i\ny = Mul n g`],
    [
      'wafc.rmsnorm',
      'x * x',
      `p = Mul x x\nm = ReduceMean p ${MEAN}\ne = Add m 1e-6\nr = Sqrt e\nn = Div x r\ny = Mul g n`,
    ],
    ['wafc.rmsnorm', 'gain on the way', `${SQUARES}\nr = Sqrt e\nh = Mul x g\ny = Div h r`],
    [
      'wafc.layernorm',
      'Pow and Div',
      `${CENTRED}\np = Pow d 2\nv = ReduceMean p ${MEAN}\ne = Add v 1e-5\nr = Sqrt e\nn = Div d r\nw = Mul n g\ny = Add w b`,
    ],
    [
      'wafc.layernorm',
      'd * d and Reciprocal',
      `${CENTRED}\np = Mul d d\nv = ReduceMean p ${MEAN}\ne = Add v 1e-12\nr = Sqrt e\ni = Reciprocal r\nn = Mul d i\nw = Mul g n\ny = Add b w`,
    ],
    [
      'wafc.layernorm',
      'E[x x] - E[x] E[x]',
      `mu = ReduceMean x ${MEAN}\np = Mul x x\nq = ReduceMean p ${MEAN}\ns = Mul mu mu\nv = Sub q s\ne = Add v 1e-5\nr = Sqrt e\nd = Sub x mu\nn = Div d r\nw = Mul n g\ny = Add w b`,
    ],
  ])('%s: %s', (kind, _, lines) => {
    expect(fused(lines)).toEqual([kind]);
  });

  test('a norm in f32 between casts of f16', () => {
    const lines = `a = Cast x {to=1}\np = Pow a 2\nm = ReduceMean p ${MEAN}\ne = Add m 1e-5\nr = Sqrt e\nn = Div a r\nc = Cast n {to=10}\ny = Mul g c`;
    expect(fused(lines, 'f16')).toEqual(['wafc.rmsnorm']);
  });

  test.each<[string, string]>([
    [
      'epsilon outside of the root',
      `p = Pow x 2\nm = ReduceMean p ${MEAN}\nr = Sqrt m\ne = Add r 1e-5\nn = Div x e\ny = Mul n g`,
    ],
    [
      'a mean over rows',
      'p = Pow x 2\nm = ReduceMean p {axes=[-2], keepdims=1}\ne = Add m 1e-5\nr = Sqrt e\nn = Div x r\ny = Mul n g',
    ],
    [
      'x cubed',
      `p = Pow x 3\nm = ReduceMean p ${MEAN}\na = Abs m\ne = Add a 1e-5\nr = Sqrt e\nn = Div x r\ny = Mul n g`,
    ],
    ['the fourth root', `${SQUARES}\nr = Sqrt e\ns = Sqrt r\nn = Div x s\ny = Mul n g`],
    [
      'the mean is not taken off below',
      `${CENTRED}\np = Pow d 2\nv = ReduceMean p ${MEAN}\ne = Add v 1e-5\nr = Sqrt e\nn = Div x r\ny = Mul n g`,
    ],
    ['no gain and no root', `${SQUARES}\nn = Div x e\ny = Mul n g`],
  ])('not with %s', (_, lines) => {
    expect(fused(lines).filter((kind) => kind.endsWith('norm'))).toEqual([]);
  });
});

describe('cones', () => {
  const graph = graphOf('a = Mul x 2\ns = Sigmoid a\nt = Tanh x\nm = Mul s t\ny = Add m x');
  const end = graph.outputs[0];
  const all = conesOf(graph, producersOf(graph), end, () => true, 16);

  test('every one has a single source, is in order, and ends in the value', () => {
    expect(all.map(({ source }) => graph.names[source])).toEqual(['x']);
    for (const { ops } of all) {
      expect([...ops].sort((p, q) => p - q)).toEqual(ops);
      expect(graph.ops[ops[ops.length - 1]].outputs).toContain(end);
    }
  });

  test('limits are kept', () => {
    expect(conesOf(graph, producersOf(graph), end, () => true, 4)).toEqual([]);
    expect(conesOf(graph, producersOf(graph), end, (op) => op.kind !== 'Tanh', 16)).toEqual([]);
  });

  test('running one is running its ops', () => {
    const x = samples(2 * F, 3);
    const found = runCone(graph, all[0], tensor('f32', [2, F], x));
    for (const [i, v] of x.entries()) {
      const wanted = (1 / (1 + Math.exp(-2 * v))) * Math.tanh(v) + v;
      expect(found.data[i]).toBeCloseTo(wanted, 5);
    }
    expect(all[0].ops as readonly OpId[]).toHaveLength(5);
    expect(graph.names[all[0].source as ValueId]).toBe('x');
  });

  test('samples lie within their range, and none is the mirror of another', () => {
    const x = samples(64, 6);
    expect(Math.max(...x.map(Math.abs))).toBeLessThanOrEqual(6);
    expect(new Set(x.map((v) => Math.round(Math.abs(v) * 1e4))).size).toBe(64);
  });

  test('errors are relative to the size of the whole; what is no number is wrong', () => {
    expect(relativeError([1, 2], [1, 2])).toBe(0);
    expect(relativeError([1e-9, 2], [0, 2])).toBeLessThan(1e-8);
    expect(relativeError([1.1, 2], [1, 2])).toBeGreaterThan(0.05);
    expect(relativeError([Number.NaN, 2], [1, 2]) <= 1).toBe(false);
  });
});
