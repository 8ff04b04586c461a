/**
 * Run-time lengths for the host: exporters ask activations for their shape; here the same numbers come from the
 * shapes of the graph's inputs, so that the host needs no activation.
 */
import { type Dim, isKnown, printDim } from '../ir/dim.ts';
import type { Op } from '../ir/graph.ts';
import type { ValueId } from '../ir/ids.ts';
import type { Lifter } from './lifter.ts';

const I64 = 'i64' as const;

export class DimValues {
  private readonly l: Lifter;
  private readonly known = new Map<string, ValueId>();
  private readonly shapes = new Map<ValueId, ValueId>();

  constructor(l: Lifter) {
    this.l = l;
  }

  /** The result of a Shape op, from known dims and input shapes. */
  shapeOf(op: Op): ValueId {
    const input = op.inputs[0] as ValueId;
    const { start = 0, end } = op.attrs as { start?: number; end?: number };
    const dims = this.l.graph.types[input].shape.slice(start, end);
    if (dims.length === 0) return this.l.smallConstant('shape', I64, [0], []);
    if (dims.every(isKnown)) return this.l.smallConstant('shape', I64, [dims.length], dims as number[]);
    const parts = dims.map((d) => this.value(d));
    return parts.length === 1 ? parts[0] : this.emit('Concat', 13, parts, dims.length, { axis: 0 });
  }

  /** i64[1] that holds `dim`. */
  private value(dim: Dim): ValueId {
    const key = printDim(dim);
    const known = this.known.get(key);
    if (known !== undefined) return known;
    const made = isKnown(dim)
      ? this.l.smallConstant(`dim.${key}`, I64, [1], [dim])
      : (this.fromInput(key) ?? this.sum(dim));
    this.known.set(key, made);
    return made;
  }

  /** A graph input that has `dim` as one of its dims. */
  private fromInput(key: string): ValueId | undefined {
    for (const v of this.l.graph.inputs) {
      const axis = this.l.graph.types[v].shape.findIndex((d) => printDim(d) === key);
      if (axis < 0) continue;
      const rank = this.l.graph.types[v].shape.length;
      let shape = this.shapes.get(v);
      if (shape === undefined) {
        shape = this.emit('Shape', 15, [this.l.control(v)], rank, {});
        this.shapes.set(v, shape);
      }
      const at = this.l.smallConstant(`axis.${axis}`, I64, [1], [axis]);
      return this.emit('Gather', 13, [shape, at], 1, { axis: 0 });
    }
    return undefined;
  }

  /** A sum of products of symbols, each of which is the dim of an input. */
  private sum(dim: Exclude<Dim, number>): ValueId {
    const parts: ValueId[] = [];
    for (const [mono, coef] of dim.terms) {
      const factors =
        mono === ''
          ? []
          : mono.split('*').map((s) => this.fromInput(s) ?? this.l.refuse(`needs length ${s}, which no input has`));
      if (coef !== 1 || factors.length === 0) factors.push(this.value(coef));
      parts.push(factors.reduce((a, b) => this.emit('Mul', 14, [a, b], 1, {})));
    }
    return parts.reduce((a, b) => this.emit('Add', 14, [a, b], 1, {}));
  }

  private emit(kind: string, version: number, inputs: readonly ValueId[], length: number, attrs: Op['attrs']): ValueId {
    const [out] = this.l.builder.op({
      kind,
      version,
      inputs,
      attrs,
      types: [{ dtype: I64, shape: [length] }],
      names: [kind.toLowerCase()],
      origin: { node: 'lengths', by: ['lift-tokens'] },
    });
    return out;
  }
}
