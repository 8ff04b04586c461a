/**
 * From the text of an executor to a graph: the function runs once on tensors that have no elements, and every `op` that it calls is
 * written down instead of computed. What it says in TypeScript is what the graph computes, and nothing else is: a session of the graph
 * (exec/session) is the same model, fast.
 */
import { fail } from '../diag/diagnostic.ts';
import { inferTypes } from '../frontend/infer.ts';
import type { Constant } from '../ir/constant.ts';
import type { AttrValue, Graph, Op } from '../ir/graph.ts';
import { id, type ValueId } from '../ir/ids.ts';
import type { TensorType } from '../ir/types.ts';
import { opFor } from '../ops/registry.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { constantOf } from './constants.ts';

/** An op as it is called. */
export type Call = Pick<Op, 'kind' | 'version' | 'origin'> & {
  readonly inputs: readonly (Tensor | undefined)[];
  readonly outputs: number;
};

/** Its type is known when the whole graph is. */
const UNKNOWN: TensorType = { dtype: 'f32', shape: [] };

/**
 * What is being traced now: the innermost function. The same for all instances of this module: a program may load one by import and
 * one by require.
 */
const CURRENT = Symbol.for('wafc.trace');
const shared = globalThis as { [CURRENT]?: Trace | undefined };

export const tracing = (): Trace | undefined => shared[CURRENT];

export class Trace {
  private readonly around: Trace | undefined;
  private readonly name: string;
  private readonly ops: Op[] = [];
  private readonly types: TensorType[] = [];
  private readonly names: string[] = [];
  private readonly constants = new Map<ValueId, Constant>();
  private readonly captures = new Map<ValueId, string>();
  private readonly values = new Map<Tensor, ValueId>();
  /** Names are known when all is traced: captures are filled in then. */
  private readonly late: (() => void)[];
  private bodies = 0;

  private constructor(name: string, around?: Trace) {
    this.name = name;
    this.around = around;
    this.late = around?.late ?? [];
  }

  /** The graph of a function on tensors by name. */
  static of(
    name: string,
    inputs: readonly ({ readonly name: string } & TensorType)[],
    outputs: readonly string[],
    run: (inputs: Readonly<Record<string, Tensor>>) => Readonly<Record<string, Tensor>>,
  ): Graph {
    // What has no name gets one that begins so.
    let own = name;
    while ([...inputs.map((input) => input.name), ...outputs].some((taken) => taken.startsWith(`${own}/`))) own += '_';
    const trace = new Trace(own);
    const fed = inputs.map((input) => [input.name, trace.input(input.name, input)] as const);
    const results = trace.within(() => run(Object.fromEntries(fed)));
    return inferTypes(
      trace.graph(
        inputs.length,
        outputs.map((output) => trace.output(output, results[output])),
      ),
    );
  }

  /** The graph of a body of If, Loop or Scan, which may read what is around it. */
  body(inputs: readonly TensorType[], run: (...inputs: Tensor[]) => readonly Tensor[]): Graph {
    const trace = new Trace(`${this.name}/body${this.bodies++}`, this);
    const fed = inputs.map((type, i) => trace.input(`${trace.name}/${i}`, type));
    const results = trace.within(() => run(...fed));
    return trace.graph(
      inputs.length,
      results.map((result) => trace.value(result)),
    );
  }

  /** Writes an op down; its results have no elements. */
  op({ kind, version, origin, inputs, outputs }: Call, attrs: Readonly<Record<string, AttrValue>>): Tensor[] {
    if (opFor(kind) === undefined)
      fail({ code: 'onnx/unsupported-op', message: `${kind} is not supported`, node: origin.node });
    const operands = inputs.map((input) => (input === undefined ? null : this.value(input)));
    const results = Array.from({ length: outputs }, () => this.result());
    this.ops.push({ kind, version, inputs: operands, outputs: results.map((t) => this.value(t)), attrs, origin });
    return results;
  }

  private within<T>(run: () => T): T {
    const before = tracing();
    shared[CURRENT] = this;
    try {
      return run();
    } finally {
      shared[CURRENT] = before;
    }
  }

  private graph(inputs: number, outputs: readonly ValueId[]): Graph {
    const { name, ops, types, names, constants, captures } = this;
    if (this.around === undefined) for (const fill of this.late) fill();
    return { name, ops, types, names, constants, captures, inputs: ids(inputs), outputs };
  }

  private input(name: string, type: TensorType): Tensor {
    return this.tensor(this.add(name, type));
  }

  private result(): Tensor {
    return this.tensor(this.add(`${this.name}/${this.types.length}`, UNKNOWN));
  }

  /** A result under the name of an output; one that has a name already is passed on under its own. */
  private output(name: string, result: Tensor | undefined): ValueId {
    if (result === undefined) return fail({ code: 'runtime/trace', message: `nothing computes output ${name}` });
    const value = this.value(result);
    const isOwn = this.ops.some(({ outputs }) => outputs.includes(value));
    if (isOwn && this.names[value].startsWith(`${this.name}/`)) {
      this.names[value] = name;
      return value;
    }
    const [copy] = this.op(
      { kind: 'Identity', version: 1, origin: { node: name, by: [] }, inputs: [result], outputs: 1 },
      {},
    );
    return this.output(name, copy);
  }

  private value(tensor: Tensor): ValueId {
    const known = this.values.get(tensor);
    if (known !== undefined) return known;
    const value = this.add(`${this.name}/${this.types.length}`, UNKNOWN);
    this.values.set(tensor, value);
    const owner = this.ownerOf(tensor);
    if (owner === undefined) this.constants.set(value, constantOf(tensor));
    else {
      this.captures.set(value, '');
      this.late.push(() => this.captures.set(value, owner.names[owner.value(tensor)]));
    }
    return value;
  }

  /** The function around this one that a tensor is a value of. */
  private ownerOf(tensor: Tensor): Trace | undefined {
    for (let at = this.around; at !== undefined; at = at.around)
      if (at.values.has(tensor) && !at.captures.has(at.value(tensor))) return at;
    return undefined;
  }

  private add(name: string, type: TensorType): ValueId {
    this.names.push(name);
    return id(this.types.push(type) - 1);
  }

  private tensor(value: ValueId): Tensor {
    const node = this.name;
    const made: Tensor = {
      get dtype(): never {
        return unknown(node);
      },
      get shape(): never {
        return unknown(node);
      },
      get data(): never {
        return unknown(node);
      },
    };
    this.values.set(made, value);
    return made;
  }
}

const ids = (count: number): ValueId[] => Array.from({ length: count }, (_, i) => id(i));

const unknown = (name: string): never =>
  fail({
    code: 'runtime/trace',
    message: `${name} reads a tensor itself, where it may only pass it on to \`op\``,
    notes: ['`reference` may: it runs line by line'],
  });
