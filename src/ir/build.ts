/** Builds a graph from nothing: what lifting and tests use. `edit.ts` changes one that exists. */
import type { Constant } from './constant.ts';
import type { Attrs, Graph, Op, Origin } from './graph.ts';
import { id, type ValueId } from './ids.ts';
import type { TensorType } from './types.ts';

export interface NewOp {
  readonly kind: string;
  readonly version?: number;
  readonly inputs: readonly (ValueId | null)[];
  readonly attrs?: Attrs;
  readonly types: readonly TensorType[];
  /** Wished names of the outputs; made unique. */
  readonly names: readonly string[];
  readonly origin: Origin;
}

export class GraphBuilder {
  private readonly types: TensorType[] = [];
  private readonly names: string[] = [];
  private readonly taken = new Map<string, number>();
  private readonly constants = new Map<ValueId, Constant>();
  private readonly ops: Op[] = [];
  private readonly inputs: ValueId[] = [];
  private readonly claimed = new Set<ValueId>();

  /** A name that no value has: `wish`, or `wish.1`, `wish.2` .. */
  private unique(wish: string): string {
    for (let name = wish, n = this.taken.get(wish) ?? 0; ; name = `${wish}.${n}`) {
      if (!this.taken.has(name)) {
        this.taken.set(name, 1);
        return name;
      }
      this.taken.set(wish, ++n);
    }
  }

  private define(type: TensorType, wish: string): ValueId {
    this.types.push(type);
    this.names.push(this.unique(wish));
    return id<'value'>(this.types.length - 1);
  }

  input(name: string, type: TensorType): ValueId {
    const value = this.define(type, name);
    this.inputs.push(value);
    return value;
  }

  constant(name: string, constant: Constant): ValueId {
    const value = this.define({ dtype: constant.dtype, shape: constant.shape }, name);
    this.constants.set(value, constant);
    return value;
  }

  op({ kind, version = 1, inputs, attrs = {}, types, names, origin }: NewOp): ValueId[] {
    const outputs = types.map((type, i) => this.define(type, names[i]));
    this.ops.push({ kind, version, inputs, outputs, attrs, origin });
    return outputs;
  }

  /** An op of another graph, with outputs of its own; `of` describes an output of the original. */
  copy(op: Op, of: (output: ValueId) => { type: TensorType; name: string }): Map<ValueId, ValueId> {
    const made = new Map<ValueId, ValueId>();
    const outputs = op.outputs.map((o) => {
      if (o === null) return null;
      const { type, name } = of(o);
      const copy = this.define(type, name);
      made.set(o, copy);
      return copy;
    });
    this.ops.push({ ...op, outputs });
    return made;
  }

  /** Gives `value` exactly this name; false where it is an input or constant, or has claimed another name already. */
  claimName(value: ValueId, name: string): boolean {
    if (this.names[value] === name) return true;
    if (this.inputs.includes(value) || this.constants.has(value) || this.claimed.has(value)) return false;
    const holder = this.names.indexOf(name);
    if (holder >= 0) this.names[holder] = this.unique(name);
    this.names[value] = name;
    this.claimed.add(value);
    return true;
  }

  typeOf(value: ValueId): TensorType {
    return this.types[value];
  }
  constantOf(value: ValueId): Constant | undefined {
    return this.constants.get(value);
  }
  /** The op that defines `value`, with its position, while nothing was built on top of it. */
  producerOf(value: ValueId): { op: Op; index: number } | undefined {
    const index = this.ops.findLastIndex((op) => op.outputs.includes(value));
    return index < 0 ? undefined : { op: this.ops[index], index };
  }
  isUsed(value: ValueId): boolean {
    return this.ops.some((op) => op.inputs.includes(value));
  }
  /** Replaces the op at `index` by one with the same outputs. */
  replace(index: number, op: Op): void {
    this.ops[index] = op;
  }

  finish(name: string, outputs: readonly ValueId[]): Graph {
    return {
      name,
      ops: this.ops,
      types: this.types,
      names: this.names,
      constants: this.constants,
      inputs: this.inputs,
      outputs,
      captures: new Map(),
    };
  }
}
