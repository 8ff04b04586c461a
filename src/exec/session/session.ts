/**
 * A session: a graph prepared once and run many times. Its meaning is that of the reference executor (reference.ts) on the
 * kernels of src/ops; what is added is memory. A step is planned when shapes or known values that it reads have changed, and
 * only then: views are resolved, loops laid out, weights packed, buffers given. A call with the shapes of the one before
 * only computes. Ops without a planner run on their own kernel.
 */
import { type Graph, isGraphAttr, type Op } from '../../ir/graph.ts';
import type { ValueId } from '../../ir/ids.ts';
import { type Block, KernelMemory } from '../../kernels/memory.ts';
import { attrReader } from '../../ops/attrs.ts';
import type { RunContext } from '../../ops/op.ts';
import { readConstant } from '../../tensor/read.ts';
import { allocate, sizeOf, type Tensor, type TensorData } from '../../tensor/tensor.ts';
import { checkFeeds } from '../feeds.ts';
import { capturesOf, constantCache, runOpAmid } from '../reference.ts';
import { planIf } from './branches.ts';
import { CacheStore, type CachePair } from './caches.ts';
import { assignStorage } from './lifetimes.ts';
import { defOf, located, neededOps } from './needed.ts';
import { products } from './parallel.ts';
import { PLANNERS } from './planners.ts';
import { planFused } from './products.ts';
import { Merger } from './merge.ts';
import { denseAt, emptySlot, place, type Slot, tensorOf, TwinFault } from './slot.ts';
import type { Scratch, Step, Workshop } from './step.ts';
import { reserve } from './storage.ts';
import { planView } from './views.ts';
import { Weights } from './weights.ts';

export interface SessionOptions {
  /** Past inputs and the present outputs that continue them: kept in the session from call to call, and not fed. */
  readonly caches?: readonly CachePair[];
  /** Most bytes of kernel memory; 0 for the plain kernels of src/ops alone. Default: 4 GiB. */
  readonly memoryBytes?: number;
  /** Threads for large products, the caller's included. Results do not depend on it. Default: 1. */
  readonly threads?: number;
}

/** Gives other elements in every call, whatever it reads. */
const RANDOM = /^(Random|Multinomial|Bernoulli)/;

export class Session {
  readonly graph: Graph;
  private slots: Slot[] = [];
  private steps: readonly Step[] = [];
  /** Constants, and what is made of constants alone. */
  private fixed = new Set<Slot>();
  /** What is read when all steps are done. */
  private seen: ReadonlySet<Slot> = new Set();
  private fused = new Map<Step, Step>();
  private scratches = new Map<Step, Map<string, Scratch & { readonly block: Block }>>();
  private readonly caches: CacheStore;
  private readonly shop: Workshop;
  private readonly weights: Weights | undefined;
  private readonly options: SessionOptions;
  private branches = new Map<Op, () => void>();
  private readonly constants = constantCache();

  constructor(graph: Graph, options: SessionOptions = {}) {
    this.graph = graph;
    const { caches: _, ...shared } = options;
    this.options = shared;
    const memory = options.memoryBytes === 0 ? undefined : KernelMemory.open(options.memoryBytes);
    this.weights = memory && new Weights(memory);
    this.shop = this.workshop(memory, options.threads ?? 1);
    this.caches = new CacheStore(graph, options.caches ?? [], memory);
    this.prepare(true);
  }

  /** What did not go the fast way, in words. */
  get remarks(): readonly string[] {
    return [...(this.weights?.remarks ?? [])];
  }

  /** Positions that the caches hold. */
  get length(): number {
    return this.caches.length;
  }

  /** Forgets all cached positions but the first `length`. */
  truncate(length: number): void {
    this.caches.truncate(length);
  }

  /**
   * Runs the graph on `feeds` (by input name; cached pasts are not fed) and returns its outputs by name (all of them, or those
   * of `wanted`; cached presents only where they are named).
   * @throws Diagnosed when feeds and graph inputs disagree, or when an op meets a value that it does not allow.
   */
  run(feeds: ReadonlyMap<string, Tensor>, wanted?: readonly string[]): Map<string, Tensor> {
    this.feed(feeds);
    let at = 0;
    try {
      for (; at < this.steps.length; at++) {
        const step = this.steps[at];
        if (step.dirty) this.planAnew(step);
        if (step.run !== null) step.run();
      }
    } catch (error) {
      if (!(error instanceof TwinFault)) throw located(error, this.steps[at]);
      this.prepare(false);
      return this.run(feeds, wanted);
    }
    this.caches.advance();
    const results = new Map<string, Tensor>();
    for (const value of this.graph.outputs) {
      const name = this.graph.names[value];
      if (wanted === undefined ? !this.caches.presents.includes(value) : wanted.includes(name))
        results.set(name, this.taken(this.slots[value]));
    }
    return results;
  }

  /** Results are the caller's to keep: nothing of them lies in the session. */
  private taken(slot: Slot): Tensor {
    this.shop.load(slot);
    const { data, ...rest } = tensorOf(slot);
    return { ...rest, data: copyOf(data) };
  }

  private feed(feeds: ReadonlyMap<string, Tensor>): void {
    checkFeeds(this.graph, this.caches.withPasts(feeds));
    for (const value of this.graph.inputs) {
      const slot = this.slots[value];
      const fed = feeds.get(slot.name);
      if (fed !== undefined) this.fill(slot, fed);
    }
  }

  /** Copies a tensor into the slot's own place. */
  private fill(slot: Slot, { dtype, shape, data, strings }: Tensor): void {
    slot.strings = strings ?? null;
    if (strings !== undefined) place(slot, { dtype, view: denseAt(shape), data, base: -1, known: false });
    else this.shop.output(slot, shape).set(data);
  }

  /** Slots, steps and storage; `merge`: steps that should compute the same are one. */
  private prepare(merge: boolean): void {
    const { graph } = this;
    this.slots = graph.types.map(({ dtype }, v) => emptySlot(graph.names[v], dtype));
    this.fixed = new Set();
    this.fused = new Map();
    this.scratches = new Map();
    this.branches = new Map();
    for (const [value, constant] of graph.constants) {
      const slot = this.slots[value];
      Object.assign(slot, { view: denseAt(constant.shape), known: true, constant });
      this.fixed.add(slot);
    }
    this.caches.rebind(this.slots);
    this.seen = new Set(graph.outputs.map((v) => this.slots[v]));
    const types = new Map(this.slots.map((slot, v) => [slot, graph.types[v]]));
    this.steps = this.stepsOf(merge ? new Merger(types, this.shop.load) : undefined);
    assignStorage(graph, this.slots, this.steps, this.seen, types);
  }

  /** The steps of all ops that outputs need. What depends on constants alone is computed now, and leaves no step. */
  private stepsOf(merger: Merger | undefined): Step[] {
    const ids = new Map(this.graph.names.map((name, v) => [name, v]));
    const steps: Step[] = [];
    for (const op of neededOps(this.graph)) {
      const captured = new Map<string, Slot>();
      for (const name of capturesOf(op)) {
        const v = ids.get(name);
        if (v !== undefined) captured.set(name, this.slots[v]);
      }
      const step = this.stepOf(op, captured);
      const { inputs, outputs, reads } = step;
      const isPure = !RANDOM.test(op.kind);
      const own = outputs.some((slot) => slot !== null && this.seen.has(slot));
      const earlier = isPure && !own ? merger?.earlier(op, inputs, outputs) : undefined;
      if (earlier !== undefined) {
        for (const [i, v] of op.outputs.entries()) if (v !== null) this.slots[v] = earlier[i] ?? this.slots[v];
        continue;
      }
      merger?.computed(outputs);
      if (isPure && reads.every((slot) => this.fixed.has(slot))) {
        try {
          this.planAnew(step);
        } catch (error) {
          throw located(error, step);
        }
        for (const out of outputs) if (out !== null) this.fixed.add(out);
      } else {
        for (const slot of new Set(reads)) slot.consumers.push(step);
        steps.push(step);
      }
    }
    return steps;
  }

  private stepOf(op: Op, captured: ReadonlyMap<string, Slot>): Step {
    const slotOf = (v: ValueId | null): Slot | null => (v === null ? null : this.slots[v]);
    const inputs = op.inputs.map(slotOf);
    return {
      op,
      inputs,
      outputs: op.outputs.map(slotOf),
      captured,
      reads: [...inputs.filter((slot) => slot !== null), ...captured.values()],
      attrs: attrReader(op),
      def: defOf(op),
      planner: PLANNERS.get(op.kind),
      dirty: true,
      run: null,
    };
  }

  private planAnew(step: Step): void {
    step.dirty = false;
    step.run = this.plan(step);
  }

  private plan(step: Step): (() => void) | null {
    const { op } = step;
    const product = this.fused.get(step);
    if (product !== undefined) return planFused(step, product);
    const { planner } = step;
    const known =
      op.kind === 'Shape' || op.kind === 'Size' || (step.reads.every((s) => s.known) && !RANDOM.test(op.kind));
    if (known) return planner === planView ? (planView(step, this.shop) ?? this.compute(step)) : this.compute(step);
    if (op.kind === 'If') return this.planBranches(step);
    const run = this.caches.planAppend(step) ?? planner?.(step, this.shop);
    return run === undefined ? () => this.runOwn(step) : run;
  }

  /** Outputs that the shapes decide: computed when they change. */
  private compute(step: Step): null {
    const context = this.shop.context(step);
    const hasBodies = Object.values(step.op.attrs).some(isGraphAttr);
    const results = hasBodies ? this.runKernel(step, context.inputs) : step.def.run(context);
    for (let i = 0; i < step.outputs.length; i++) {
      const out = step.outputs[i];
      if (out === null || results[i] === undefined) continue;
      const { dtype, shape, data, strings } = results[i];
      out.strings = strings ?? null;
      place(out, { dtype, view: denseAt(shape), data, base: -1, known: true });
    }
    return null;
  }

  /** A session for each branch is kept as long as this one: shapes are its own affair. */
  private planBranches(step: Step): () => void {
    const known = this.branches.get(step.op);
    if (known !== undefined) return known;
    const chosen = planIf(step, {
      prepare: (graph) => {
        const session = new Session(graph, this.options);
        return (feeds) => session.run(feeds);
      },
      read: (slot) => this.read(slot),
    });
    if (chosen === undefined) return () => this.runOwn(step);
    const run = (): void => this.fillAll(step, chosen());
    this.branches.set(step.op, run);
    return run;
  }

  private fillAll({ outputs }: Step, results: readonly Tensor[]): void {
    for (const [i, out] of outputs.entries()) if (out !== null && results[i] !== undefined) this.fill(out, results[i]);
  }

  /** The op's own kernel, and its results copied to where the steps behind it look for them. */
  private runOwn(step: Step): void {
    const inputs = step.inputs.map((slot) => slot && this.read(slot));
    const results = this.runKernel(
      step,
      inputs.map((t) => t ?? undefined),
    );
    this.fillAll(step, results);
  }

  private runKernel(step: Step, inputs: readonly (Tensor | undefined)[]): Tensor[] {
    const outer = (name: string): Tensor | undefined => {
      const slot = step.captured.get(name);
      return slot && this.read(slot);
    };
    return runOpAmid(step.op, inputs, outer, this.constants);
  }

  /** The elements of a slot for an op's own kernel; large constants are read for this, and not kept for good. */
  private read(slot: Slot): Tensor {
    const { constant, data } = slot;
    if (constant !== null && data.length === 0 && sizeOf(constant.shape) > KEPT_ELEMENTS)
      return this.constants.read(constant);
    this.shop.load(slot);
    return tensorOf(slot);
  }

  private workshop(memory: KernelMemory | undefined, threads: number): Workshop {
    const load = (slot: Slot): void => {
      if (slot.constant === null || slot.data.length > 0) return;
      slot.data = readConstant(slot.constant).data;
    };
    return {
      memory,
      weights: this.weights,
      products: memory && products(memory, threads),
      load,
      output(slot, shape) {
        if (slot.storage === null) throw new Error(`${slot.name} has no storage`);
        const { data, base } = reserve(slot.storage, sizeOf(shape), memory);
        place(slot, { dtype: slot.storage.dtype, view: denseAt(shape), data, base, known: false });
        return data;
      },
      scratch: (step, name, bytes) => this.scratch(step, name, bytes, memory),
      context: (step) => this.context(step, load),
      isFixed: (slot) => this.fixed.has(slot),
      isPrivate: (slot) => slot.consumers.length === 1 && !this.seen.has(slot),
      fuse: (product, add) => this.fuse(product, add),
    };
  }

  private context(step: Step, load: (slot: Slot) => void): RunContext {
    const { op } = step;
    const inputs = step.inputs.map((slot): Tensor | undefined => {
      if (slot === null) return undefined;
      if (!slot.known) return { dtype: slot.dtype, shape: slot.view.shape, data: NO_ELEMENTS };
      load(slot);
      return tensorOf(slot);
    });
    return { version: op.version, attrs: step.attrs, inputs, outputCount: op.outputs.length, runGraph: noBodies };
  }

  private scratch(step: Step, name: string, bytes: number, memory: KernelMemory | undefined): Scratch | undefined {
    if (memory === undefined) return undefined;
    const own = this.scratches.get(step) ?? new Map<string, Scratch & { readonly block: Block }>();
    this.scratches.set(step, own);
    const found = own.get(name);
    if (found !== undefined && found.block.bytes >= bytes) return found;
    // As with storage: what grows token by token gets room for more.
    const block = memory.take(found === undefined ? bytes : Math.ceil(bytes * 1.5));
    if (found !== undefined) memory.give(found.block);
    if (block === undefined) {
      own.delete(name);
      return undefined;
    }
    const made = { at: block.at, data: memory.f32(block.at, Math.floor(block.bytes / 4)), block };
    own.set(name, made);
    return made;
  }

  private fuse(product: Step, add: Step | null): void {
    for (const [taken, by] of this.fused) {
      if (by !== product || taken === add) continue;
      this.fused.delete(taken);
      taken.dirty = true;
    }
    if (add === null || this.fused.get(add) === product) return;
    this.fused.set(add, product);
    add.dirty = true;
  }
}

/** Constants of more elements are not kept in memory unless a kernel computes with them where they are. */
const KEPT_ELEMENTS = 2 ** 20;

function noBodies(): never {
  throw new Error('no op runs a body while it is planned');
}

const NO_ELEMENTS = allocate('f32', 0);

/** A copy of `data` in memory of its own; not zeroed first where that would cost as much as the copy. */
function copyOf(data: TensorData): TensorData {
  if (!(data instanceof Float32Array)) return data.slice();
  const out = new Float32Array(Buffer.allocUnsafeSlow(data.byteLength).buffer);
  out.set(data);
  return out;
}
