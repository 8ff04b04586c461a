/**
 * Elementwise ops: all operands in one cut, any that one of them has. Additions and scalings also on sums that are still
 * owed over the same axes: a + b = sum(a_i) + sum(b_i) = sum(a_i + b_i), so what two branches owe is paid once.
 * (Numerics: reassociates.)
 */
import type { Op } from '../../ir/graph.ts';
import type { ValueId } from '../../ir/ids.ts';
import type { BinaryFn, Layout, T, UnaryFn } from '../../ir/program.ts';
import { readConstant } from '../../tensor/read.ts';
import { distinct, offersOf, type Want } from '../bring.ts';
import { byFeatures, type Cut, cutText, sameAxes, sameCut, WHOLE } from '../cut.ts';
import type { Draft } from '../draft.ts';
import { allows } from '../rewrites.ts';
import type { StageContext } from '../stage-context.ts';
import type { Way } from '../way.ts';

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

/** Kinds that {@link elementwise} has a rule for. */
export const ELEMENTWISE_RULES: ReadonlySet<string> = new Set([
  ...Object.keys(UNARY),
  ...Object.keys(BINARY),
  'Gelu',
  'LeakyRelu',
  'Pow',
]);

/** Functions of one operand, one after another; the number is the constant of scale, shift, pow and leaky_relu. */
type Chain = readonly (readonly [UnaryFn, number])[];

export function elementwise(s: Draft, op: Op): Way[] {
  const { context } = s;
  const binary = BINARY[op.kind];
  if (binary === undefined && op.kind !== 'Pow')
    return unaryWays(s, op, op.inputs[0] as ValueId, [unaryOf(context, op)]);
  const [a, b] = op.inputs as ValueId[];
  const [sa, sb] = [scalarOf(context, a), scalarOf(context, b)];
  if (sb !== undefined) return unaryWays(s, op, a, [withScalar(context, op, sb)]);
  if (sa !== undefined) return unaryWays(s, op, b, scalarFirst(context, op, sa));
  if (binary === undefined) context.refuse(op, 'raises activations to the power of activations');
  return binaryWays(s, op, binary, a, b);
}

function unaryOf(context: StageContext, op: Op): readonly [UnaryFn, number] {
  if (op.kind === 'Gelu') return [op.attrs.approximate === 'tanh' ? 'gelu_tanh' : 'gelu', 0];
  if (op.kind === 'LeakyRelu') return ['leaky_relu', typeof op.attrs.alpha === 'number' ? op.attrs.alpha : 0.01];
  const fn = UNARY[op.kind];
  if (fn === undefined)
    context.refuse(op, 'has no rule for regions yet', `elementwise ops with one: ${[...ELEMENTWISE_RULES].join(', ')}`);
  return [fn, 0];
}

const scalarOf = ({ graph }: StageContext, v: ValueId): number | undefined => {
  const c = graph.constants.get(v);
  return c !== undefined && c.shape.length === 0 ? readConstant(c).data[0] : undefined;
};

/** x op s. */
function withScalar(context: StageContext, op: Op, s: number): readonly [UnaryFn, number] {
  if (!Number.isFinite(s) || (op.kind === 'Div' && s === 0))
    context.refuse(op, `has the constant operand ${s}; a finite one is expected`);
  switch (op.kind) {
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
      return context.refuse(op, 'with a scalar operand has no rule for regions yet');
  }
}

/** s op x, for the ops that do not commute: a chain of two. */
function scalarFirst(context: StageContext, op: Op, s: number): Chain {
  if (op.kind === 'Add' || op.kind === 'Mul') return [withScalar(context, op, s)];
  if (op.kind === 'Sub')
    return [
      ['neg', 0],
      ['shift', s],
    ];
  if (op.kind === 'Div')
    return [
      ['reciprocal', 0],
      ['scale', s],
    ];
  return context.refuse(op, 'with a scalar first operand has no rule for regions yet');
}

const isLinear = (chain: Chain): boolean => chain.every(([fn]) => fn === 'scale' || fn === 'neg');

function unaryWays(s: Draft, op: Op, x: ValueId, chain: Chain): Way[] {
  const run = (d: Draft, from: T, layout: Layout): T => {
    let at = from;
    for (const [fn, value] of chain) {
      const out = d.temp(at, d.context.tensors[at].shape, layout);
      d.emit({ op: 'unary', fn, x: at, value, out });
      at = out;
    }
    return at;
  };
  const result = op.outputs[0] as ValueId;
  const ways = offersOf(s, op, x).map(
    (cut): Way => ({
      name: `@${cutText(cut)}`,
      wants: [{ v: x, as: cut }],
      make: (d, [t]) => d.bind(result, run(d, t, d.layout(d.cut(t)))),
    }),
  );
  if (isLinear(chain) && owedAs(s, op, x) !== null) {
    ways.push({
      name: 'owed',
      wants: [{ v: x, as: 'owed' }],
      make: (d, [t]) => d.owe(result, run(d, t, d.context.tensors[t].layout), []),
    });
  }
  return ways;
}

/** What a value owes when nothing but a sum is left to do; else null. */
function owedAs(s: Draft, op: Op, v: ValueId): Layout | null {
  if (s.context.graph.constants.has(v) || s.deferred(v) !== undefined) return null;
  if (!allows(s.context.options, 'add-owed')) return null;
  const { base, finish, forms } = s.boundOf(op, v);
  const { layout } = s.context.tensors[base];
  return forms.length === 0 && finish.length === 0 && layout.partial?.combine === 'sum' ? layout : null;
}

function binaryWays(s: Draft, op: Op, fn: BinaryFn, a: ValueId, b: ValueId): Way[] {
  const { graph } = s.context;
  const result = op.outputs[0] as ValueId;
  const activations = [a, b].filter((v) => !graph.constants.has(v));
  /** A row of one feature stays whole: it is used for every feature. */
  const isColumn = (v: ValueId): boolean => graph.types[v].shape.at(-1) === 1;
  const wide = activations.filter((v) => !isColumn(v));
  const cuts = distinct((wide.length > 0 ? wide : activations).flatMap((v) => offersOf(s, op, v)));
  const wantOf = (v: ValueId, cut: Cut): Want => ({ v, as: isColumn(v) && wide.length > 0 ? WHOLE : cut });
  const ways = cuts.map(
    (cut): Way => ({
      name: `@${cutText(cut)}`,
      wants: activations.map((v) => wantOf(v, cut)),
      make(d, given) {
        const operand = (v: ValueId): T =>
          graph.constants.has(v) ? vector(d, op, v, cut) : given[activations.indexOf(v)];
        const first =
          given[
            Math.max(
              0,
              activations.findIndex((v) => !isColumn(v) || wide.length === 0),
            )
          ];
        const out = d.temp(first, d.context.tensors[first].shape, d.layout(cut));
        d.emit({ op: 'binary', fn, a: operand(a), b: operand(b), out });
        d.bind(result, out);
      },
    }),
  );
  const [x, y] = [owedAs(s, op, a), owedAs(s, op, b)];
  const alike =
    x !== null &&
    y !== null &&
    a !== b &&
    sameCut(byFeatures(x.dims[1], x.dims[0]), byFeatures(y.dims[1], y.dims[0])) &&
    sameAxes(x.partial?.axes ?? [], y.partial?.axes ?? []) &&
    [a, b].every((v) => !isColumn(v));
  if (alike && (fn === 'add' || fn === 'sub')) {
    ways.push({
      name: 'owed',
      wants: [
        { v: a, as: 'owed' },
        { v: b, as: 'owed' },
      ],
      make(d, [p, q]) {
        const out = d.temp(p, d.context.tensors[p].shape, x, '/partial');
        d.emit({ op: 'binary', fn, a: p, b: q, out });
        d.owe(result, out, []);
      },
    });
  }
  return ways;
}

/** One number a feature ([F]), or one a token and feature ([T, F]). */
function vector(s: Draft, op: Op, v: ValueId, { tokens, features }: Cut): T {
  const shape = s.context.graph.types[v].shape as number[];
  const isRow = shape.length === 1;
  return s.weight(op, v, isRow ? [1, shape[0]] : shape, s.layout(byFeatures(features, isRow ? [] : tokens)));
}
