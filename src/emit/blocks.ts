/**
 * Finds what a graph repeats, so that it is written once: runs of ops that are the same but for their operands from outside.
 * Nothing is known of layers or names; a block is cut where the fewest values cross.
 */
import { isConstantAttr, isGraphAttr, type Graph, type Op } from '../ir/graph.ts';
import type { OpId, ValueId } from '../ir/ids.ts';
import { printConstant, printTensorType } from '../ir/print.ts';

/** Ops that are written one after another, or instances of one block: op r of each corresponds to op r of the others. */
export type Part =
  | { readonly kind: 'ops'; readonly ops: readonly OpId[] }
  | { readonly kind: 'block'; readonly instances: readonly (readonly OpId[])[] };

/** A block must save this many lines. */
const LEAST_SAVED = 12;

/** The ops of `order` (topological) as parts, in an order that is topological, too. */
export function findBlocks(graph: Graph, order: readonly OpId[]): Part[] {
  return new Blocks(graph, order).cut(order);
}

/** Ops start .. start + length - 1 of an order, each like the one `period` further. */
interface Stretch {
  readonly start: number;
  readonly period: number;
  readonly length: number;
}

class Blocks {
  private readonly graph: Graph;
  private readonly key: readonly number[];
  /** Where a value is made; values that no op makes are absent. */
  private readonly madeBy = new Map<ValueId, { readonly op: OpId; readonly output: number }>();

  constructor(graph: Graph, order: readonly OpId[]) {
    this.graph = graph;
    const keys = new Map<string, number>();
    const key = new Array<number>(graph.ops.length).fill(-1);
    for (const at of order) {
      const text = keyOf(graph, graph.ops[at], at);
      if (!keys.has(text)) keys.set(text, keys.size);
      key[at] = keys.get(text) ?? -1;
      for (const [output, v] of graph.ops[at].outputs.entries()) if (v !== null) this.madeBy.set(v, { op: at, output });
    }
    this.key = key;
  }

  /** The run that saves most lines is taken first, then what is left on both sides is cut the same way. */
  cut(order: readonly OpId[]): Part[] {
    const run = this.longestRun(order);
    if (run === undefined) return order.length === 0 ? [] : [{ kind: 'ops', ops: order }];
    const found = this.instancesIn(order, run);
    if (found === undefined) return [{ kind: 'ops', ops: order }];
    const taken = new Set(found.instances.flat());
    const before = order.slice(0, found.end).filter((at) => !taken.has(at));
    return [...this.cut(before), { kind: 'block', instances: found.instances }, ...this.cut(order.slice(found.end))];
  }

  private longestRun(order: readonly OpId[]): Stretch | undefined {
    let best: Stretch | undefined;
    let saved = LEAST_SAVED - 1;
    for (let period = 1; 2 * period <= order.length; period++) {
      let equal = 0;
      for (let i = order.length - 1 - period; i >= -1; i--) {
        if (i >= 0 && this.key[order[i]] === this.key[order[i + period]]) {
          equal++;
          continue;
        }
        const length = equal + period;
        const saves = (Math.floor(length / period) - 1) * period;
        if (equal >= period && saves > saved) {
          saved = saves;
          best = { start: i + 1, period, length };
        }
        equal = 0;
      }
    }
    return best;
  }

  /**
   * The cut of a run into instances of the same inner structure at which fewest values cross, of equally good ones that with most
   * instances. Ops from `end` on come after them.
   */
  private instancesIn(
    order: readonly OpId[],
    { start, period, length }: Stretch,
  ): { end: number; instances: OpId[][] } | undefined {
    let best: { end: number; instances: OpId[][] } | undefined;
    let fewest = Number.POSITIVE_INFINITY;
    const most = Math.floor(length / period);
    for (let shift = 0; shift < period; shift++) {
      const count = Math.floor((length - shift) / period);
      if (count < 2 || count < most - 1) break;
      const all = Array.from({ length: count }, (_, k) =>
        order.slice(start + shift + k * period, start + shift + (k + 1) * period),
      );
      const crossing = this.argumentsOf(all[1]).size;
      if (crossing > fewest) continue;
      const other = all.findIndex((ops, k) => k > 1 && !this.alike(all[1], ops));
      const to = other < 0 ? count : other;
      const from = this.alike(all[1], all[0]) ? 0 : 1;
      if ((to - from - 1) * period < LEAST_SAVED) continue;
      const instances = all.slice(from, to);
      const first = this.instanceBefore(instances, order.slice(0, start + shift + from * period));
      if (first !== undefined) instances.unshift(first);
      if (crossing === fewest && best !== undefined && instances.length <= best.instances.length) continue;
      fewest = crossing;
      best = { end: start + shift + to * period, instances };
    }
    return best;
  }

  /** Values that ops read and do not make, constants left out. */
  private argumentsOf(ops: readonly OpId[]): Set<ValueId> {
    const own = new Set(ops);
    const out = new Set<ValueId>();
    for (const at of ops)
      for (const v of this.graph.ops[at].inputs) {
        const made = v === null ? undefined : this.madeBy.get(v);
        if (v !== null && made !== undefined && !own.has(made.op)) out.add(v);
      }
    return out;
  }

  /** Where operand `v` is made inside the block: position and output. */
  private inner(v: ValueId | null, position: ReadonlyMap<OpId, number>): string {
    if (v === null) return 'none';
    const made = this.madeBy.get(v);
    const at = made === undefined ? undefined : position.get(made.op);
    return at === undefined || made === undefined ? 'outside' : `${at}.${made.output}`;
  }

  /** Whether two lists of ops are one block: same ops, same operands inside, and outside where the other is. */
  private alike(a: readonly OpId[], b: readonly OpId[]): boolean {
    const [inA, inB] = [a, b].map((ops) => new Map(ops.map((at, r) => [at, r])));
    return a.every((at, r) => {
      if (this.key[at] !== this.key[b[r]]) return false;
      const other = this.graph.ops[b[r]].inputs;
      return this.graph.ops[at].inputs.every((v, j) => this.inner(v, inA) === this.inner(other[j], inB));
    });
  }

  /**
   * The instance before the first, whose ops lie among others that several instances share (masks, angles): found from what it
   * hands on, backwards along the operands. The others must not need it, for they are written before it.
   */
  private instanceBefore(instances: readonly (readonly OpId[])[], before: readonly OpId[]): OpId[] | undefined {
    const [first, second] = instances;
    const position = new Map(first.map((at, r) => [at, r]));
    const matched = new Array<OpId | undefined>(first.length).fill(undefined);
    const queue: number[] = [];
    const allowed = new Set(before);
    const match = (r: number, v: ValueId | null, output: number): boolean => {
      const made = v === null ? undefined : this.madeBy.get(v);
      if (made === undefined || made.output !== output || !allowed.has(made.op)) return false;
      if (matched[r] !== undefined) return matched[r] === made.op;
      if (this.key[made.op] !== this.key[first[r]]) return false;
      matched[r] = made.op;
      queue.push(r);
      return true;
    };
    // What the second instance takes of the first, the first takes of the one before.
    for (const [r, at] of second.entries()) {
      for (const [j, v] of this.graph.ops[at].inputs.entries()) {
        const made = v === null ? undefined : this.madeBy.get(v);
        const from = made === undefined ? undefined : position.get(made.op);
        if (made === undefined || from === undefined) continue;
        if (!match(from, this.graph.ops[first[r]].inputs[j], made.output)) return undefined;
      }
    }
    for (let r = queue.pop(); r !== undefined; r = queue.pop()) {
      const mine = this.graph.ops[matched[r] as OpId].inputs;
      for (const [j, v] of this.graph.ops[first[r]].inputs.entries()) {
        const made = v === null ? undefined : this.madeBy.get(v);
        const from = made === undefined ? undefined : position.get(made.op);
        if (made !== undefined && from !== undefined && !match(from, mine[j], made.output)) return undefined;
      }
    }
    const found = matched.filter((at) => at !== undefined);
    if (new Set(found).size !== first.length || !this.alike(first, found)) return undefined;
    const own = new Set(found);
    return before.some((at) => !own.has(at) && this.needs(at, own)) ? undefined : found;
  }

  private needs(at: OpId, ops: ReadonlySet<OpId>): boolean {
    const { inputs, attrs } = this.graph.ops[at];
    // What a body reads is not looked into: it may be anything.
    if (Object.values(attrs).some(isGraphAttr)) return true;
    return inputs.some((v) => {
      const made = v === null ? undefined : this.madeBy.get(v);
      return made !== undefined && ops.has(made.op);
    });
  }
}

/** Equal for ops that one line of a block can stand for. An op with a body is like no other. */
function keyOf(graph: Graph, { kind, version, attrs, inputs, outputs }: Op, at: OpId): string {
  const values = Object.keys(attrs)
    .sort()
    .map((name) => {
      const value = attrs[name];
      if (isGraphAttr(value)) return at;
      return `${name}=${isConstantAttr(value) ? printConstant(value) : JSON.stringify(value)}`;
    });
  const types = outputs.map((v) => (v === null ? '' : printTensorType(graph.types[v])));
  return [kind, version, ...values, inputs.map((v) => (v === null ? 0 : 1)).join(''), ...types].join('\n');
}
