/**
 * The canonical form of a graph: ops in the order of order.ts, values numbered inputs, captures, constants at
 * first use, op outputs; nothing unused but inputs; unique names. Two graphs that mean the same by the same ops
 * get the same ids, whatever their history.
 */
import type { Constant } from './constant.ts';
import { type AttrValue, type Attrs, type Graph, isGraphAttr, type Op } from './graph.ts';
import { id, type ValueId } from './ids.ts';
import { canonicalOrder } from './order.ts';
import type { TensorType } from './types.ts';

/** An op in the course of an edit. */
export interface DraftOp extends Op {
  /** The op of the old graph, unless it was rewritten. */
  readonly original?: Op;
  readonly removed: boolean;
  /** Outer names that its bodies mention -> the values meant. */
  readonly captured: ReadonlyMap<string, ValueId>;
}

export interface CanonicalInput {
  /** Where the name and the captures come from; returned itself when the result would be equal. */
  readonly graph: Graph;
  readonly types: readonly TensorType[];
  readonly names: readonly string[];
  readonly constants: ReadonlyMap<ValueId, Constant>;
  readonly ops: readonly DraftOp[];
  readonly inputs: readonly ValueId[];
  readonly outputs: readonly ValueId[];
}

/** Throws Error (a broken edit is our fault) on a cycle, or on a use of a value that nothing defines. */
export function canonicalGraph(draft: CanonicalInput): Graph {
  const order = liveOps(draft);
  const values = numberValues(draft, order);
  const names = nameValues(draft, values);
  const renumber = new Map(values.map((old, index) => [old, id<'value'>(index)]));
  const at = (old: ValueId): ValueId => renumber.get(old) as ValueId;
  const nameOf = (old: ValueId): string => names[at(old)];

  const constants = new Map<ValueId, Constant>();
  const captures = new Map<ValueId, string>();
  for (const [index, old] of values.entries()) {
    const constant = draft.constants.get(old);
    if (constant !== undefined) constants.set(id<'value'>(index), constant);
    const outer = draft.graph.captures.get(old);
    if (outer !== undefined) captures.set(id<'value'>(index), outer);
  }
  const graph: Graph = {
    name: draft.graph.name,
    ops: order.map((op) => finishOp(draft.ops[op], at, nameOf)),
    types: values.map((old) => draft.types[old]),
    names,
    constants,
    inputs: draft.inputs.map(at),
    outputs: draft.outputs.map(at),
    captures,
  };
  return sameGraph(graph, draft.graph) ? draft.graph : graph;
}

function liveOps({ ops, names, inputs, outputs, constants, graph }: CanonicalInput): readonly number[] {
  const producers = new Map<ValueId, number>();
  for (const [index, op] of ops.entries()) {
    if (!op.removed) for (const value of op.outputs) if (value !== null) producers.set(value, index);
  }
  const free = new Set<ValueId>([...inputs, ...constants.keys(), ...graph.captures.keys()]);
  const producerOf = (value: ValueId, user: string): number[] => {
    const op = producers.get(value);
    if (op !== undefined) return [op];
    if (free.has(value)) return [];
    throw new Error(`edit: ${user} uses %${names[value]}, which nothing defines any more`);
  };
  const { order, cycle } = canonicalOrder(
    ops.length,
    outputs.flatMap((value) => producerOf(value, 'the graph')),
    (op) => readsOf(ops[op]).flatMap((value) => producerOf(value, ops[op].kind)),
  );
  if (cycle !== null) {
    const shown = cycle.map((op) => `${ops[op].kind} (${ops[op].origin.node})`);
    throw new Error(`edit: ops depend on themselves: ${[...shown, shown[0]].join(' <- ')}`);
  }
  return order;
}

const readsOf = ({ inputs, captured }: DraftOp): ValueId[] => [
  ...inputs.filter((v) => v !== null),
  ...captured.values(),
];

/** Old ids in their new order. */
function numberValues(draft: CanonicalInput, order: readonly number[]): readonly ValueId[] {
  const reads = [...order.flatMap((op) => readsOf(draft.ops[op])), ...draft.outputs];
  const writes = order.flatMap((op) => draft.ops[op].outputs.filter((v) => v !== null));
  const used = new Set(reads);
  const values = new Set<ValueId>(draft.inputs);
  for (const value of draft.graph.captures.keys()) if (used.has(value)) values.add(value);
  for (const value of used) if (draft.constants.has(value)) values.add(value);
  for (const value of writes) values.add(value);
  return [...values];
}

/**
 * Inputs and outputs are what the host knows the graph by: they keep their names. Then values of the old graph
 * keep theirs, and new ones that collide get the next free number.
 */
function nameValues({ graph, names, inputs, outputs, ops }: CanonicalInput, values: readonly ValueId[]): string[] {
  const host = new Set<ValueId>([...inputs, ...outputs]);
  const old = graph.names.length;
  const taken = new Set<string>();
  const chosen = new Map<ValueId, string>();
  const reserved = new Set<string>();
  for (const op of ops) for (const name of bodyNames(op.attrs)) reserved.add(name);
  const nextSuffix = new Map<string, number>();
  const choose = (value: ValueId, fresh: boolean): void => {
    let name = names[value];
    if (taken.has(name) || (fresh && reserved.has(name))) {
      const stem = name.replace(/_\d+$/, '');
      let suffix = nextSuffix.get(stem) ?? 1;
      do name = `${stem}_${suffix++}`;
      while (taken.has(name) || reserved.has(name));
      nextSuffix.set(stem, suffix);
    }
    taken.add(name);
    chosen.set(value, name);
  };
  for (const value of values) if (host.has(value)) choose(value, false);
  for (const value of values) if (!host.has(value) && value < old) choose(value, false);
  for (const value of values) if (!host.has(value) && value >= old) choose(value, true);
  return values.map((value) => chosen.get(value) as string);
}

function* bodyNames(attrs: Attrs): Generator<string> {
  for (const attr of Object.values(attrs)) {
    if (!isGraphAttr(attr)) continue;
    yield* attr.graph.names;
    yield* attr.graph.captures.values();
    for (const op of attr.graph.ops) yield* bodyNames(op.attrs);
  }
}

function finishOp(op: DraftOp, at: (v: ValueId) => ValueId, nameOf: (v: ValueId) => string): Op {
  const inputs = op.inputs.map((v) => (v === null ? null : at(v)));
  const outputs = op.outputs.map((v) => (v === null ? null : at(v)));
  const renamed = new Map(
    [...op.captured].map(([name, v]): [string, string] => [name, nameOf(v)]).filter(([from, to]) => from !== to),
  );
  const { kind, version, origin, original } = op;
  if (original !== undefined && renamed.size === 0) {
    const same = sameList(inputs, original.inputs) && sameList(outputs, original.outputs);
    if (same) return original;
  }
  const attrs = renamed.size === 0 ? op.attrs : renameAttrs(op.attrs, renamed);
  return { kind, version, inputs, outputs, attrs, origin };
}

function renameAttrs(attrs: Attrs, renamed: ReadonlyMap<string, string>): Attrs {
  const rename = (attr: AttrValue): AttrValue =>
    isGraphAttr(attr) ? { graph: renameCaptures(attr.graph, renamed) } : attr;
  return Object.fromEntries(Object.entries(attrs).map(([key, attr]) => [key, rename(attr)]));
}

/** The body with other names for the outer values it reads. */
function renameCaptures(body: Graph, renamed: ReadonlyMap<string, string>): Graph {
  const own = new Set(body.names);
  const deeper = new Map([...renamed].filter(([name]) => !own.has(name)));
  const captures = new Map([...body.captures].map(([v, name]) => [v, renamed.get(name) ?? name]));
  const ops = body.ops.map((op) => ({ ...op, attrs: renameAttrs(op.attrs, deeper) }));
  return { ...body, captures, ops };
}

const sameList = <T>(a: readonly T[], b: readonly T[]): boolean =>
  a.length === b.length && a.every((x, i) => x === b[i]);

const sameMap = <V>(a: ReadonlyMap<ValueId, V>, b: ReadonlyMap<ValueId, V>): boolean =>
  a.size === b.size && [...a].every(([key, value]) => b.get(key) === value);

const sameGraph = (a: Graph, b: Graph): boolean =>
  sameList(a.ops, b.ops) &&
  sameList(a.types, b.types) &&
  sameList(a.names, b.names) &&
  sameList(a.inputs, b.inputs) &&
  sameList(a.outputs, b.outputs) &&
  sameMap(a.constants, b.constants) &&
  sameMap(a.captures, b.captures);
