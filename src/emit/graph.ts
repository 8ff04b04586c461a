/**
 * A graph as TypeScript: one line an op, with its operands, attributes, type and ONNX node; blocks that repeat are functions,
 * called once an instance; bodies of If, Loop and Scan are closures.
 */
import { type Constant, elementCount } from '../ir/constant.ts';
import { type AttrValue, type Graph, isConstantAttr, isGraphAttr, type Op } from '../ir/graph.ts';
import type { OpId, ValueId } from '../ir/ids.ts';
import { printTensorType } from '../ir/print.ts';
import { findBlocks } from './blocks.ts';
import { isInline, tensorLiteral } from './literal.ts';
import { nameByInstance, Names, shortName } from './names.ts';
import { list, numberLiteral, property, quote } from './syntax.ts';

/** How the code gets a constant that is too large to stand in it. */
export type ConstantCode = (name: string, constant: Constant) => string;

export interface GraphCode {
  /** Declarations of functions and tables, before the function that uses them. */
  readonly declarations: readonly string[];
  /** Statements of the function. */
  readonly statements: readonly string[];
  /** The expression of each output. */
  readonly outputs: readonly string[];
}

/** The parameter `inputs`, with the mark of what is not used. */
export const parameter = ({ statements, outputs }: GraphCode): string =>
  [...statements, ...outputs].some((line) => line.includes('inputs[')) ? 'inputs' : '_inputs';

/** Code of `graph`, whose inputs are the expressions `inputs`. `names` are those of the whole file. */
export function emitGraph(
  graph: Graph,
  inputs: readonly string[],
  names: Names,
  constant: ConstantCode,
  what: string,
): GraphCode {
  const declarations: string[] = [];
  const emitter = new Emitter(graph, new Names(names), constant);
  for (const [i, v] of graph.inputs.entries()) emitter.values.set(v, inputs[i]);
  const order = [...graph.ops.keys()].map((at) => at as OpId).filter((at) => !emitter.isConstant(at));
  const statements = findBlocks(graph, order).flatMap((part) => {
    if (part.kind === 'ops') return part.ops.flatMap((at) => emitter.op(at));
    const block = new BlockEmitter(emitter, part.instances, names, what);
    declarations.push(...block.declaration());
    return block.calls();
  });
  return { declarations, statements, outputs: graph.outputs.map((v) => emitter.value(v)) };
}

/** What is read, and by which function: the code of values inside one function. */
class Emitter {
  readonly values = new Map<ValueId, string>();
  readonly graph: Graph;
  readonly names: Names;
  readonly constant: ConstantCode;
  private readonly around: Emitter | undefined;
  private readonly byName: ReadonlyMap<string, ValueId>;
  /** Values that something reads: the others get no name. */
  private readonly read: ReadonlySet<ValueId>;
  private readonly constantOps = new Map<ValueId, Op>();

  constructor(graph: Graph, names: Names, constant: ConstantCode, around?: Emitter) {
    this.graph = graph;
    this.names = names;
    this.constant = constant;
    this.around = around;
    this.byName = new Map(graph.names.map((name, v) => [name, v as ValueId]));
    this.read = readValues(graph, this.byName);
    for (const op of graph.ops) {
      const [v] = op.outputs;
      if (op.kind === 'Constant' && v !== null && isConstantAttr(op.attrs.value)) this.constantOps.set(v, op);
    }
  }

  /** Constants of ONNX nodes are written where they are read. */
  isConstant(at: OpId): boolean {
    const [v] = this.graph.ops[at].outputs;
    return v !== null && v !== undefined && this.constantOps.has(v);
  }

  value(v: ValueId | null): string {
    if (v === null) return 'undefined';
    const known = this.values.get(v) ?? this.literal(v);
    if (known !== undefined) return known;
    const outer = this.graph.captures.get(v);
    if (outer !== undefined && this.around !== undefined) return this.around.named(outer);
    throw new Error(`nothing computes ${this.graph.names[v]}`);
  }

  private named(name: string): string {
    const v = this.byName.get(name);
    if (v !== undefined) return this.value(v);
    if (this.around !== undefined) return this.around.named(name);
    throw new Error(`nothing computes ${name}`);
  }

  /** The code of a constant, undefined for other values. */
  literal(v: ValueId): string | undefined {
    const given = this.constantOps.get(v)?.attrs.value;
    const constant = isConstantAttr(given) ? given : this.graph.constants.get(v);
    if (constant === undefined) return undefined;
    return isInline(constant) ? tensorLiteral(constant) : this.constant(this.graph.names[v], constant);
  }

  /** The line of an op. `operand` gives the code of those that are not what they are elsewhere in the function. */
  op(
    at: OpId,
    node = quote(this.graph.ops[at].origin.node),
    operand: (input: number) => string | undefined = () => undefined,
  ): string[] {
    const op = this.graph.ops[at];
    const targets = op.outputs.map((v) => this.declare(v, nameOf(op)));
    const types = op.outputs.map((v) => (v === null ? '_' : printTensorType(this.graph.types[v]))).join(', ');
    const operands = op.inputs.map((v, i) => operand(i) ?? this.value(v));
    const attrs = Object.entries(op.attrs).sort(([a], [b]) => (a < b ? -1 : 1));
    const fields = attrs.map(([name, value]) => `${property(name)}: ${this.attribute(name, value, op)}`);
    const rest = [fields.length === 0 ? '{}' : `{ ${fields.join(', ')} }`, node];
    if (targets.length !== 1) rest.push(String(targets.length));
    const call = `op(${quote(op.kind)}, ${op.version}, [${operands.join(', ')}], ${rest.join(', ')})`;
    return `const [${targets.join(', ')}] = ${call}; // ${types}`.split('\n');
  }

  /** The variable of a value, '' where nothing reads it. */
  declare(v: ValueId | null, name?: string): string {
    if (v === null || !this.read.has(v)) return '';
    const declared = this.names.add(name ?? shortName(this.graph.names[v]));
    this.values.set(v, declared);
    return declared;
  }

  private attribute(name: string, value: AttrValue, op: Op): string {
    if (typeof value === 'number') return numberLiteral(value);
    if (typeof value === 'boolean') return String(value);
    if (typeof value === 'string') return quote(value);
    if (isConstantAttr(value)) return tensorLiteral(value);
    if (isGraphAttr(value)) return this.body(value.graph, `${firstOutput(this.graph, op)}.${name}`);
    return value.every((item) => typeof item === 'number')
      ? list(value)
      : `[${value.map((item) => (typeof item === 'string' ? quote(item) : numberLiteral(item))).join(', ')}]`;
  }

  /** `body([types in], [types out], (a, b) => { .. })`: reads what is around it as any closure does. */
  private body(graph: Graph, path: string): string {
    const inner = new Emitter(
      graph,
      new Names(this.names),
      (name, constant) => this.constant(`${path}.${name}`, constant),
      this,
    );
    const parameters = graph.inputs.map((v) => inner.names.add(shortName(graph.names[v])));
    for (const [i, v] of graph.inputs.entries()) inner.values.set(v, parameters[i]);
    const ops = graph.ops.flatMap((_, at) => (inner.isConstant(at as OpId) ? [] : inner.op(at as OpId)));
    const types = (values: readonly ValueId[]): string =>
      `[${values.map((v) => quote(printTensorType(graph.types[v]))).join(', ')}]`;
    const result = `return [${graph.outputs.map((v) => inner.value(v)).join(', ')}];`;
    const statements = [...ops, result].map((line) => `  ${line}`).join('\n');
    return `body(${types(graph.inputs)}, ${types(graph.outputs)}, (${parameters.join(', ')}) => {\n${statements}\n})`;
  }
}

/** A block that repeats: the function, its table of weights, and the calls. */
class BlockEmitter {
  private readonly emitter: Emitter;
  private readonly instances: readonly (readonly OpId[])[];
  private readonly name: string;
  private readonly table: string;
  private readonly inner: Emitter;
  /** Parameters: the name of each, and its value in every instance. */
  private readonly parameters: { name: string; values: ValueId[] }[] = [];
  /** Columns of the table: constants that differ from instance to instance. */
  private readonly columns: { name: string; cells: readonly string[] }[] = [];
  private readonly results: { position: number; output: number }[] = [];
  /** Code of operand j of op r, where it comes from outside: by `r.j`. */
  private readonly operand = new Map<string, string>();

  constructor(emitter: Emitter, instances: readonly (readonly OpId[])[], names: Names, what: string) {
    this.emitter = emitter;
    this.instances = instances;
    this.name = names.add(what);
    this.table = names.add(`${this.name}Weights`);
    this.inner = new Emitter(emitter.graph, new Names(names), emitter.constant);
    this.bindOperands();
    this.findResults();
  }

  /** What enters: values become parameters, constants that differ become columns of a table, the others stand in the code. */
  private bindOperands(): void {
    const { graph } = this.emitter;
    const made = this.instances.map((ops) => new Set(ops.flatMap((at) => graph.ops[at].outputs)));
    const seen = new Map<string, string>();
    const columnNames = new Names();
    for (const [r, at] of this.instances[0].entries()) {
      for (const [j, v] of graph.ops[at].inputs.entries()) {
        if (v === null || made[0].has(v)) continue;
        const values = this.instances.map((ops) => graph.ops[ops[r]].inputs[j] as ValueId);
        const literals = values.map((value) => this.emitter.literal(value));
        if (literals[0] !== undefined && literals.every((text) => text === literals[0])) continue;
        const key = values.join();
        let code = seen.get(key);
        if (code === undefined) {
          if (literals.every((text) => text !== undefined)) {
            const name = columnNames.add(columnName(graph, graph.ops[at], v));
            this.columns.push({ name, cells: literals });
            code = `w.${name}`;
          } else {
            const name = this.inner.names.add(shortName(graph.names[v]));
            this.parameters.push({ name, values });
            code = name;
          }
          seen.set(key, code);
        }
        this.operand.set(`${r}.${j}`, code);
      }
    }
  }
  /** What leaves in any instance. */
  private findResults(): void {
    const { graph } = this.emitter;
    const readBy = new Map<ValueId, OpId[]>();
    const captured = new Set<string>();
    for (const [at, op] of graph.ops.entries()) {
      for (const v of op.inputs) {
        const readers = v === null ? undefined : readBy.get(v);
        if (readers !== undefined) readers.push(at as OpId);
        else if (v !== null) readBy.set(v, [at as OpId]);
      }
      for (const attr of Object.values(op.attrs)) if (isGraphAttr(attr)) collectCaptures(attr.graph, captured);
    }
    const leaves = this.instances[0].map((at) => graph.ops[at].outputs.map(() => false));
    for (const ops of this.instances) {
      const own = new Set(ops);
      for (const [r, at] of ops.entries())
        for (const [o, v] of graph.ops[at].outputs.entries())
          if (
            v !== null &&
            (graph.outputs.includes(v) || captured.has(graph.names[v]) || readBy.get(v)?.some((u) => !own.has(u)))
          )
            leaves[r][o] = true;
    }
    for (const [position, row] of leaves.entries())
      for (const [output, leaving] of row.entries()) if (leaving) this.results.push({ position, output });
  }

  declaration(): string[] {
    const { graph } = this.emitter;
    const [first] = this.instances;
    const lines: string[] = [];
    for (const [r, at] of first.entries()) {
      const nodes = this.instances.map((ops) => graph.ops[ops[r]].origin.node);
      const node = nameByInstance(nodes) ?? `[${nodes.map(quote).join(', ')}][k]`;
      // By position: what is one value in the first instance may be two in another.
      lines.push(...this.inner.op(at, node, (j) => this.operand.get(`${r}.${j}`)));
    }
    const results = this.results.map(({ position, output }) =>
      this.inner.value(graph.ops[first[position]].outputs[output]),
    );
    const parameters = ['k: number', ...this.parameters.map(({ name }) => `${name}: Tensor`)].join(', ');
    return [
      ...this.tableDeclaration(),
      `/** Ops that the model repeats ${this.instances.length} times; k is the instance. */`,
      `function ${this.name}(${parameters}): readonly [${results.map(() => 'Tensor').join(', ')}] {`,
      ...(this.columns.length === 0 ? [] : [`  const w = ${this.table}[k];`]),
      ...lines.map((line) => `  ${line}`),
      `  return [${results.join(', ')}];`,
      '}',
      '',
    ];
  }

  private tableDeclaration(): string[] {
    if (this.columns.length === 0) return [];
    const rows = this.instances.map((_, k) => {
      // Read when the instance runs: not all weights at once.
      const fields = this.columns.map(({ name, cells }) => `    get ${name}() { return ${cells[k]}; },`);
      return ['  {', ...fields, '  },'].join('\n');
    });
    return [`/** Constants of each instance of ${this.name}. */`, `const ${this.table} = [`, ...rows, '];', ''];
  }

  calls(): string[] {
    const { graph } = this.emitter;
    return this.instances.flatMap((ops, k) => {
      const given = this.parameters.map(({ values }) => this.emitter.value(values[k]));
      const targets = this.results.map(({ position, output }) =>
        this.emitter.declare(graph.ops[ops[position]].outputs[output]),
      );
      return [`const [${targets.join(', ')}] = ${this.name}(${[k, ...given].join(', ')});`];
    });
  }
}

/** A node that says where it is names its only output. */
const nameOf = ({ origin, outputs }: Op): string | undefined =>
  origin.node.includes('/') && outputs.length === 1 ? shortName(origin.node) : undefined;

/** Inputs of ops, outputs of the graph, and what bodies capture. */
function readValues(graph: Graph, byName: ReadonlyMap<string, ValueId>): Set<ValueId> {
  const read = new Set(graph.outputs);
  const captured = new Set<string>();
  for (const { inputs, attrs } of graph.ops) {
    for (const v of inputs) if (v !== null) read.add(v);
    for (const attr of Object.values(attrs)) if (isGraphAttr(attr)) collectCaptures(attr.graph, captured);
  }
  for (const name of captured) {
    const v = byName.get(name);
    if (v !== undefined) read.add(v);
  }
  return read;
}

/** Bodies have no name of their own: their op's first output stands for it. */
const firstOutput = (graph: Graph, op: Op): string => {
  const v = op.outputs.find((out) => out !== null);
  return v === undefined || v === null ? op.origin.node : graph.names[v];
};

/** A weight is called after the op that reads it, unless its own name says more. */
function columnName(graph: Graph, op: Op, v: ValueId): string {
  const name = graph.names[v];
  if (/\.(weight|bias)$/.test(name)) return shortName(name);
  const constant = graph.constants.get(v);
  const what = constant !== undefined && elementCount(constant.shape) > 1 ? 'weight' : 'constant';
  return `${shortName(op.origin.node)}_${what}`;
}

function collectCaptures(body: Graph, into: Set<string>): void {
  for (const name of body.captures.values()) into.add(name);
  for (const op of body.ops)
    for (const attr of Object.values(op.attrs)) if (isGraphAttr(attr)) collectCaptures(attr.graph, into);
}
