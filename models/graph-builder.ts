/**
 * Builds ONNX graphs with the names that exporters of Hugging Face models give: `/model/layers.0/mlp/Mul_1`, its
 * output `/model/layers.0/mlp/Mul_1_output_0`. State with a life: one builder makes one graph.
 */
import { bytesSource } from '../src/ir/constant.ts';
import { CODE_OF } from '../src/onnx/dtype-codes.ts';
import type {
  WritableAttribute,
  WritableModel,
  WritableNode,
  WritableTensor,
  WritableValueInfo,
} from '../src/onnx/writer.ts';
import { pack } from '../src/tensor/pack.ts';
import { fromNumbers } from '../src/tensor/tensor.ts';
import { type FloatType, normalWeights } from './weights.ts';

export interface Linear {
  readonly from: number;
  readonly to: number;
  readonly bias?: boolean;
}

/** An attribute by its plain value: integers and lists of them, strings; floats need `{ float }`. */
export type PlainAttribute = number | string | readonly number[] | { readonly float: number };

/** Collects the nodes and weights of one graph. */
export class GraphBuilder {
  readonly dtype: FloatType;
  private readonly seed: number;
  private readonly nodes: WritableNode[] = [];
  private readonly initializers = new Map<string, WritableTensor>();
  private readonly inputs: WritableValueInfo[] = [];
  private readonly outputs: WritableValueInfo[] = [];

  constructor(dtype: FloatType, seed: number) {
    this.dtype = dtype;
    this.seed = seed;
  }

  input(name: string, dtype: 'i64' | FloatType, shape: readonly (number | string)[]): string {
    this.inputs.push({ name, kind: 'tensor', dtype, shape });
    return name;
  }

  output(name: string, shape: readonly (number | string)[]): void {
    this.outputs.push({ name, kind: 'tensor', dtype: this.dtype, shape });
  }

  /** Makes (once) a weight of the model's dtype and returns its name. `std` 0 and no mean is all zeros. */
  weight(name: string, shape: readonly number[], std: number, mean = 0): string {
    if (!this.initializers.has(name)) {
      const count = shape.reduce((a, b) => a * b, 1);
      const source = normalWeights(name, this.dtype, count, { seed: this.seed, std, mean });
      this.initializers.set(name, { name, dtype: this.dtype, shape, source });
    }
    return name;
  }

  /** A table of integers as an initializer. */
  integers(name: string, shape: readonly number[], values: readonly number[]): string {
    this.initializers.set(name, {
      name,
      dtype: 'i64',
      shape,
      source: bytesSource(name, pack('i64', Float64Array.from(values))),
    });
    return name;
  }

  scope(path: string): Scope {
    return new Scope(this, path);
  }

  addNode(node: WritableNode): void {
    this.nodes.push(node);
  }

  finish(name: string, opset: number): WritableModel {
    const { nodes, inputs, outputs } = this;
    const initializers = [...this.initializers.values()];
    return {
      irVersion: opset >= 17 ? 8 : 7,
      producer: 'wafc-models',
      opsets: new Map([['', opset]]),
      graph: { name, nodes, initializers, inputs, outputs },
    };
  }
}

/** A module of the model: numbers its ops as TorchScript does. */
export class Scope {
  readonly builder: GraphBuilder;
  readonly path: string;
  private readonly counts = new Map<string, number>();

  constructor(builder: GraphBuilder, path: string) {
    this.builder = builder;
    this.path = path;
  }

  inner(name: string): Scope {
    return new Scope(this.builder, `${this.path}/${name}`);
  }

  /** Adds an op of one output and returns that output; `output` overrides its name (for graph outputs). */
  op(
    opType: string,
    inputs: readonly string[],
    attributes: Record<string, PlainAttribute> = {},
    output?: string,
  ): string {
    return this.many(opType, inputs, attributes, 1, output)[0];
  }

  many(
    opType: string,
    inputs: readonly string[],
    attributes: Record<string, PlainAttribute>,
    count: number,
    output?: string,
  ): string[] {
    const name = this.name(opType);
    const outputs = Array.from({ length: count }, (_, i) => output ?? `${name}_output_${i}`);
    const map = new Map(Object.entries(attributes).map(([key, value]) => [key, attributeOf(value)]));
    this.builder.addNode({ name, opType, inputs, outputs, attributes: map });
    return outputs;
  }

  /** A Constant node. Shape [] for a scalar. */
  constant(dtype: 'i64' | FloatType, values: readonly number[], shape: readonly number[] = [values.length]): string {
    const name = this.name('Constant');
    const { data } = fromNumbers(dtype, shape, values);
    const source = bytesSource(name, pack(dtype, data));
    const value: WritableAttribute = { kind: 'tensor', value: { name: '', dtype, shape, source } };
    const output = `${name}_output_0`;
    this.builder.addNode({
      name,
      opType: 'Constant',
      inputs: [],
      outputs: [output],
      attributes: new Map([['value', value]]),
    });
    return output;
  }

  ints(...values: number[]): string {
    return this.constant('i64', values);
  }

  scalar(value: number, dtype: FloatType = this.builder.dtype): string {
    return this.constant(dtype, [value], []);
  }

  /** Extent of one axis as i64[1]. */
  extent(value: string, axis: number): string {
    const shape = this.op('Shape', [value]);
    const one = this.op('Gather', [shape, this.constant('i64', [axis], [])], { axis: 0 });
    return this.op('Unsqueeze', [one, this.ints(0)]);
  }

  /** Reshape to extents that are i64[1] values or numbers. */
  reshape(value: string, extents: readonly (string | number)[]): string {
    const parts = extents.map((e) => (typeof e === 'number' ? this.ints(e) : e));
    return this.op('Reshape', [value, this.op('Concat', parts, { axis: 0 })]);
  }

  cast(value: string, to: keyof typeof CODE_OF): string {
    return this.op('Cast', [value], { to: CODE_OF[to] });
  }

  /** nn.Linear on rank 3: MatMul by W[from, to], then Add of the bias, in the module's own scope. */
  linear(name: string, input: string, { from, to, bias = false }: Linear): string {
    const inner = this.inner(name);
    const label = inner.path.replaceAll('/', '.').replace(/^\./, '');
    const product = inner.op('MatMul', [
      input,
      this.builder.weight(`${label}.MatMul.weight`, [from, to], from ** -0.5),
    ]);
    return bias ? inner.op('Add', [this.builder.weight(`${label}.bias`, [to], 0.02), product]) : product;
  }

  private name(opType: string): string {
    const count = this.counts.get(opType) ?? 0;
    this.counts.set(opType, count + 1);
    return `${this.path}/${opType}${count === 0 ? '' : `_${count}`}`;
  }
}

function attributeOf(value: PlainAttribute): WritableAttribute {
  if (typeof value === 'number') return { kind: 'int', value };
  if (typeof value === 'string') return { kind: 'string', value };
  return 'float' in value ? { kind: 'float', value: value.float } : { kind: 'ints', value };
}
