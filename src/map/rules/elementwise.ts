/** Elementwise ops: operands meet in the layout of the first; what is coarser is cut, which costs nothing. */
import type { Op } from '../../ir/graph.ts';
import type { ValueId } from '../../ir/ids.ts';
import type { BinaryFn, MeshAxis, T, UnaryFn } from '../../ir/program.ts';
import { readConstant } from '../../tensor/read.ts';
import type { StageMapper } from '../stage-mapper.ts';

const BINARY: Readonly<Record<string, BinaryFn>> = {
  Add: 'add',
  Sub: 'sub',
  Mul: 'mul',
  Div: 'div',
  Max: 'max',
  Min: 'min',
};
const UNARY: Readonly<Record<string, UnaryFn>> = {
  Relu: 'relu',
  Sigmoid: 'sigmoid',
  Tanh: 'tanh',
  Neg: 'neg',
  Exp: 'exp',
  Sqrt: 'sqrt',
  Reciprocal: 'reciprocal',
  Erf: 'erf',
  Softplus: 'softplus',
  Abs: 'abs',
  'wafc.silu': 'silu',
  'wafc.quick_gelu': 'gelu_quick',
};

/** Kinds that {@link mapElementwise} has a rule for. */
export const ELEMENTWISE_RULES: ReadonlySet<string> = new Set([
  ...Object.keys(UNARY),
  ...Object.keys(BINARY),
  'Gelu',
  'LeakyRelu',
  'Pow',
]);

export function mapElementwise(m: StageMapper, op: Op): void {
  const binary = BINARY[op.kind];
  if (binary === undefined && op.kind !== 'Pow') return mapUnary(m, op);
  const [a, b] = op.inputs as ValueId[];
  const [sa, sb] = [scalarOf(m, a), scalarOf(m, b)];
  if (sb !== undefined) return bindUnary(m, op, a, ...withScalar(m, op.kind, sb));
  if (sa !== undefined) return scalarFirst(m, op, sa, b);
  if (binary === undefined) m.refuse('raises activations to the power of activations');
  bindBinary(m, op, binary, a, b);
}

function mapUnary(m: StageMapper, op: Op): void {
  const x = op.inputs[0] as ValueId;
  if (op.kind === 'Gelu') return bindUnary(m, op, x, op.attrs.approximate === 'tanh' ? 'gelu_tanh' : 'gelu', 0);
  if (op.kind === 'LeakyRelu')
    return bindUnary(m, op, x, 'leaky_relu', typeof op.attrs.alpha === 'number' ? op.attrs.alpha : 0.01);
  const fn = UNARY[op.kind];
  if (fn === undefined)
    m.refuse('has no rule for regions yet', `elementwise ops with one: ${[...ELEMENTWISE_RULES].join(', ')}`);
  bindUnary(m, op, x, fn, 0);
}

const scalarOf = (m: StageMapper, v: ValueId): number | undefined => {
  const c = m.graph.constants.get(v);
  return c !== undefined && c.shape.length === 0 ? readConstant(c).data[0] : undefined;
};

/** x op s. */
function withScalar(m: StageMapper, kind: string, s: number): [UnaryFn, number] {
  if (!Number.isFinite(s) || (kind === 'Div' && s === 0))
    m.refuse(`has the constant operand ${s}; a finite one is expected`);
  switch (kind) {
    case 'Add':
      return ['shift', s];
    case 'Sub':
      return ['shift', -s];
    case 'Mul':
      return ['scale', s];
    case 'Div':
      return ['scale', 1 / s];
    case 'Pow':
      return ['pow', s];
    default:
      return m.refuse('with a scalar operand has no rule for regions yet');
  }
}

/** s op x, for the ops that do not commute: a chain of two. */
function scalarFirst(m: StageMapper, op: Op, s: number, x: ValueId): void {
  if (op.kind === 'Add' || op.kind === 'Mul') return bindUnary(m, op, x, ...withScalar(m, op.kind, s));
  const inner = unary(m, m.value(x), op.kind === 'Sub' ? 'neg' : 'reciprocal', 0);
  const chain: Record<string, UnaryFn> = { Sub: 'shift', Div: 'scale' };
  const fn = chain[op.kind];
  if (fn === undefined) m.refuse('with a scalar first operand has no rule for regions yet');
  m.bind(op.outputs[0] as ValueId, unary(m, inner, fn, s));
}

function unary(m: StageMapper, x: T, fn: UnaryFn, value: number): T {
  const out = m.temp(x, m.tensors[x].shape, m.layoutOf(x));
  m.emit({ op: 'unary', fn, x, value, out });
  return out;
}

function bindUnary(m: StageMapper, op: Op, x: ValueId, fn: UnaryFn, value: number): void {
  m.bind(op.outputs[0] as ValueId, unary(m, m.value(x), fn, value));
}

function bindBinary(m: StageMapper, op: Op, fn: BinaryFn, aId: ValueId, bId: ValueId): void {
  const constants = [aId, bId].map((v) => m.graph.constants.has(v));
  const first = m.value(constants[0] ? bId : aId);
  const axes = m.axesOf(first);
  const operand = (v: ValueId): T => (m.graph.constants.has(v) ? vector(m, v, axes) : aligned(m, m.value(v), axes));
  const a = operand(aId);
  const b = operand(bId);
  const out = m.temp(first, m.tensors[first].shape, m.layoutOf(first));
  m.emit({ op: 'binary', fn, a, b, out });
  m.bind(op.outputs[0] as ValueId, out);
}

/** One number a feature ([F]), or one a token and feature ([T, F]). */
function vector(m: StageMapper, v: ValueId, axes: readonly MeshAxis[]): T {
  const shape = m.graph.types[v].shape as number[];
  return m.weight(v, shape.length === 1 ? [1, shape[0]] : shape, { dims: [[], axes], partial: null });
}

/** A row of one feature stays whole: it is used for every feature. */
const aligned = (m: StageMapper, t: T, axes: readonly MeshAxis[]): T =>
  m.tensors[t].shape[1] === 1 ? t : m.relaid(t, axes);
