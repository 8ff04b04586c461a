/** Elementwise functions of cores against the kernels of the graph's ops. */
import { expect, test } from 'vitest';
import { UNARY } from '../../src/exec/placed/functions.ts';
import { runOp } from '../../src/exec/reference.ts';
import type { AttrValue } from '../../src/ir/graph.ts';
import type { UnaryFn } from '../../src/ir/program.ts';
import { tensor } from '../../src/tensor/tensor.ts';

interface Kernel {
  readonly kind: string;
  readonly version: number;
  readonly attrs?: Readonly<Record<string, AttrValue>>;
  /** The constant of the function, and whether the kernel takes it as its second operand. */
  readonly value?: number;
  readonly operand?: boolean;
  readonly positive?: boolean;
}

const KERNELS: Readonly<Record<UnaryFn, Kernel>> = {
  relu: { kind: 'Relu', version: 14 },
  sigmoid: { kind: 'Sigmoid', version: 13 },
  silu: { kind: 'wafc.silu', version: 1 },
  tanh: { kind: 'Tanh', version: 13 },
  gelu: { kind: 'Gelu', version: 20, attrs: { approximate: 'none' } },
  gelu_tanh: { kind: 'Gelu', version: 20, attrs: { approximate: 'tanh' } },
  gelu_quick: { kind: 'wafc.quick_gelu', version: 1 },
  neg: { kind: 'Neg', version: 13 },
  exp: { kind: 'Exp', version: 13 },
  sqrt: { kind: 'Sqrt', version: 13, positive: true },
  reciprocal: { kind: 'Reciprocal', version: 13, positive: true },
  erf: { kind: 'Erf', version: 13 },
  softplus: { kind: 'Softplus', version: 1 },
  abs: { kind: 'Abs', version: 13 },
  leaky_relu: { kind: 'LeakyRelu', version: 16, attrs: { alpha: 0.125 }, value: 0.125 },
  scale: { kind: 'Mul', version: 14, value: -1.5, operand: true },
  shift: { kind: 'Add', version: 14, value: 0.75, operand: true },
  pow: { kind: 'Pow', version: 15, value: 3, operand: true },
};

const STEP = 1 / 16;
const samples = Float32Array.from({ length: 2000 }, (_, i) => (i - 1000) * STEP).filter((x) => x !== 0);

test.each(Object.entries(KERNELS))('%s', (name, { kind, version, attrs = {}, value = 0, operand, positive }) => {
  const inputs = positive ? samples.filter((x) => x > 0) : samples;
  const x = tensor('f32', [inputs.length], inputs);
  const op = { kind, version, attrs, inputs: [], outputs: [], origin: { node: '', by: [] } };
  const given = operand ? [x, tensor('f32', [], Float32Array.of(value))] : [x];
  const [wanted] = runOp(op, given);
  const f = UNARY[name as UnaryFn];
  let finite = 0;
  for (const [i, v] of inputs.entries()) {
    const [found, expected] = [Math.fround(f(v, value)), wanted.data[i]];
    if (Number.isFinite(expected)) finite++;
    if (Object.is(found, expected)) continue;
    // One step of f32, or nothing at all beside 1: exp of -60 is as good as 0.
    const near = Math.abs(found - expected) <= Math.max(2 ** -22 * Math.abs(expected), 1e-20);
    if (!near) throw new Error(`${name}(${v}) = ${found}, the kernel of ${kind} gives ${expected}`);
  }
  expect(finite).toBeGreaterThan(900);
});

test('every function has its kernel here', () => {
  expect(Object.keys(KERNELS).sort()).toEqual(Object.keys(UNARY).sort());
});
