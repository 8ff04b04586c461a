/**
 * Keys and values that stay in a session from call to call. Each has a buffer with room for more positions; where the graph
 * joins a past with new positions by a Concat, these are written behind it and nothing else moves.
 */
import { fail } from '../../diag/diagnostic.ts';
import { bindDim, equalDims, isKnown, printDim, subDims, symbolsOf } from '../../ir/dim.ts';
import type { Graph } from '../../ir/graph.ts';
import type { ValueId } from '../../ir/ids.ts';
import type { TensorType } from '../../ir/types.ts';
import type { KernelMemory } from '../../kernels/memory.ts';
import { allocate, sizeOf, type Tensor, tensor } from '../../tensor/tensor.ts';
import { copier } from './rows.ts';
import { denseAt, emptySlot, place, type Slot } from './slot.ts';
import type { Step } from './step.ts';
import { emptyStorage, reserve, type Storage } from './storage.ts';

/** Names of an input and of the output that continues it. */
export interface CachePair {
  readonly past: string;
  readonly present: string;
}

/** The dim along which a present is longer than its past; -1 where no dim is. */
const grownAxis = (past: TensorType, present: TensorType): number =>
  past.shape.findIndex((d, i) => !equalDims(d, present.shape[i]));

/** Whether a session of `graph` can keep these: every present is longer than its past by what does not depend on the past. */
export function canKeep(graph: Graph, pairs: readonly CachePair[]): boolean {
  const types = new Map(graph.names.map((name, v) => [name, graph.types[v]]));
  return pairs.every(({ past, present }) => {
    const [from, to] = [types.get(past), types.get(present)];
    if (from === undefined || to === undefined || from.dtype !== to.dtype) return false;
    const axis = grownAxis(from, to);
    if (axis < 0) return false;
    const own = symbolsOf(from.shape[axis]);
    return symbolsOf(subDims(to.shape[axis], from.shape[axis])).every((name) => !own.includes(name));
  });
}

interface Cache {
  past: Slot;
  present: Slot;
  readonly type: TensorType;
  /** The dim that positions are counted along. */
  readonly axis: number;
  storage: Storage;
  /** Positions there is room for. */
  room: number;
  /** Shape without positions: changes with the batch. */
  shape: readonly number[];
}

export class CacheStore {
  readonly presents: readonly ValueId[];
  private readonly pasts: readonly ValueId[];
  /** Positions held. */
  length = 0;
  private readonly caches: readonly Cache[];
  private readonly graph: Graph;
  private readonly memory: KernelMemory | undefined;
  /** Outgrown in this call: views of them may still be read. */
  private outgrown: Storage[] = [];

  constructor(graph: Graph, pairs: readonly CachePair[], memory: KernelMemory | undefined) {
    this.graph = graph;
    this.memory = memory;
    const byName = new Map(graph.names.map((name, v) => [name, v as ValueId]));
    const found = pairs.map(({ past, present }) => {
      const [from, to] = [byName.get(past), byName.get(present)];
      if (from === undefined || to === undefined || !graph.inputs.includes(from) || !graph.outputs.includes(to))
        return fail({
          code: 'exec/missing',
          message: `expected an input ${past} and an output ${present}, found none`,
        });
      return { from, to };
    });
    this.presents = found.map(({ to }) => to);
    this.pasts = found.map(({ from }) => from);
    this.caches = found.map(({ from, to }) => {
      const type = graph.types[from];
      const axis = grownAxis(type, graph.types[to]);
      if (axis < 0) throw new Error(`${graph.names[from]} does not grow`);
      const storage = emptyStorage(type.dtype);
      const [past, present] = [from, to].map((v) => emptySlot(graph.names[v], type.dtype));
      return { past, present, type, axis, storage, room: 0, shape: [] };
    });
  }

  /** The slots of the graph are new ones; what is held stays. */
  rebind(slots: readonly Slot[]): void {
    for (const [i, cache] of this.caches.entries()) {
      cache.past = slots[this.pasts[i]];
      cache.present = slots[this.presents[i]];
    }
  }

  truncate(length: number): void {
    this.length = Math.max(0, Math.min(length, this.length));
  }

  /** The feeds with the pasts held here, for those who check shapes; places the pasts for the coming call. */
  withPasts(feeds: ReadonlyMap<string, Tensor>): ReadonlyMap<string, Tensor> {
    if (this.caches.length === 0) return feeds;
    const bindings = this.bindings(feeds);
    const out = new Map(feeds);
    for (const cache of this.caches) {
      const { past, type, axis } = cache;
      const shape = type.shape.map((dim, d) => (d === axis ? 0 : bound(dim, bindings, past.name)));
      if (shape.join() !== cache.shape.join()) {
        if (this.length > 0)
          fail({
            code: 'exec/batch',
            message: `${past.name}: expected [${cache.shape}] as in the call before, found [${shape}]`,
          });
        cache.shape = shape;
        cache.room = 0;
      }
      const view = this.placePast(cache);
      out.set(past.name, tensor(type.dtype, view, allocate(type.dtype, 0)));
    }
    return out;
  }

  private placePast(cache: Cache): readonly number[] {
    const { past, type } = cache;
    const shape = cache.shape.with(cache.axis, this.length);
    const { strides } = denseAt(cache.shape.with(cache.axis, cache.room));
    const { data, base } = reserve(cache.storage, 0, this.memory);
    place(past, { dtype: type.dtype, view: { shape, strides, offset: 0 }, data, base, known: false });
    return shape;
  }

  /** Extents of the symbols that the fed inputs name. */
  private bindings(feeds: ReadonlyMap<string, Tensor>): Record<string, number> {
    const out: Record<string, number> = {};
    for (const v of this.graph.inputs) {
      const fed = feeds.get(this.graph.names[v]);
      for (const [d, dim] of (fed ? this.graph.types[v].shape : []).entries())
        if (!isKnown(dim) && fed?.shape[d] !== undefined) out[printDim(dim)] ??= fed.shape[d];
    }
    return out;
  }

  /** Plans a Concat of a past held here and new positions: they are written behind it. Undefined for all other steps. */
  planAppend(step: Step): (() => void) | undefined {
    const [past, fresh, more] = step.inputs;
    const [out] = step.outputs;
    const cache = this.caches.find((c) => c.past === past && c.present === out);
    if (step.op.kind !== 'Concat' || cache === undefined || fresh === null || more !== undefined) return undefined;
    const { axis, present, type } = cache;
    const added = fresh.view.shape[axis];
    if (fresh.view.shape.some((n, d) => d !== axis && n !== cache.shape[d])) return undefined;
    this.ensure(cache, this.length + added);
    const { data, base } = reserve(cache.storage, 0, this.memory);
    const { strides } = denseAt(cache.shape.with(axis, cache.room));
    const shape = cache.shape.with(axis, this.length + added);
    place(present, { dtype: type.dtype, view: { shape, strides, offset: 0 }, data, base, known: false });
    return copier(fresh.data, fresh.view, data, { strides, offset: this.length * strides[axis] });
  }

  /** Room for `positions`; what is held is moved. */
  private ensure(cache: Cache, positions: number): void {
    if (positions <= cache.room) return;
    const { axis, shape } = cache;
    const room = Math.max(positions, 2 * cache.room, 16);
    const storage = emptyStorage(cache.type.dtype);
    const to = reserve(storage, sizeOf(shape.with(axis, room)), this.memory).data;
    const held = {
      ...denseAt(shape.with(axis, cache.room)),
      shape: shape.with(axis, Math.min(this.length, cache.room)),
    };
    copier(cache.storage.whole, held, to, denseAt(shape.with(axis, room)))();
    this.outgrown.push(cache.storage);
    cache.storage = storage;
    cache.room = room;
  }

  /** After a call: what the graph has not appended itself is copied, and counts as past from now on. */
  advance(): void {
    for (const cache of this.caches) {
      const { present, axis } = cache;
      const positions = present.view.shape[axis];
      if (present.data !== cache.storage.whole) {
        this.ensure(cache, positions);
        const { strides } = denseAt(cache.shape.with(axis, cache.room));
        copier(present.data, present.view, cache.storage.whole, { strides, offset: 0 })();
      }
    }
    const [first] = this.caches;
    if (first !== undefined) this.length = first.present.view.shape[first.axis];
    for (const { block } of this.outgrown) if (block !== null) this.memory?.give(block);
    this.outgrown = [];
  }
}

function bound(dim: TensorType['shape'][number], bindings: Readonly<Record<string, number>>, name: string): number {
  const value = bindDim(dim, bindings);
  if (isKnown(value)) return value;
  return fail({ code: 'exec/missing', message: `${name}: no fed input tells the extent ${printDim(dim)}` });
}
