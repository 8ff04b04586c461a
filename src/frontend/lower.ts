/**
 * The token graph back in ONNX's own ops, for other runtimes: wafc.* ops become what they mean (see src/ops/wafc-*.ts). Constants stay
 * what they are, so quantized weights keep their codes.
 */
import { type GraphEdit, editGraph } from '../ir/edit.ts';
import { bytesSource, denseConstant } from '../ir/constant.ts';
import type { AttrValue, Graph, Op } from '../ir/graph.ts';
import type { OpId, ValueId } from '../ir/ids.ts';
import { type DType, isFloat } from '../ir/types.ts';
import { CODE_OF } from '../onnx/dtype-codes.ts';
import { pack } from '../tensor/pack.ts';
import { inferTypes } from './infer.ts';
import { lowerAttention, lowerRope } from './lower-attention.ts';
import { lowerRound } from './lower-round.ts';

/** The oldest opset that has what is made here (Range, slices by inputs), and the one that is taken when a model has none. */
const OLDEST = 11;
export const LOWERED_OPSET = 18;
/** Axes became inputs. */
const UNSQUEEZE_INPUTS = 13;
const REDUCE_INPUTS = 18;

/**
 * `graph` without wafc.* ops; interface and names of the values that stay are the same.
 * @param opset version of the ops that are made, by default the newest of the graph's own; those stay at theirs
 */
export function lowerGraph(graph: Graph, opset = opsetOf(graph)): Graph {
  const edit = editGraph(graph, 'lower');
  for (const [index, op] of graph.ops.entries()) {
    const rule = RULES[op.kind];
    if (rule !== undefined) rule(new Lowering(edit, graph, index as OpId, Math.max(opset, OLDEST)));
    else if (op.kind.startsWith('wafc.')) throw new Error(`${op.kind} has no form in ONNX's own ops`);
  }
  return inferTypes(edit.finish());
}

/** The newest version of ONNX's own ops in a graph. */
const opsetOf = ({ ops }: Graph): number =>
  Math.max(...ops.filter(({ kind }) => !kind.includes('.')).map(({ version }) => version), 0) || LOWERED_OPSET;

/** Makes the ops that stand for one op. */
export class Lowering {
  readonly op: Pick<Op, 'kind' | 'inputs' | 'outputs' | 'attrs' | 'origin'>;
  private readonly edit: GraphEdit;
  private readonly graph: Graph;
  private readonly index: OpId;
  private readonly version: number;

  constructor(edit: GraphEdit, graph: Graph, index: OpId, version: number) {
    this.version = version;
    this.edit = edit;
    this.graph = graph;
    this.index = index;
    this.op = edit.op(index); // with what earlier ops were replaced by
  }

  /** An input that must be there. */
  input(i: number): ValueId {
    return this.optional(i) ?? this.missing(i);
  }

  optional(i: number): ValueId | undefined {
    return this.op.inputs[i] ?? undefined;
  }

  number(name: string, otherwise?: number): number {
    const value = this.op.attrs[name] ?? otherwise;
    if (typeof value !== 'number') throw new Error(`${this.op.kind} has no number ${name}`);
    return value;
  }

  word(name: string): string | undefined {
    const value = this.op.attrs[name];
    return typeof value === 'string' ? value : undefined;
  }

  numbers(name: string): readonly number[] {
    const value = this.op.attrs[name];
    return Array.isArray(value) ? value.map(Number) : [];
  }

  dtypeOf(value: ValueId): DType {
    return this.edit.typeOf(value).dtype;
  }

  /** The last dim of a value, which must be known. */
  width(value: ValueId): number {
    const width = this.edit.typeOf(value).shape.at(-1);
    if (typeof width !== 'number') throw new Error(`${this.op.kind}: features of unknown number`);
    return width;
  }

  /** A new op of one output. Its type is inferred afterwards. */
  add(kind: string, inputs: readonly (ValueId | null)[], attrs: Readonly<Record<string, AttrValue>> = {}): ValueId {
    const dtype = inputs.flatMap((v) => (v === null ? [] : [this.dtypeOf(v)])).find(isFloat) ?? 'f32';
    const [out] = this.edit.addOp({
      kind,
      version: this.version,
      inputs,
      attrs,
      outputs: [{ type: { dtype, shape: [] } }],
      origin: this.op.origin,
    });
    return out;
  }

  /** The op itself as another one: its only output stays. */
  become(kind: string, inputs: readonly ValueId[], attrs: Readonly<Record<string, AttrValue>> = {}): void {
    this.edit.rewriteOp(this.index, { kind, version: this.version, inputs, attrs });
  }

  /** Puts a value in the place of an output. */
  replace(output: number, by: ValueId): void {
    const old = this.op.outputs[output];
    if (old !== null && old !== undefined) this.edit.replaceUses(old, by);
  }

  ints(values: readonly number[]): ValueId {
    return this.constant('i64', [values.length], values);
  }

  scalar(dtype: DType, value: number): ValueId {
    return this.constant(dtype, [], [value]);
  }

  private constant(dtype: DType, shape: readonly number[], values: readonly number[]): ValueId {
    const name = `${dtype}(${values.join(',')})`;
    return this.edit.addConstant(
      name,
      denseConstant(dtype, shape, bytesSource(name, pack(dtype, Float64Array.from(values)))),
    );
  }

  cast(value: ValueId, to: DType): ValueId {
    return this.add('Cast', [value], { to: CODE_OF[to] });
  }

  reshape(value: ValueId, shape: readonly number[]): ValueId {
    return this.add('Reshape', [value, this.ints(shape)]);
  }

  slice(value: ValueId, axis: number, start: number, end: number): ValueId {
    return this.add('Slice', [value, this.ints([start]), this.ints([end]), this.ints([axis])]);
  }

  /** Mean over the last dim, which stays as 1. */
  mean(value: ValueId): ValueId {
    return this.version < REDUCE_INPUTS
      ? this.add('ReduceMean', [value], { axes: [-1], keepdims: 1 })
      : this.add('ReduceMean', [value, this.ints([-1])], { keepdims: 1 });
  }

  /** Least or largest element along an axis, which stays as 1. */
  extreme(kind: 'ReduceMin' | 'ReduceMax', value: ValueId, axis: number): ValueId {
    return this.version < REDUCE_INPUTS
      ? this.add(kind, [value], { axes: [axis], keepdims: 1 })
      : this.add(kind, [value, this.ints([axis])], { keepdims: 1 });
  }

  unsqueeze(value: ValueId, ...axes: readonly number[]): ValueId {
    return this.add(...this.unsqueezed(value, axes));
  }

  /** Kind, inputs and attributes of an Unsqueeze. */
  unsqueezed(value: ValueId, axes: readonly number[]): [string, ValueId[], Record<string, AttrValue>] {
    return this.version < UNSQUEEZE_INPUTS
      ? ['Unsqueeze', [value], { axes }]
      : ['Unsqueeze', [value, this.ints(axes)], {}];
  }

  /** Extent of a dim, i64[]. */
  extent(value: ValueId, axis: number): ValueId {
    return this.add('Gather', [this.add('Shape', [value]), this.scalar('i64', axis)], { axis: 0 });
  }

  private missing(i: number): never {
    throw new Error(`${this.op.kind} has no input ${i} (${this.graph.name})`);
  }
}

type Rule = (l: Lowering) => void;

const RULES: Readonly<Record<string, Rule>> = {
  'wafc.embedding': (l) => l.become('Gather', [l.input(0), l.input(1)], { axis: 0 }),
  'wafc.linear': (l) => {
    const bias = l.optional(2);
    if (bias === undefined) l.become('MatMul', [l.input(0), l.input(1)]);
    else l.become('Add', [l.add('MatMul', [l.input(0), l.input(1)]), bias]);
  },
  'wafc.silu': (l) => l.become('Mul', [l.input(0), l.add('Sigmoid', [l.input(0)])]),
  'wafc.quick_gelu': (l) => {
    const scaled = l.add('Mul', [l.input(0), l.scalar(l.dtypeOf(l.input(0)), QUICK_GELU)]);
    l.become('Mul', [l.input(0), l.add('Sigmoid', [scaled])]);
  },
  'wafc.slice': (l) =>
    l.become('Slice', [l.input(0), l.ints([l.number('start')]), l.ints([l.number('end')]), l.ints([-1])]),
  'wafc.select': (l) => l.become('Gather', [l.input(0), l.ints(l.numbers('indices'))], { axis: -1 }),
  'wafc.concat': (l) =>
    l.become(
      'Concat',
      l.op.inputs.map((_, i) => l.input(i)),
      { axis: -1 },
    ),
  'wafc.tokens': (l) => l.become('Gather', [l.input(0), l.ints([l.number('index')])], { axis: 1 }),
  'wafc.rmsnorm': (l) => lowerNorm(l, false),
  'wafc.layernorm': (l) => lowerNorm(l, true),
  'wafc.rope': lowerRope,
  'wafc.attention': lowerAttention,
  'wafc.round': lowerRound,
  'wafc.positions': lowerPositions,
  'wafc.angles': lowerAngles,
};

const QUICK_GELU = 1.702;
const EPSILON = 1e-5;

function lowerNorm(l: Lowering, isCentred: boolean): void {
  const x = l.input(0);
  const dtype = l.dtypeOf(x);
  const groups = l.number('groups', 1);
  const size = l.width(x) / groups;
  const chunks = groups === 1 ? x : l.reshape(x, [0, 0, groups, size]);
  const centred = isCentred ? l.add('Sub', [chunks, l.mean(chunks)]) : chunks;
  const variance = l.mean(l.add('Mul', [centred, centred]));
  const root = l.add('Sqrt', [l.add('Add', [variance, l.scalar(dtype, l.number('epsilon', EPSILON))])]);
  let last: readonly [string, readonly ValueId[]] = ['Div', [centred, root]];
  for (const [kind, input] of [
    ['Mul', 1],
    ['Add', 2],
  ] as const) {
    const vector = l.optional(input);
    if (vector !== undefined) last = [kind, [l.add(last[0], last[1]), vector]];
  }
  if (groups === 1) l.become(...last);
  else l.become('Reshape', [l.add(...last), l.ints([0, 0, groups * size])]);
}

/** As given, else counted on from the length of the past. */
function lowerPositions(l: Lowering): void {
  const given = l.optional(2);
  if (given !== undefined) return l.become('Identity', [given]);
  const past = l.optional(1);
  const length = l.extent(l.input(0), 1);
  const first = past === undefined ? l.scalar('i64', 0) : l.extent(past, 2);
  const counted = l.add('Range', [first, l.add('Add', [first, length]), l.scalar('i64', 1)]);
  l.become(...l.unsqueezed(counted, [0]));
}

function lowerAngles(l: Lowering): void {
  const frequencies = l.input(1);
  const dtype = l.dtypeOf(frequencies);
  const positions = l.unsqueeze(l.cast(l.input(0), dtype), 2);
  const angle = l.add('Mul', [positions, frequencies]);
  const scale = l.number('scale', 1);
  for (const [output, kind] of ['Cos', 'Sin'].entries()) {
    const wave = l.add(kind, [angle]);
    l.replace(output, scale === 1 ? wave : l.add('Mul', [wave, l.scalar(dtype, scale)]));
  }
}
