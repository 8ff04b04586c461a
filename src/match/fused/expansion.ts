/** One fused op being taken apart: emits plain ops in its place. Types of what it emits are left to inference. */
import { bytesSource, type Constant, denseConstant, sliceConstant } from '../../ir/constant.ts';
import type { GraphEdit } from '../../ir/edit.ts';
import type { Attrs, Op } from '../../ir/graph.ts';
import type { ValueId } from '../../ir/ids.ts';
import type { DType, TensorType } from '../../ir/types.ts';
import { pack } from '../../tensor/pack.ts';
import { fromNumbers } from '../../tensor/tensor.ts';

/** Ends an expansion: the op stays as it is, for the reason given. */
export class NotExpanded extends Error {}

/** Opset versions of the ops that expansions emit. */
const VERSIONS: Readonly<Record<string, number>> = {
  Add: 14,
  And: 7,
  Attention: 23,
  Cast: 13,
  Concat: 13,
  Equal: 13,
  Gather: 13,
  Elu: 6,
  Gelu: 20,
  Gemm: 13,
  Greater: 13,
  GreaterOrEqual: 16,
  HardSigmoid: 6,
  LayerNormalization: 17,
  LeakyRelu: 16,
  Less: 13,
  LessOrEqual: 16,
  MatMul: 13,
  Mul: 14,
  RMSNormalization: 23,
  Range: 11,
  ReduceSum: 13,
  Relu: 14,
  Reshape: 14,
  RotaryEmbedding: 23,
  Selu: 6,
  Shape: 15,
  Sigmoid: 13,
  Slice: 13,
  Softplus: 1,
  Softsign: 1,
  Squeeze: 13,
  Sub: 14,
  Tanh: 13,
  ThresholdedRelu: 10,
  Transpose: 13,
  Unsqueeze: 13,
  Where: 16,
};

export class Expansion {
  readonly edit: GraphEdit;
  readonly source: Op;

  constructor(edit: GraphEdit, source: Op) {
    this.edit = edit;
    this.source = source;
  }

  /** The op stays; `what` names the form that has no plain spelling here. */
  refuse(what: string): never {
    throw new NotExpanded(what);
  }

  optional(input: number): ValueId | null {
    return this.source.inputs[input] ?? null;
  }
  input(input: number): ValueId {
    return this.optional(input) ?? this.refuse(`no input ${input}`);
  }
  typeOf(v: ValueId): TensorType {
    return this.edit.typeOf(v);
  }
  rank(v: ValueId): number {
    return this.typeOf(v).shape.length;
  }
  /** Whether anything reads output `i`. */
  isUsed(i: number): boolean {
    const v = this.source.outputs[i];
    return v !== null && v !== undefined && (this.edit.usersOf(v).length > 0 || this.edit.isOutput(v));
  }

  number(name: string, fallback: number): number {
    const value = this.source.attrs[name];
    return typeof value === 'number' ? value : fallback;
  }

  /** An op with one output. */
  op(kind: string, inputs: readonly (ValueId | null)[], attrs: Attrs = {}): ValueId {
    return this.many(kind, inputs, attrs, 1)[0];
  }
  many(kind: string, inputs: readonly (ValueId | null)[], attrs: Attrs, count: number): ValueId[] {
    const { origin } = this.source;
    const [first] = inputs;
    const dtype = first === null || first === undefined ? 'f32' : this.typeOf(first).dtype;
    const outputs = Array.from({ length: count }, () => ({
      type: { dtype, shape: [] },
      name: `${origin.node}/${kind}`,
    }));
    return this.edit.addOp({ kind, version: VERSIONS[kind] ?? 1, inputs, attrs, outputs, origin });
  }

  constant(name: string, dtype: DType, shape: readonly number[], values: ArrayLike<number>): ValueId {
    const bytes = pack(dtype, fromNumbers(dtype, shape, values).data);
    return this.edit.addConstant(
      `${this.source.origin.node}/${name}`,
      denseConstant(dtype, shape, bytesSource(name, bytes)),
    );
  }
  ints(...values: readonly number[]): ValueId {
    return this.constant('ints', 'i64', [values.length], values);
  }
  int(value: number): ValueId {
    return this.constant('int', 'i64', [], [value]);
  }
  float(value: number, dtype: DType): ValueId {
    return this.constant('float', dtype, [], [value]);
  }

  /** Entries `start <= i < start + count` of a vector; of a constant, a view. */
  part(v: ValueId, start: number, count: number): ValueId {
    const whole = this.edit.constantOf(v);
    if (whole === undefined) return this.op('Slice', [v, this.ints(start), this.ints(start + count), this.ints(0)]);
    const cut: Constant = sliceConstant(whole, 0, start, start + count);
    return this.edit.addConstant(`${this.edit.nameOf(v)}[${start}:${start + count}]`, cut);
  }

  unsqueeze(v: ValueId, ...axes: readonly number[]): ValueId {
    return this.op('Unsqueeze', [v, this.ints(...axes)]);
  }
  /** Columns `start <= i < end` of the last axis. */
  columns(v: ValueId, start: number, end: number): ValueId {
    return this.op('Slice', [v, this.ints(start), this.ints(end), this.ints(-1)]);
  }
  /** Extent `axis` of a value as an i64 scalar. */
  extent(v: ValueId, axis: number): ValueId {
    return this.op('Gather', [this.op('Shape', [v]), this.int(axis)], { axis: 0 });
  }
  /** [0, 1, .., n) as i64. */
  countTo(n: ValueId): ValueId {
    return this.op('Range', [this.int(0), n, this.int(1)]);
  }
  castTo(v: ValueId, dtype: 'i64' | 'bool' | 'i32'): ValueId {
    if (this.typeOf(v).dtype === dtype && this.rank(v) > 0) return v;
    return this.typed(this.op('Cast', [v], { to: { i64: 7, bool: 9, i32: 6 }[dtype] }), dtype);
  }

  /** A value whose element type is not that of the first operand. */
  private typed(v: ValueId, dtype: DType): ValueId {
    this.edit.setType(v, { ...this.typeOf(v), dtype });
    return v;
  }
  /** A comparison, or a combination of two. */
  truth(kind: 'Less' | 'LessOrEqual' | 'Greater' | 'GreaterOrEqual' | 'And', a: ValueId, b: ValueId): ValueId {
    return this.typed(this.op(kind, [a, b]), 'bool');
  }

  /** `value` takes the place of output `i`. */
  gives(i: number, value: ValueId): void {
    const old = this.source.outputs[i];
    if (old === null || old === undefined) return;
    this.edit.setType(value, this.typeOf(old));
    this.edit.replaceUses(old, value);
  }
}
