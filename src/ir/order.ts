/**
 * The canonical order of ops: depth-first post-order from the graph outputs in their declared order, operands
 * in order. It depends on the meaning of the graph only, never on how its nodes were listed, so equal models
 * compile to equal bytes. Iterative: exported models are deeper than the JavaScript stack.
 */
import type { Graph, Op } from './graph.ts';
import { isGraphAttr } from './graph.ts';
import type { OpId, ValueId } from './ids.ts';
import { id } from './ids.ts';

export interface Order {
  /** Reached nodes, operands before users. Incomplete when there is a cycle. */
  readonly order: readonly number[];
  /** Nodes of the first cycle met, each an operand of the one before it, or null. */
  readonly cycle: readonly number[] | null;
}

/**
 * Post-order over nodes 0..count-1 from `roots`. `before` lists the nodes that must come first, in order
 * and possibly with repetitions; it is asked once per node.
 */
export function canonicalOrder(
  count: number,
  roots: Iterable<number>,
  before: (node: number) => readonly number[],
): Order {
  const unseen = 0;
  const open = 1;
  const done = 2;
  const state = new Uint8Array(count);
  const order: number[] = [];
  const path: { node: number; operands: readonly number[]; next: number }[] = [];
  for (const root of roots) {
    if (state[root] !== unseen) continue;
    state[root] = open;
    path.push({ node: root, operands: before(root), next: 0 });
    while (path.length > 0) {
      const top = path[path.length - 1];
      if (top.next === top.operands.length) {
        state[top.node] = done;
        order.push(top.node);
        path.pop();
        continue;
      }
      const operand = top.operands[top.next++];
      if (state[operand] === open) {
        const nodes = path.map((p) => p.node);
        return { order, cycle: nodes.slice(nodes.indexOf(operand)) };
      }
      if (state[operand] === unseen) {
        state[operand] = open;
        path.push({ node: operand, operands: before(operand), next: 0 });
      }
    }
  }
  return { order, cycle: null };
}

/**
 * Names of outer values that the bodies of `op` (If, Loop, Scan) read, in order of first mention. A body nested
 * in a body may name a value of any enclosing graph; names that a body defines itself are not outer ones.
 */
export function capturedNames(op: Pick<Op, 'attrs'>): readonly string[] {
  const found = new Set<string>();
  for (const key of Object.keys(op.attrs).sort()) {
    const attr = op.attrs[key];
    if (!isGraphAttr(attr)) continue;
    const body = attr.graph;
    for (const name of body.captures.values()) found.add(name);
    const own = new Set(body.names);
    for (const inner of body.ops) for (const name of capturedNames(inner)) if (!own.has(name)) found.add(name);
  }
  return [...found];
}

/** The op that defines each value, or -1 for inputs, constants and captures. */
export function producersOf(graph: Graph): Int32Array {
  const producers = new Int32Array(graph.types.length).fill(-1);
  for (const [index, op] of graph.ops.entries()) {
    for (const value of op.outputs) if (value !== null) producers[value] = index;
  }
  return producers;
}

/**
 * The ops that read each value, in op order and once per op, bodies included. Graph outputs are not ops: ask
 * `graph.outputs` for those.
 */
export function usersOf(graph: Graph): readonly (readonly OpId[])[] {
  const byName = new Map(graph.names.map((name, v) => [name, v]));
  const users: OpId[][] = graph.types.map(() => []);
  for (const [index, op] of graph.ops.entries()) {
    for (const value of operandsOf(op, (name) => byName.get(name) as ValueId | undefined)) {
      users[value].push(id<'op'>(index));
    }
  }
  return users;
}

/** Distinct values that `op` reads, in order: its inputs, then what its bodies capture. */
export function operandsOf(op: Op, valueNamed: (name: string) => ValueId | undefined): readonly ValueId[] {
  const values = new Set<ValueId>();
  for (const value of op.inputs) if (value !== null) values.add(value);
  for (const name of capturedNames(op)) {
    const value = valueNamed(name);
    if (value !== undefined) values.add(value);
  }
  return [...values];
}
