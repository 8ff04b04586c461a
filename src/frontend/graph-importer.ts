/**
 * One ONNX graph or body -> graph: names become values, nodes ops of the same name at the opset version they were
 * written for. All faults are collected; what can go on after one goes on.
 */
import type { Diagnostic } from '../diag/diagnostic.ts';
import type { Constant } from '../ir/constant.ts';
import { denseConstant } from '../ir/constant.ts';
import { parseDim, sym } from '../ir/dim.ts';
import type { Graph, Op } from '../ir/graph.ts';
import { id, type ValueId } from '../ir/ids.ts';
import { printType, type TensorType } from '../ir/types.ts';
import type { OnnxGraph, OnnxNode, OnnxTensor, OnnxValueInfo } from '../onnx/model.ts';
import { kindOf } from '../ops/op.ts';
import { nearestOps, opFor } from '../ops/registry.ts';
import { suggest } from '../util/suggest.ts';
import { importAttributes } from './attributes.ts';
import { UNTYPED } from './body-inputs.ts';
import type { ScopedNode } from './functions.ts';
import { labelOf, orderNodes } from './node-order.ts';
import { denseTensor } from './sparse.ts';

/** What a graph sees of the graphs around it. */
export interface Surroundings {
  /** Opset imports of the model; nodes of inlined functions have their own. */
  readonly opsets: ReadonlyMap<string, number>;
  /** Names of values of outer graphs. */
  readonly names: ReadonlySet<string>;
  /** A body that reads an outer initializer gets a constant of its own over the same bytes. */
  readonly initializers: ReadonlyMap<string, OnnxTensor>;
}

/** Builds one graph; a class because its tables live through one traversal. */
export class GraphImporter {
  private readonly names: string[] = [];
  private readonly types: TensorType[] = [];
  private readonly constants = new Map<ValueId, Constant>();
  private readonly captures = new Map<ValueId, string>();
  private readonly byName = new Map<string, ValueId>();
  private readonly ops: Op[] = [];
  private readonly source: OnnxGraph;
  private readonly around: Surroundings;
  private readonly faults: Diagnostic[];
  private readonly initializers: ReadonlyMap<string, OnnxTensor>;
  private readonly producers = new Map<string, OnnxNode>();

  constructor(source: OnnxGraph, around: Surroundings, faults: Diagnostic[]) {
    this.source = source;
    this.around = around;
    this.faults = faults;
    this.initializers = new Map([...around.initializers, ...this.ownInitializers()]);
    this.findProducers();
  }

  run(): Graph {
    const { source } = this;
    const seen = new Set<string>();
    const inputs: ValueId[] = [];
    for (const [i, info] of source.inputs.entries()) {
      if (seen.has(info.name)) this.twice(info.name, { where: `graph input ${i}` });
      seen.add(info.name);
      // IR < 4 lists initializers as inputs; a default is a constant here.
      const initializer = this.initializers.get(info.name);
      if (initializer === undefined) inputs.push(this.define(info.name, this.inputType(info, i)));
      else this.checkDefault(info, initializer, i);
    }
    const wanted = source.outputs.map(({ name }) => name);
    for (const node of orderNodes(wanted, this.producers, this.faults)) this.importNode(node);
    const outputs = wanted.map((name, i) => this.use(name, { where: `graph output ${i}` }));
    const { names, types, ops, constants, captures } = this;
    return { name: source.name || 'model', ops, types, names, constants, inputs, outputs, captures };
  }

  private fault(code: string, message: string, where: Partial<Diagnostic>, notes: readonly string[] = []): void {
    this.faults.push({ code, severity: 'error', message, ...where, ...(notes.length > 0 ? { notes } : {}) });
  }

  private twice(name: string, where: Partial<Diagnostic>): void {
    this.fault('onnx/duplicate-value', `value ${name} is defined twice`, where);
  }

  /** Initializers by name, sparse ones as dense. */
  private ownInitializers(): ReadonlyMap<string, OnnxTensor> {
    const own = new Map<string, OnnxTensor>();
    const { initializers, sparseInitializers } = this.source;
    for (const tensor of [...initializers, ...sparseInitializers.map(denseTensor)]) {
      if (own.has(tensor.name)) this.twice(tensor.name, { where: 'initializer' });
      own.set(tensor.name, tensor);
    }
    return own;
  }

  private findProducers(): void {
    const inputs = new Set(this.source.inputs.map(({ name }) => name));
    const own = new Set(this.source.initializers.map(({ name }) => name));
    for (const node of this.source.nodes) {
      for (const [i, name] of node.outputs.entries()) {
        if (name === '') continue;
        const taken = this.producers.has(name) || inputs.has(name) || own.has(name);
        if (taken) this.twice(name, { node: labelOf(node), where: `output ${i}` });
        else this.producers.set(name, node);
      }
    }
  }

  private define(name: string, type: TensorType): ValueId {
    const value = id<'value'>(this.names.length);
    this.names.push(name);
    this.types.push(type);
    this.byName.set(name, value);
    return value;
  }

  private inputType({ name, kind, dtype, shape }: OnnxValueInfo, index: number): TensorType {
    const where = { where: `graph input ${index} (${name})` };
    if (dtype !== undefined && shape !== undefined) {
      const size = shape.reduce<number>((n, d) => (typeof d === 'number' && d > 0 ? n * d : n), 1);
      if (size > Number.MAX_SAFE_INTEGER) {
        const message = `graph input ${name} has more elements than can be counted: ${dtype}[${shape}]`;
        this.fault('onnx/tensor-shape', message, where);
      }
      return { dtype, shape: shape.map((d, i) => dimOf(d, `${name}.d${i}`)) };
    }
    // A body may leave the types of its inputs to the op that runs it; inference fills them in.
    if (this.around.names.size > 0) return UNTYPED;
    const found = kind !== 'tensor' ? kind : dtype === undefined ? 'an element type that is not supported' : 'no shape';
    this.fault('onnx/input-type', `graph input ${name}: expected a tensor of known rank, found ${found}`, where, [
      'export the model with typed inputs',
    ]);
    return UNTYPED;
  }

  /** An input that is an initializer, too: both say the same. */
  private checkDefault({ name, dtype, shape }: OnnxValueInfo, tensor: OnnxTensor, index: number): void {
    const fits =
      (dtype === undefined || dtype === tensor.dtype) &&
      (shape === undefined ||
        (shape.length === tensor.shape.length &&
          shape.every((n, d) => typeof n !== 'number' || n === tensor.shape[d])));
    if (fits) return;
    const message = `graph input ${name}: expected ${dtype}[${shape}] as declared, found an initializer ${printType(tensor)}`;
    this.fault('onnx/type-mismatch', message, { where: `graph input ${index} (${name})` });
  }

  /** The value called `name`: already defined, an initializer at its first use, or one of the outer graph. */
  private use(name: string, where: Partial<Diagnostic>): ValueId {
    const known = this.byName.get(name);
    if (known !== undefined) return known;
    const initializer = this.initializers.get(name);
    if (initializer?.strings) return this.defineStrings(initializer, initializer.strings);
    if (initializer) {
      const { dtype, shape, source } = initializer;
      const value = this.define(name, { dtype, shape });
      this.constants.set(value, denseConstant(dtype, shape, source));
      return value;
    }
    if (!this.around.names.has(name)) this.dangling(name, where);
    const value = this.define(name, UNTYPED);
    this.captures.set(value, name);
    return value;
  }

  private dangling(name: string, where: Partial<Diagnostic>): void {
    const known = [...this.producers.keys(), ...this.initializers.keys(), ...this.byName.keys(), ...this.around.names];
    const near = suggest(name, known);
    const message =
      where.node === undefined ? `value ${name} is never produced` : `value ${name} is read but never defined`;
    this.fault('onnx/dangling', message, where, [
      'every value that is read must be a graph input, an initializer, or the output of a node',
      ...(near === undefined ? [] : [near]),
    ]);
  }

  /** Constants have bytes, so an initializer of strings is an op that makes them. */
  private defineStrings({ name, shape }: OnnxTensor, strings: readonly string[]): ValueId {
    if (shape.length > 1)
      this.fault('onnx/dtype', `initializer ${name} holds strings of shape [${shape}]; a list is expected`, {});
    const value = this.define(name, UNTYPED);
    const attrs = shape.length === 0 ? { value_string: strings[0] } : { value_strings: strings };
    const origin = { node: name, by: [] };
    this.ops.push({ kind: 'Constant', version: 12, inputs: [], outputs: [value], attrs, origin });
    return value;
  }

  private importNode(node: ScopedNode): void {
    const kind = kindOf(node.domain, node.opType);
    const label = labelOf(node);
    const version = this.versionOf(node, kind);
    const inputs = node.inputs.map((name, i) =>
      name === '' ? null : this.use(name, { node: label, where: `input ${i} of ${kind}` }),
    );
    while (inputs.length > 0 && inputs.at(-1) === null) inputs.pop();
    const attrs = importAttributes(node, (body) => this.importBody(body), this.faults);
    const outputs = node.outputs.map((name) => (name === '' ? null : this.define(name, UNTYPED)));
    while (outputs.length > 1 && outputs.at(-1) === null) outputs.pop();
    this.ops.push({ kind, version, inputs, outputs, attrs, origin: { node: label, by: [] } });
  }

  /** The opset version the node was written for; a fault where wafc does not have the op at that version. */
  private versionOf(node: ScopedNode, kind: string): number {
    const version = (node.opsets ?? this.around.opsets).get(node.domain);
    const where = { node: labelOf(node) };
    const def = opFor(kind);
    const domain = node.domain === '' ? 'ai.onnx' : node.domain;
    if (def === undefined) {
      const near = nearestOps(kind);
      const at = version === undefined ? '' : ` (opset ${version})`;
      const notes = near.length > 0 ? [`nearest supported: ${near.join(', ')}`] : [];
      this.fault('onnx/unsupported-op', `${kind}${at} is not supported`, where, notes);
    } else if (version === undefined) {
      const message = `${kind} is of domain ${domain}, of which the model imports no opset version`;
      this.fault('onnx/no-opset', message, where, ['found imports: ' + (importsText(this.around.opsets) || 'none')]);
    } else if (version < def.since[0]) {
      const message = `${kind} at opset ${version} is older than what is supported (${def.since[0]})`;
      const note = `convert the model: onnx.version_converter.convert_version(model, ${def.since[0]}) or later`;
      this.fault('onnx/unsupported-op', message, where, node.domain === '' ? [note] : []);
    }
    return version ?? 1;
  }

  private importBody(body: OnnxGraph): Graph {
    const { around, byName, initializers, producers } = this;
    const names = new Set([...around.names, ...byName.keys(), ...initializers.keys(), ...producers.keys()]);
    return new GraphImporter(body, { ...around, names, initializers }, this.faults).run();
  }
}

const dimOf = (d: number | string | null, name: string): TensorType['shape'][number] =>
  typeof d === 'number' ? d : d === null || d === '' ? sym(name) : parseDim(d);

const importsText = (opsets: ReadonlyMap<string, number>): string =>
  [...opsets].map(([domain, version]) => `${domain || 'ai.onnx'} ${version}`).join(', ');
