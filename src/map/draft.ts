/**
 * A region program as far as it is made: one state of the layout search. Values are bound to tensors as they lie; what a
 * product owes stays owed until a reader wants it, so that what is owed over the same axes can travel together.
 */
import { OVERHEAD_SPLITS } from '../cost/constants.ts';
import type { Op } from '../ir/graph.ts';
import type { ValueId } from '../ir/ids.ts';
import type { Cache, CollectiveOp, Layout, MeshAxis, ProgramOp, T } from '../ir/program.ts';
import type { DType } from '../ir/types.ts';
import { type Cut, cutOf, layoutOf } from './cut.ts';
import { allows } from './rewrites.ts';
import type { StageContext } from './stage-context.ts';

/** What becomes of a sum once it is paid, in this order. */
export type Finish =
  /** Scaled by a deferred norm. */
  | { readonly kind: 'norm'; readonly norm: ValueId }
  /** A vector of the model is added. */
  | { readonly kind: 'bias'; readonly op: Op; readonly weight: ValueId };

/** A value: owed and unfinished as `base`, or there, in one form for each cut somebody wanted. */
export interface Bound {
  readonly base: T;
  readonly finish: readonly Finish[];
  readonly forms: readonly T[];
}

/** A norm that is not there yet: what products may read instead, and the statistics, owed until a product is paid. */
export interface DeferredNorm {
  readonly op: Op;
  readonly x: T;
  readonly scaled: T;
  readonly stats: T;
  readonly epsilon: number;
  readonly paid: T | null;
}

interface Link<V> {
  readonly value: V;
  readonly before: Link<V> | null;
}

const listOf = <V>(link: Link<V> | null): V[] => {
  const out: V[] = [];
  for (let at = link; at !== null; at = at.before) out.push(at.value);
  return out.reverse();
};

/** What a run of vector operations costs beyond its own work; nothing before the first of them. */
const overheadLeft = (worked: number): number =>
  worked > 0 ? Math.max(0, Math.ceil(OVERHEAD_SPLITS.even.compute - worked)) : 0;

type WithoutNode<O> = O extends { readonly node: string } ? Omit<O, 'node'> : never;

export class Draft {
  readonly context: StageContext;
  cycles = 0;
  /** Of weights and state, on the fullest core. */
  residentBytes = 0;
  private node = '';
  /** Work of the vector operations since the last product or collective: they share one overhead. */
  private run = 0;
  private bound: Map<ValueId, Bound>;
  private norms: Map<ValueId, DeferredNorm>;
  private held: Set<T>;
  private grids: Map<ValueId, string>;
  private caches: readonly Cache[] = [];
  private ops: Link<ProgramOp> | null = null;
  private results: Link<readonly [ValueId, T]> | null = null;
  private ways: Link<string> | null = null;
  private left: Link<readonly [ValueId, T]> | null = null;

  constructor(context: StageContext, from?: Draft) {
    this.context = context;
    this.bound = new Map(from?.bound);
    this.norms = new Map(from?.norms);
    this.held = new Set(from?.held);
    this.grids = new Map(from?.grids);
    if (from === undefined) return;
    this.cycles = from.cycles;
    this.residentBytes = from.residentBytes;
    this.run = from.run;
    this.caches = from.caches;
    this.ops = from.ops;
    this.results = from.results;
    this.ways = from.ways;
    this.left = from.left;
  }

  /** A copy that goes its own way. */
  fork(op: Op, way: string): Draft {
    const copy = new Draft(this.context, this);
    copy.node = op.origin.node;
    copy.ways = { value: way, before: this.ways };
    return copy;
  }

  /** A new tensor like `like`. */
  temp(like: T, shape: readonly number[], layout: Layout, suffix = '', dtype?: DType): T {
    const { tensors } = this.context;
    return this.add(`${this.node}${suffix}`, dtype ?? tensors[like].dtype, shape, layout);
  }
  add(name: string, dtype: DType, shape: readonly number[], layout: Layout): T {
    return this.context.add({ name, role: 'temp', dtype, shape, layout });
  }
  /** Like `t`, cut another way. */
  recut(t: T, cut: Cut, suffix: string): T {
    const { name, dtype, shape, layout } = this.context.tensors[t];
    const base = name.replace(/\/(partial|gathered|part|reduced|scattered)$/, '');
    const rest = layout.dims.slice(2);
    const { dims, ...order } = layoutOf(cut);
    return this.add(`${base}${suffix}`, dtype, shape, { ...order, dims: [...dims, ...rest] });
  }

  emit(op: WithoutNode<ProgramOp>): void {
    const made = { ...op, node: this.node } as ProgramOp;
    this.ops = { value: made, before: this.ops };
    const { cycles, worked, apart } = this.context.price(made);
    const before = overheadLeft(this.run);
    if (apart) this.run = 0;
    this.run += worked;
    this.cycles += cycles + (worked > 0 ? overheadLeft(this.run) - before : 0);
  }
  /**
   * x . weight. Products of one activation with the same cut of K that follow each other are one product of their weights
   * side by side: [W1 W2] has the columns of both, and no column sees another. (Numerics: exact.)
   */
  product(x: T, weight: T, out: T): void {
    const last = this.ops?.value;
    if (last?.op !== 'gemv' || last.x !== x || !allows(this.context.options, 'fuse-products')) {
      this.emit({ op: 'gemv', x, weights: [weight], outputs: [out] });
      return;
    }
    const fused = { ...last, weights: [...last.weights, weight], outputs: [...last.outputs, out] };
    this.ops = { value: fused, before: this.ops?.before ?? null };
    this.cycles += this.context.price(fused).cycles - this.context.price(last).cycles;
  }
  collective(
    op: CollectiveOp['op'],
    axes: readonly MeshAxis[],
    how: Pick<CollectiveOp, 'combine' | 'dim' | 'inputs' | 'outputs'>,
  ): void {
    this.emit({ op, axes, ...how });
  }

  /** Counts a weight or state as held. */
  hold(t: T): T {
    if (!this.held.has(t)) {
      this.held.add(t);
      this.residentBytes += this.context.bytes(t);
    }
    return t;
  }
  weight(op: Op, v: ValueId, shape: readonly number[], layout: Layout): T {
    return this.hold(this.context.weight(op, v, shape, layout));
  }
  addCache(cache: Cache): void {
    this.caches = [...this.caches, cache];
  }

  /** Binds a value to a tensor that is there. */
  bind(v: ValueId, t: T): void {
    this.bindForm(v, { base: t, finish: [], forms: [] }, t);
  }
  /** Binds a value that is owed, or to be finished. */
  owe(v: ValueId, base: T, finish: readonly Finish[]): void {
    this.bound.set(v, { base, finish, forms: [] });
  }
  defer(v: ValueId, norm: DeferredNorm): void {
    this.norms.set(v, norm);
  }
  /** One more cut in which a value is there; the first is the result that verify compares. */
  bindForm(v: ValueId, bound: Bound, t: T): void {
    if (bound.forms.length === 0) this.results = { value: [v, t], before: this.results };
    this.bound.set(v, { ...bound, forms: [...bound.forms, t] });
  }

  deferred(v: ValueId): DeferredNorm | undefined {
    return this.norms.get(v);
  }
  /** How an activation is bound; an input of the stage is there from the start. */
  boundOf(op: Op, v: ValueId): Bound {
    const known = this.bound.get(v);
    if (known !== undefined) return known;
    const t = this.context.input(op, v);
    const bound = { base: t, finish: [], forms: [t] };
    this.bound.set(v, bound);
    return bound;
  }
  known(v: ValueId): Bound | undefined {
    return this.bound.get(v);
  }
  /** Values that still owe over the same axes (none: that are only to be finished), in the order they were made. */
  owing(axes: readonly MeshAxis[]): ValueId[] {
    const { tensors } = this.context;
    return [...this.bound].flatMap(([v, { base, forms }]) => {
      const { partial } = tensors[base].layout;
      return forms.length === 0 && (partial?.axes ?? []).join() === axes.join() ? [v] : [];
    });
  }

  cut(t: T): Cut {
    return cutOf(this.context.tensors[t].layout);
  }
  layout(cut: Cut, partial: Layout['partial'] = null): Layout {
    return layoutOf(cut, partial);
  }

  /** How the first product that reads `x` cuts its weight: the others cut theirs alike, as if all were one matrix. */
  gridOf(x: ValueId): string | undefined {
    return this.grids.get(x);
  }
  useGrid(x: ValueId, name: string): void {
    this.grids.set(x, name);
  }

  /** `v` leaves the stage as `t`. */
  leaveAs(v: ValueId, t: T): void {
    this.left = { value: [v, t], before: this.left };
  }

  /** Forgets what nobody reads after position `at` of the order. */
  forget(at: number): void {
    const { lastUse } = this.context;
    for (const v of this.bound.keys()) if ((lastUse.get(v) ?? -1) <= at) this.bound.delete(v);
    for (const v of this.grids.keys()) if ((lastUse.get(v) ?? -1) <= at) this.grids.delete(v);
    for (const v of this.norms.keys()) {
      const used = [...this.bound.values()].some((b) => b.finish.some((f) => f.kind === 'norm' && f.norm === v));
      if ((lastUse.get(v) ?? -1) <= at && !used) this.norms.delete(v);
    }
  }

  /** Equal for drafts that differ in nothing that what comes can see. */
  key(): string {
    const { context } = this;
    const of = (t: T | null): string => (t === null ? '-' : String(context.signature(t)));
    const values = [...this.bound].map(([v, { base, finish, forms }]) => {
      const steps = finish.map((f) => (f.kind === 'norm' ? `n${f.norm}` : `b${f.weight}`));
      return `${v}:${forms.length === 0 ? `${of(base)}!${steps}` : forms.map(of).sort().join('/')}`;
    });
    const norms = [...this.norms].map(
      ([v, { x, scaled, stats, paid }]) => `${v}=${of(x)},${of(scaled)},${of(stats)},${of(paid)}`,
    );
    const grids = [...this.grids].map(([v, name]) => `${v}:${name}`);
    const last = this.ops?.value;
    const joinable = last?.op === 'gemv' ? context.signature(last.x) : '-';
    return [values.sort(), norms.sort(), grids.sort(), [this.heldAgain(), this.run, joinable]]
      .map((part) => part.join(' '))
      .join(' | ');
  }

  /** Weights that a later op reads too: holding them in the same layout costs nothing more. */
  private heldAgain(): string {
    const { context } = this;
    return [...this.held]
      .filter((t) => context.isSharedWeight(t))
      .sort((a, b) => a - b)
      .join();
  }

  /** All that was made, for the program. */
  made(): {
    ops: ProgramOp[];
    results: ReadonlyMap<ValueId, T>;
    outputs: ReadonlyMap<ValueId, T>;
    caches: readonly Cache[];
    ways: string[];
  } {
    const results = new Map<ValueId, T>();
    for (const [v, t] of listOf(this.results)) if (!results.has(v)) results.set(v, t);
    return {
      ops: listOf(this.ops),
      results,
      outputs: new Map(listOf(this.left)),
      caches: this.caches,
      ways: listOf(this.ways),
    };
  }
}
