/**
 * ONNX model -> graph. Nodes become ops of the same name at the model's opset version; nothing is rewritten
 * here beyond inlining model-local functions. Order is by depth-first search from the outputs, so it does not
 * depend on the order of nodes in the file. All unsupported ops are reported at once.
 */
import { Diagnosed, type Diagnostic, fail } from '../diag/diagnostic.ts';
import type { Constant } from '../ir/constant.ts';
import { denseConstant } from '../ir/constant.ts';
import { bindDim, type Dim, parseDim, sym } from '../ir/dim.ts';
import type { AttrValue, Attrs, Graph, Op } from '../ir/graph.ts';
import { id, type ValueId } from '../ir/ids.ts';
import type { TensorType } from '../ir/types.ts';
import type { OnnxAttribute, OnnxGraph, OnnxModel, OnnxNode, OnnxTensor, OnnxValueInfo } from '../onnx/model.ts';
import { openModel } from '../onnx/reader.ts';
import { kindOf } from '../ops/op.ts';
import { nearestOps, opFor } from '../ops/registry.ts';
import { inlineFunctions } from './functions.ts';
import { UNTYPED } from './body-inputs.ts';
import { inferTypes } from './infer.ts';
import { inferRoles, type Roles } from './roles.ts';

export interface ImportOptions {
  /** Numbers for symbolic dims of the model, by the name that the model (or B, S, P of the roles) gives them. */
  readonly bindings?: Readonly<Record<string, number>>;
}
export interface Imported {
  readonly graph: Graph;
  readonly roles: Roles;
}

/**
 * Opens and imports a model file.
 * @throws Diagnosed with every fault found: unreadable bytes, unsupported ops, types that disagree.
 */
export function importModel(path: string, options: ImportOptions = {}): Imported {
  return importOnnx(openModel(path), options);
}

/** Imports an opened model; see {@link importModel}. */
export function importOnnx(model: OnnxModel, options: ImportOptions = {}): Imported {
  const faults: Diagnostic[] = [];
  const graph = new GraphImporter(model, inlineFunctions(model), new Set(), new Map(), faults).run();
  if (faults.length > 0) throw new Diagnosed(mergeUnsupported(faults));
  const { renames, roles } = inferRoles(graph);
  const bindings: Record<string, Dim> = { ...renames };
  for (const [name, n] of Object.entries(options.bindings ?? {})) {
    bindings[name] = n;
    for (const [from, to] of Object.entries(renames))
      if (from === name && typeof to !== 'number') Object.assign(bindings, bindSymbol(to, n));
  }
  return { graph: inferTypes(graph, resolveTwice(bindings)), roles };
}

/** A model's name for a role dim binds the role's symbol, when the dim is that one symbol. */
function bindSymbol(dim: Dim, n: number): Record<string, Dim> {
  if (typeof dim === 'number' || dim.terms.size !== 1) return {};
  const [[name, coef]] = dim.terms;
  return coef === 1 ? { [name]: n } : {};
}

/** Renames may lead to symbols that are bound themselves. */
function resolveTwice(bindings: Record<string, Dim>): (dim: Dim) => Dim {
  const once = (dim: Dim): Dim => bindDim(dim, bindings);
  return (dim) => once(once(dim));
}

/** One diagnostic per missing op kind, with the number of nodes and the first of them. */
function mergeUnsupported(faults: readonly Diagnostic[]): Diagnostic[] {
  const byKey = new Map<string, { first: Diagnostic; count: number }>();
  for (const fault of faults) {
    const key = fault.code === 'onnx/unsupported-op' ? fault.message : `${fault.message} ${fault.node}`;
    const seen = byKey.get(key);
    if (seen) seen.count++;
    else byKey.set(key, { first: fault, count: 1 });
  }
  return [...byKey.values()].map(({ first, count }) =>
    count === 1
      ? first
      : {
          ...first,
          notes: [...(first.notes ?? []), `${count} nodes use it; the first is named above`],
        },
  );
}

/** Builds one graph or subgraph; a class because its tables live through one traversal. */
class GraphImporter {
  private readonly names: string[] = [];
  private readonly types: TensorType[] = [];
  private readonly constants = new Map<ValueId, Constant>();
  private readonly captures = new Map<ValueId, string>();
  private readonly byName = new Map<string, ValueId>();
  private readonly ops: Op[] = [];
  private readonly model: OnnxModel;
  private readonly source: OnnxGraph;
  private readonly outer: ReadonlySet<string>;
  private readonly faults: Diagnostic[];
  private readonly initializers: ReadonlyMap<string, OnnxTensor>;
  private readonly producers = new Map<string, OnnxNode>();

  constructor(
    model: OnnxModel,
    source: OnnxGraph,
    outer: ReadonlySet<string>,
    outerInitializers: ReadonlyMap<string, OnnxTensor>,
    faults: Diagnostic[],
  ) {
    this.model = model;
    this.source = source;
    this.outer = outer;
    this.faults = faults;
    // A body that reads an outer initializer gets a constant of its own over the same bytes.
    this.initializers = new Map([
      ...outerInitializers,
      ...source.initializers.map((t): [string, OnnxTensor] => [t.name, t]),
    ]);
    for (const node of source.nodes) {
      for (const name of node.outputs) {
        if (name === '') continue;
        if (this.producers.has(name) || source.inputs.some((i) => i.name === name)) {
          faults.push({
            code: 'onnx/duplicate-value',
            severity: 'error',
            message: `value ${name} is defined twice`,
            node: labelOf(node),
          });
        }
        this.producers.set(name, node);
      }
    }
  }

  run(): Graph {
    const inputs: ValueId[] = [];
    for (const info of this.source.inputs) {
      if (this.initializers.has(info.name)) continue; // IR < 4 lists initializers as inputs; a default is a constant here
      inputs.push(this.define(info.name, this.inputType(info)));
    }
    for (const node of this.orderedNodes()) this.importNode(node);
    const outputs = this.source.outputs.map(({ name }) => this.use(name, 'graph output'));
    return {
      name: this.source.name || 'model',
      ops: this.ops,
      types: this.types,
      names: this.names,
      constants: this.constants,
      inputs,
      outputs,
      captures: this.captures,
    };
  }

  private define(name: string, type: TensorType): ValueId {
    const value = id<'value'>(this.names.length);
    this.names.push(name);
    this.types.push(type);
    this.byName.set(name, value);
    return value;
  }

  private inputType({ name, dtype, shape }: OnnxValueInfo): TensorType {
    // A body may leave the types of its inputs to the op that runs it; inference fills them in.
    if ((dtype === undefined || shape === undefined) && this.outer.size > 0) return UNTYPED;
    if (dtype === undefined || shape === undefined) {
      fail({
        code: 'onnx/input-type',
        message: `graph input ${name} has no tensor type; only tensors of known rank can be inputs`,
        notes: ['export the model with typed inputs'],
      });
    }
    return {
      dtype,
      shape: shape.map((d, i) =>
        typeof d === 'number' ? d : d === null || d === '' ? sym(`${name}.d${i}`) : parseDim(d),
      ),
    };
  }

  /** The value called `name`: already defined, an initializer at its first use, or one of the outer graph. */
  private use(name: string, node: string): ValueId {
    const known = this.byName.get(name);
    if (known !== undefined) return known;
    const initializer = this.initializers.get(name);
    if (initializer) {
      const value = this.define(name, {
        dtype: initializer.dtype,
        shape: initializer.shape,
      });
      this.constants.set(value, denseConstant(initializer.dtype, initializer.shape, initializer.source));
      return value;
    }
    if (!this.outer.has(name)) {
      this.faults.push({
        code: 'onnx/dangling',
        severity: 'error',
        message: `value ${name} is read but never defined`,
        node,
        notes: ['every input must be a graph input, an initializer, or the output of a node'],
      });
    }
    const value = this.define(name, UNTYPED);
    this.captures.set(value, name);
    return value;
  }

  private importNode(node: OnnxNode): void {
    const kind = kindOf(node.domain, node.opType);
    const label = labelOf(node);
    const version = this.model.opsets.get(node.domain === 'ai.onnx' ? '' : node.domain) ?? (node.domain === '' ? 1 : 1);
    const def = opFor(kind);
    if (def === undefined || version < def.since[0]) {
      const near = nearestOps(kind);
      this.faults.push({
        code: 'onnx/unsupported-op',
        severity: 'error',
        message: def
          ? `${kind} at opset ${version} is older than what is supported (${def.since[0]})`
          : `${kind} (opset ${version}) is not supported`,
        node: label,
        ...(near.length > 0 ? { notes: [`nearest supported: ${near.join(', ')}`] } : {}),
      });
    }
    const inputs = node.inputs.map((name) => (name === '' ? null : this.use(name, label)));
    while (inputs.length > 0 && inputs.at(-1) === null) inputs.pop();
    const attrs = this.importAttributes(node);
    const outputs = node.outputs.map((name) => (name === '' ? null : this.define(name, UNTYPED)));
    while (outputs.length > 1 && outputs.at(-1) === null) outputs.pop();
    this.ops.push({
      kind,
      version,
      inputs,
      outputs,
      attrs,
      origin: { node: label, by: [] },
    });
  }

  private importAttributes(node: OnnxNode): Attrs {
    const attrs: Record<string, AttrValue> = {};
    const sorted = [...node.attributes].sort(([a], [b]) => (a < b ? -1 : 1));
    for (const [name, attribute] of sorted) {
      const value = this.importAttribute(attribute);
      if (value !== undefined) attrs[name] = value;
      else {
        this.faults.push({
          code: 'onnx/attribute',
          severity: 'error',
          message: `attribute ${name} of kind ${attribute.kind} is not supported`,
          node: labelOf(node),
        });
      }
    }
    return attrs;
  }

  private importAttribute(a: OnnxAttribute): AttrValue | undefined {
    switch (a.kind) {
      case 'int':
      case 'float':
      case 'string':
        return a.value;
      case 'ints':
      case 'floats':
      case 'strings':
        return a.value;
      case 'tensor':
        return denseConstant(a.value.dtype, a.value.shape, a.value.source);
      case 'graph': {
        const outer = new Set([
          ...this.outer,
          ...this.byName.keys(),
          ...this.initializers.keys(),
          ...this.producers.keys(),
        ]);
        return {
          graph: new GraphImporter(this.model, a.value, outer, this.initializers, this.faults).run(),
        };
      }
      default:
        return undefined;
    }
  }

  /** Post-order from the outputs, operands in order; iterative, so depth is no limit. Reports cycles. */
  private orderedNodes(): OnnxNode[] {
    const order: OnnxNode[] = [];
    const state = new Map<OnnxNode, 'open' | 'done'>();
    const stack: { node: OnnxNode; deps: string[]; next: number }[] = [];
    const visit = (name: string): void => {
      const node = this.producers.get(name);
      if (node === undefined || state.get(node) === 'done') return;
      if (state.get(node) === 'open') {
        fail({
          code: 'onnx/cycle',
          message: `node ${labelOf(node)} depends on its own output ${name}`,
          node: labelOf(node),
        });
      }
      state.set(node, 'open');
      stack.push({ node, deps: dependenciesOf(node), next: 0 });
    };
    for (const { name } of this.source.outputs) {
      visit(name);
      while (stack.length > 0) {
        const top = stack[stack.length - 1];
        if (top.next < top.deps.length) visit(top.deps[top.next++]);
        else {
          state.set(top.node, 'done');
          order.push(top.node);
          stack.pop();
        }
      }
    }
    return order;
  }
}

const labelOf = (node: OnnxNode): string => node.name || node.outputs.find((o) => o !== '') || node.opType;

/** Names that a node reads, those that its bodies take from outside included. */
function dependenciesOf(node: OnnxNode): string[] {
  const deps = node.inputs.filter((name) => name !== '');
  for (const attribute of node.attributes.values()) {
    if (attribute.kind === 'graph') deps.push(...freeNames(attribute.value));
    if (attribute.kind === 'graphs') for (const body of attribute.value) deps.push(...freeNames(body));
  }
  return deps;
}

function freeNames(graph: OnnxGraph): string[] {
  const bound = new Set([
    ...graph.inputs.map((i) => i.name),
    ...graph.initializers.map((t) => t.name),
    ...graph.nodes.flatMap((n) => n.outputs),
  ]);
  const read = [...graph.nodes.flatMap(dependenciesOf), ...graph.outputs.map((o) => o.name)];
  return read.filter((name) => !bound.has(name));
}
