/**
 * The only way to make a changed graph. An edit starts from a graph, collects changes, and `finish()` makes a
 * new one in canonical form (canonical.ts): the old graph is never touched. Ids of the old graph stay good
 * until `finish`; ids of the result are new, names are what stays.
 *
 * Edits are trusted to mean something: nothing here infers types or checks them (src/verify/graph.ts does).
 */
import { type CanonicalInput, canonicalGraph, type DraftOp } from './canonical.ts';
import type { Constant } from './constant.ts';
import type { Attrs, Graph, Op, Origin } from './graph.ts';
import { id, type OpId, type ValueId } from './ids.ts';
import { capturedNames } from './order.ts';
import { equalTypes, type TensorType } from './types.ts';

export interface NewValue {
  readonly type: TensorType;
  /** Wanted name; gets a numeric suffix when it is taken. Default: the op's ONNX node, else its kind. */
  readonly name?: string;
}
export interface NewOp {
  readonly kind: string;
  readonly version: number;
  readonly inputs: readonly (ValueId | null)[];
  readonly attrs?: Attrs;
  readonly outputs: readonly (NewValue | null)[];
  /** The op that this one stands for, or its origin; the editing pass is appended. */
  readonly origin: Origin;
}
/** What `rewriteOp` may change; outputs stay. */
export type OpChange = Partial<Pick<Op, 'kind' | 'version' | 'inputs' | 'attrs'>>;

/** Starts an edit. `by` is the name of the editing pass, put into the origin of every op it adds or rewrites. */
export const editGraph = (graph: Graph, by: string): GraphEdit => new GraphEdit(graph, by);

/** `graph` in canonical form: itself when it is in that form already. */
export const canonical = (graph: Graph): Graph => editGraph(graph, '').finish();

export class GraphEdit {
  readonly graph: Graph;
  readonly #by: string;
  readonly #types: TensorType[];
  readonly #names: string[];
  readonly #constants: Map<ValueId, Constant>;
  readonly #ops: DraftOp[] = [];
  readonly #producers = new Map<ValueId, OpId>();
  readonly #users = new Map<ValueId, Set<OpId>>();
  readonly #byName = new Map<string, ValueId>();
  #inputs: readonly ValueId[];
  #outputs: readonly ValueId[];

  constructor(graph: Graph, by: string) {
    this.graph = graph;
    this.#by = by;
    this.#types = [...graph.types];
    this.#names = [...graph.names];
    this.#constants = new Map(graph.constants);
    this.#inputs = graph.inputs;
    this.#outputs = graph.outputs;
    for (const [v, name] of graph.names.entries()) this.#byName.set(name, id<'value'>(v));
    for (const op of graph.ops) this.#append({ ...op, original: op, removed: false, captured: this.#captured(op) });
  }

  /** The op as edited so far. */
  op(op: OpId): Pick<Op, 'kind' | 'version' | 'inputs' | 'outputs' | 'attrs' | 'origin'> {
    return this.#ops[op];
  }
  /** Ops so far, removed ones included; ids of the old graph's ops are the first ones. */
  get opCount(): number {
    return this.#ops.length;
  }
  isRemoved(op: OpId): boolean {
    return this.#ops[op].removed;
  }
  typeOf(value: ValueId): TensorType {
    return this.#types[value];
  }
  /** The name so far; `finish` may add a suffix to the name of a new value. */
  nameOf(value: ValueId): string {
    return this.#names[value];
  }
  constantOf(value: ValueId | null | undefined): Constant | undefined {
    return value === null || value === undefined ? undefined : this.#constants.get(value);
  }
  /** The op that defines `value`, or undefined for inputs, constants and captures. */
  producerOf(value: ValueId): OpId | undefined {
    return this.#producers.get(value);
  }
  /** Ops that read `value` now (bodies included), ascending. Graph outputs are not ops: see `isOutput`. */
  usersOf(value: ValueId): readonly OpId[] {
    return [...(this.#users.get(value) ?? [])].filter((op) => !this.#ops[op].removed).sort((a, b) => a - b);
  }
  /** What `op` reads now: inputs without the absent ones, then what its bodies capture. */
  readsOf(op: OpId): readonly ValueId[] {
    return [...this.#ops[op].inputs, ...this.#ops[op].captured.values()].filter((v) => v !== null);
  }
  isOutput(value: ValueId): boolean {
    return this.#outputs.includes(value);
  }
  /** Graph outputs as edited so far. */
  get outputs(): readonly ValueId[] {
    return this.#outputs;
  }

  addConstant(name: string, constant: Constant): ValueId {
    const value = this.#addValue({ dtype: constant.dtype, shape: constant.shape }, name);
    this.#constants.set(value, constant);
    return value;
  }

  /** Puts other contents in the place of a constant; its type follows. */
  setConstant(value: ValueId, constant: Constant): void {
    if (!this.#constants.has(value)) throw new Error(`edit: %${this.#names[value]} is not a constant`);
    this.#constants.set(value, constant);
    this.setType(value, { dtype: constant.dtype, shape: constant.shape });
  }

  addInput(name: string, type: TensorType): ValueId {
    const value = this.#addValue(type, name);
    this.#inputs = [...this.#inputs, value];
    return value;
  }

  /** Adds an op; returns its outputs, in order, without the absent ones. */
  addOp(added: NewOp): ValueId[] {
    const { kind, version, inputs, attrs = {}, origin } = added;
    const outputs = added.outputs.map((o) =>
      o === null ? null : this.#addValue(o.type, o.name ?? (origin.node || kind)),
    );
    const by = [...origin.by, ...(origin.by.at(-1) === this.#by ? [] : [this.#by])];
    const captured = this.#captured({ attrs });
    this.#append({
      kind,
      version,
      inputs,
      outputs,
      attrs,
      origin: { node: origin.node, by },
      removed: false,
      captured,
    });
    return outputs.filter((o) => o !== null);
  }

  /** Changes an op in place: its outputs keep their ids, types and names. */
  rewriteOp(op: OpId, change: OpChange): void {
    const old = this.#ops[op];
    for (const value of this.readsOf(op)) this.#users.get(value)?.delete(op);
    const { node, by } = old.origin;
    const origin = { node, by: by.at(-1) === this.#by ? by : [...by, this.#by] };
    const { original: _, ...kept } = old;
    const captured = change.attrs === undefined ? old.captured : this.#captured({ attrs: change.attrs });
    this.#ops[op] = { ...kept, ...change, origin, captured };
    this.#use(op);
  }

  /** Makes an optional output absent; nothing may use it any more. */
  dropOutput(op: OpId, index: number): void {
    const { original: _, ...kept } = this.#ops[op];
    this.#ops[op] = { ...kept, outputs: kept.outputs.map((v, i) => (i === index ? null : v)) };
  }

  /** Its outputs must be out of use when the edit is finished. Ops that nothing uses go without being removed. */
  removeOp(op: OpId): void {
    this.#ops[op] = { ...this.#ops[op], removed: true };
  }

  /**
   * Makes every use of `from` a use of `to`. Two uses stay: those by ops of this edit that `to` is computed from
   * (so that `x` can be replaced by `f(x)`), and a graph output when `to` cannot take over its name (either is an
   * input, or `to` is another output or a constant that ops read). Returns false when a use stays for the latter
   * reason.
   */
  replaceUses(from: ValueId, to: ValueId): boolean {
    if (from === to) return true;
    const kept = this.#addedAncestors(from, to);
    for (const op of this.usersOf(from)) if (!kept.has(op)) this.#substitute(op, from, to);
    if (!this.#outputs.includes(from)) return true;
    const busyConstant = this.#constants.has(to) && this.usersOf(to).length > 0;
    const fixed = (v: ValueId): boolean => this.#inputs.includes(v) || this.graph.captures.has(v);
    if (fixed(from) || fixed(to) || busyConstant || this.isOutput(to)) return false;
    this.#outputs = this.#outputs.map((o) => (o === from ? to : o));
    [this.#names[from], this.#names[to]] = [this.#names[to], this.#names[from]];
    return true;
  }

  setType(value: ValueId, type: TensorType): void {
    if (!equalTypes(this.#types[value], type)) this.#types[value] = type;
  }
  /** Outputs are known to the host by name: see `rename`. */
  setOutputs(values: readonly ValueId[]): void {
    this.#outputs = values;
  }
  setInputs(values: readonly ValueId[]): void {
    this.#inputs = values;
  }
  rename(value: ValueId, name: string): void {
    this.#names[value] = name;
    this.#byName.set(name, value);
  }

  /** The changed graph in canonical form, or the old graph itself when nothing changed. */
  finish(): Graph {
    const input: CanonicalInput = {
      graph: this.graph,
      types: this.#types,
      names: this.#names,
      constants: this.#constants,
      ops: this.#ops,
      inputs: this.#inputs,
      outputs: this.#outputs,
    };
    return canonicalGraph(input);
  }

  #addValue(type: TensorType, name: string): ValueId {
    const value = id<'value'>(this.#types.length);
    this.#types.push(type);
    this.#names.push(name);
    if (!this.#byName.has(name)) this.#byName.set(name, value);
    return value;
  }

  #captured(op: Pick<Op, 'attrs'>): Map<string, ValueId> {
    const captured = new Map<string, ValueId>();
    for (const name of capturedNames(op)) {
      const value = this.#byName.get(name);
      if (value !== undefined) captured.set(name, value);
    }
    return captured;
  }

  #append(op: DraftOp): void {
    const index = id<'op'>(this.#ops.length);
    this.#ops.push(op);
    for (const value of op.outputs) if (value !== null) this.#producers.set(value, index);
    this.#use(index);
  }

  #use(op: OpId): void {
    for (const value of this.readsOf(op)) {
      const users = this.#users.get(value);
      if (users === undefined) this.#users.set(value, new Set([op]));
      else users.add(op);
    }
  }

  #substitute(op: OpId, from: ValueId, to: ValueId): void {
    const old = this.#ops[op];
    const inputs = old.inputs.map((v) => (v === from ? to : v));
    const captured = new Map([...old.captured].map(([name, v]) => [name, v === from ? to : v]));
    this.#ops[op] = { ...old, inputs, captured };
    this.#users.get(from)?.delete(op);
    this.#use(op);
  }

  /** Ops added by this edit that `to` depends on through ops added by this edit; empty when none reads `from`. */
  #addedAncestors(from: ValueId, to: ValueId): ReadonlySet<OpId> {
    const found = new Set<OpId>();
    const first = this.graph.ops.length;
    if (!this.usersOf(from).some((op) => op >= first)) return found;
    const pending = [to];
    for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
      const op = this.#producers.get(value);
      if (op === undefined || op < first || found.has(op)) continue;
      found.add(op);
      pending.push(...this.readsOf(op));
    }
    return found;
  }
}
