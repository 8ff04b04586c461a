/**
 * The lifter: walks a graph once at a probe size and builds the token graph. State and emission are here; what
 * each family of ops does is in elementwise.ts, linear.ts, attention.ts and rotary.ts.
 */
import { fail } from '../diag/diagnostic.ts';
import { bytesSource, type Constant, denseConstant } from '../ir/constant.ts';
import { GraphBuilder } from '../ir/build.ts';
import type { Dim } from '../ir/dim.ts';
import type { IoRole } from '../ir/facts.ts';
import type { Attrs, Graph, Op } from '../ir/graph.ts';
import type { ValueId } from '../ir/ids.ts';
import { type DType, isFloat } from '../ir/types.ts';
import { isStackedPast } from '../frontend/roles.ts';
import { pack } from '../tensor/pack.ts';
import { fromNumbers } from '../tensor/tensor.ts';
import type { Scores } from './attention.ts';
import { type Base, type Form, formOf, sizeOfBase, uniformScale } from './form.ts';
import type { Probe } from './probe.ts';
import { DimValues } from './dim-values.ts';
import { BINARY, liftBinary } from './elementwise.ts';
import { asPositions } from './positions.ts';
import { liftRotation } from './rotary.ts';
import { trimmed } from './trim.ts';

/** What a value of the source graph is. */
export type Lifted =
  /**
   * The host can compute it without activations; `table`: rows of a float table by index, maybe an embedding;
   * `content`: it depends on what is fed as tokens or features, not only on lengths, positions and masks.
   */
  | { readonly kind: 'control'; readonly table: boolean; readonly content: boolean }
  | { readonly kind: 'data'; readonly form: Form }
  /** Before and after softmax; element i is score `at[i]`. */
  | {
      readonly kind: 'scores' | 'probs' | 'nan';
      readonly scores: Scores;
      readonly at: Int32Array;
      readonly shape: readonly number[];
    };

/** A token value with the form's elements as plain indices into it. */
export interface Plain {
  readonly base: Base;
  readonly index: Int32Array;
}

export const PASS = 'lift-tokens';

/** Keys and values that are one tensor have no place: each is a state of its own. */
function refuseStacked(name: string): never {
  fail({
    code: 'lift/stacked-past',
    message: `input ${name} holds keys and values in one tensor`,
    node: name,
    notes: ['export the model with keys and values apart: past_key_values.N.key and past_key_values.N.value'],
  });
}

export class Lifter {
  readonly graph: Graph;
  readonly roles: ReadonlyMap<string, IoRole>;
  readonly probe: Probe;
  readonly builder = new GraphBuilder();
  readonly lifted = new Map<ValueId, Lifted>();
  readonly producers = new Map<ValueId, Op>();
  readonly useCount = new Map<ValueId, number>();
  /** Past input (of the lifted graph) -> present output of the attention that reads it. */
  readonly presents = new Map<ValueId, ValueId>();
  /** Row views of control values, by what they view. */
  readonly rowCache = new Map<string, ValueId>();
  private readonly copied = new Map<ValueId, ValueId>();
  /** Cut token values, by base and features. */
  readonly cuts = new Map<string, Base>();
  private current: Op | undefined;

  constructor(graph: Graph, roles: ReadonlyMap<string, IoRole>, probe: Probe) {
    this.graph = graph;
    this.roles = roles;
    this.probe = probe;
    for (const v of graph.inputs) {
      if (isStackedPast(graph, v)) refuseStacked(graph.names[v]);
      this.copied.set(v, this.builder.input(graph.names[v], graph.types[v]));
      const role = this.roles.get(graph.names[v])?.kind;
      const content = role === 'tokens' || (role === 'plain' && isFloat(graph.types[v].dtype));
      this.lifted.set(
        v,
        role === 'past' ? { kind: 'data', form: this.pastForm(v) } : { kind: 'control', table: false, content },
      );
    }
    for (const v of graph.constants.keys()) this.lifted.set(v, { kind: 'control', table: false, content: false });
    for (const op of graph.ops) {
      for (const v of op.outputs) if (v !== null) this.producers.set(v, op);
      for (const v of op.inputs) if (v !== null) this.useCount.set(v, (this.useCount.get(v) ?? 0) + 1);
    }
    for (const v of graph.outputs) this.useCount.set(v, (this.useCount.get(v) ?? 0) + 1);
  }

  /** A past [B, heads, P, hd] as a base of P tokens with heads * hd features. */
  private pastForm(v: ValueId): Form {
    const shape = this.probe.shapeOf(v);
    const [batch, heads, tokens, hd] = shape;
    const past = this.copied.get(v) as ValueId;
    const base: Base = {
      kind: 'past',
      value: past,
      past,
      heads,
      batch,
      tokens,
      tokenDim: this.graph.types[v].shape[2],
      features: heads * hd,
    };
    const index = new Int32Array(sizeOfBase(base));
    let i = 0;
    for (let b = 0; b < batch; b++)
      for (let h = 0; h < heads; h++)
        for (let t = 0; t < tokens; t++)
          for (let d = 0; d < hd; d++) index[i++] = (b * tokens + t) * heads * hd + h * hd + d;
    return formOf(base, shape, index);
  }

  begin(op: Op): void {
    this.current = op;
  }
  get op(): Op {
    if (this.current === undefined) throw new Error('no op is being lifted');
    return this.current;
  }

  /** Ends lifting with a located reason. */
  refuse(reason: string, ...notes: string[]): never {
    fail({
      code: 'lift/not-token-wise',
      message: `${this.op.kind} ${reason}`,
      node: this.op.origin.node,
      notes: [...notes, 'a model is placed token by token: ops may mix tokens only in attention that wafc recognises'],
    });
  }

  isConstant(v: ValueId): boolean {
    return this.graph.constants.has(v);
  }
  constant(v: ValueId): Constant | undefined {
    return this.graph.constants.get(v);
  }
  isControl(v: ValueId): boolean {
    return this.lifted.get(v)?.kind === 'control';
  }

  /** The number that a one-element constant holds, else undefined. */
  scalar(v: ValueId): number | undefined {
    const c = this.graph.constants.get(v);
    if (c === undefined || c.shape.some((n) => n !== 1)) return undefined;
    return this.probe.tensor(v).data[0];
  }

  /** The form of a value; an embedding is made where a table row or a control value is used as data. */
  data(v: ValueId): Form {
    const known = this.lifted.get(v);
    if (known?.kind === 'data') return known.form;
    if (known?.kind !== 'control') this.refuse(`uses attention scores outside of softmax and the product with V`);
    const producer = this.producers.get(v);
    if (known.table && producer !== undefined && BINARY.has(producer.kind)) return this.liftedLate(v, producer);
    const form = this.controlAsData(v);
    this.lifted.set(v, { kind: 'data', form });
    return form;
  }

  /** Arithmetic on table rows that turns out to be of activations. */
  private liftedLate(v: ValueId, producer: Op): Form {
    const { current } = this;
    this.current = producer;
    liftBinary(this);
    this.current = current;
    return this.data(v);
  }

  private controlAsData(v: ValueId): Form {
    const producer = this.producers.get(v);
    const shape = this.probe.shapeOf(v);
    if (producer?.kind === 'Gather' && this.isConstant(producer.inputs[0] as ValueId)) {
      const table = this.graph.constants.get(producer.inputs[0] as ValueId) as Constant;
      const indices = producer.inputs[1] as ValueId;
      const indexShape = this.probe.shapeOf(indices);
      if (table.shape.length === 2 && indexShape.length >= 1 && indexShape.length <= 2) {
        const rows =
          asPositions(this, indices) ??
          (indexShape.length === 2 ? this.control(indices) : this.reshapeControl(indices, [1, -1]));
        const rowBatch = this.builder.typeOf(rows).shape[0];
        const batch = typeof rowBatch === 'number' ? rowBatch : 1;
        const tokenDim = this.graph.types[indices].shape.at(-1) as Dim;
        const base = this.emit(
          'wafc.embedding',
          [this.copyConstant(producer.inputs[0] as ValueId), rows],
          {},
          {
            batch,
            tokens: indexShape.at(-1) as number,
            tokenDim,
            features: table.shape[1],
            dtype: table.dtype,
            node: producer.origin.node,
          },
        );
        return formOf(base, shape);
      }
    }
    if (producer && (producer.kind === 'Cast' || producer.kind === 'Identity'))
      return this.data(producer.inputs[0] as ValueId);
    if (this.isConstant(v)) this.refuse(`uses constant ${this.graph.names[v]} as an activation`);
    const dims = this.graph.types[v].shape;
    if (dims.length < 2) this.refuse(`adds host value ${this.graph.names[v]} of rank ${dims.length} to activations`);
    const features = shape.at(-1) as number;
    const tokens = shape.at(-2) as number;
    const batch = shape.slice(0, -2).reduce((a, b) => a * b, 1);
    const value = dims.length === 3 ? this.control(v) : this.reshapeControl(v, [batch, -1, features]);
    const base: Base = { kind: 'value', value, batch, tokens, tokenDim: dims.at(-2) as Dim, features };
    return formOf(base, shape);
  }

  /** A control value in the lifted graph, with the ops that compute it. */
  control(v: ValueId): ValueId {
    const stack = [v];
    while (stack.length > 0) {
      const top = stack[stack.length - 1];
      const constant = this.graph.constants.get(top);
      if (this.copied.has(top)) stack.pop();
      else if (constant) this.copied.set(top, this.builder.constant(this.graph.names[top], constant));
      else {
        const op = this.producers.get(top) as Op;
        const missing =
          op.kind === 'Shape' ? [] : op.inputs.filter((i): i is ValueId => i !== null && !this.copied.has(i));
        if (missing.length > 0) stack.push(...missing);
        else if (op.kind === 'Shape') this.copied.set(top, this.dims.shapeOf(op));
        else this.copyOp(op);
      }
    }
    return this.copied.get(v) as ValueId;
  }

  private readonly dims = new DimValues(this);

  private copyOp(op: Op): void {
    const outputs = this.builder.copy(
      { ...op, inputs: op.inputs.map((i) => (i === null ? null : (this.copied.get(i) as ValueId))) },
      (o) => ({ type: this.graph.types[o], name: this.graph.names[o] }),
    );
    for (const [o, copy] of outputs) this.copied.set(o, copy);
  }

  copyConstant(v: ValueId): ValueId {
    return this.control(v);
  }

  /** A host-side Reshape; `shape` may hold one -1. */
  reshapeControl(v: ValueId, shape: readonly number[]): ValueId {
    const from = this.control(v);
    const key = `${from}:${shape}`;
    const known = this.rowCache.get(key);
    if (known !== undefined) return known;
    const name = this.graph.names[v];
    const { dtype, shape: dims } = this.graph.types[v];
    const type = { dtype, shape: shape.map((n) => (n === -1 ? (dims.at(dims.length === 1 ? 0 : -2) as Dim) : n)) };
    const [out] = this.builder.op({
      kind: 'Reshape',
      version: 14,
      inputs: [from, this.smallConstant(`${name}.shape`, 'i64', [shape.length], shape)],
      types: [type],
      names: [`${name}.rows`],
      origin: { node: name, by: [PASS] },
    });
    this.rowCache.set(key, out);
    return out;
  }

  /** A constant made by lifting. */
  smallConstant(name: string, dtype: DType, shape: readonly number[], values: ArrayLike<number>): ValueId {
    const bytes = pack(dtype, fromNumbers(dtype, shape, values).data);
    return this.builder.constant(name, denseConstant(dtype, shape, bytesSource(name, bytes)));
  }

  /** Emits an op with one token-value result. */
  emit(
    kind: string,
    inputs: readonly (ValueId | null)[],
    attrs: Attrs,
    out: {
      batch: number;
      tokens: number;
      tokenDim: Dim;
      features: number;
      dtype: DType;
      node?: string;
      version?: number;
    },
  ): Base {
    const { batch, tokens, tokenDim, features, dtype, node = this.op.origin.node, version = 1 } = out;
    const [value] = this.builder.op({
      kind,
      version,
      inputs,
      attrs,
      types: [{ dtype, shape: [batch, tokenDim, features] }],
      names: [node],
      origin: { node, by: [...(this.current?.origin.by ?? []), PASS] },
    });
    return { kind: 'value', value, batch, tokens, tokenDim, features };
  }

  /** A result like `base`, by an elementwise op. */
  emitLike(
    base: Base,
    kind: string,
    inputs: readonly (ValueId | null)[],
    attrs: Attrs = {},
    version = this.op.version,
  ): Base {
    return this.emit(kind, inputs, attrs, { ...base, dtype: this.dtypeOf(base), version });
  }

  /** Ops between a value of the lifted graph and the inputs, along the longest way. */
  depthOf(v: ValueId): number {
    const known = this.depths.get(v);
    if (known !== undefined) return known;
    const inputs = this.builder.producerOf(v)?.op.inputs ?? [];
    const depth = inputs.reduce<number>((most, i) => (i === null ? most : Math.max(most, 1 + this.depthOf(i))), 0);
    this.depths.set(v, depth);
    return depth;
  }

  private readonly depths = new Map<ValueId, number>();

  dtypeOf(base: Base): DType {
    return this.builder.typeOf(base.value).dtype;
  }

  /**
   * The form as plain elements of a token value that holds nothing else, times one number. Rotations are emitted here,
   * and features and tokens that the form does not use are cut away first.
   */
  scaledPlain(given: Form): Plain & { scale: number } {
    const form = given.base.kind === 'value' ? trimmed(this, given) : given;
    const scale = uniformScale(form);
    if (scale !== undefined) return { base: form.base, index: form.terms[0].index, scale };
    return liftRotation(this, form);
  }

  /** Like {@link scaledPlain}, with the scale emitted; keys and values of a cache have no place here. */
  plain(form: Form): Plain {
    const { base, index, scale } = this.scaledPlain(form);
    if (base.kind !== 'value') this.refuse('reads past keys or values outside of attention');
    if (scale === 1) return { base, index };
    const factor = this.smallConstant('scale', this.dtypeOf(base), [], [scale]);
    return { base: this.emitLike(base, 'Mul', [base.value, factor], {}, 14), index };
  }

  /** Features of `plain` in the order that row `perm` lists them: element k of a row is feature perm[k]. */
  permuted(base: Base, perm: readonly number[]): Base {
    if (perm.length === base.features && perm.every((f, k) => f === k)) return base;
    return this.emit(
      'wafc.select',
      [base.value],
      { indices: perm },
      { ...base, features: perm.length, dtype: this.dtypeOf(base) },
    );
  }

  /** Records what the op's only output is. */
  setData(form: Form): void {
    this.lifted.set(this.op.outputs[0] as ValueId, { kind: 'data', form });
  }
  set(lifted: Lifted, output = 0): void {
    const v = this.op.outputs[output];
    if (v !== null && v !== undefined) this.lifted.set(v, lifted);
  }
}
