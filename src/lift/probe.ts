/**
 * Probes: the graph at one concrete size. Control values (positions, masks, rope angles: everything that does not
 * depend on the contents of activations) are computed on demand by the reference kernels.
 */
import { bindDim, type Dim, isKnown, printDim, symbolsOf } from '../ir/dim.ts';
import type { IoRole } from '../ir/facts.ts';
import type { Graph, Op } from '../ir/graph.ts';
import type { ValueId } from '../ir/ids.ts';
import { Diagnosed, fail } from '../diag/diagnostic.ts';
import { runOp } from '../exec/reference.ts';
import { readConstant } from '../tensor/read.ts';
import { fromNumbers, sizeOf, type Tensor, zeros } from '../tensor/tensor.ts';

export interface ProbeSize {
  readonly sequence: number;
  readonly past: number;
}
/** What is fed instead of the usual: a mask of ones, positions that count on from the past, ids of 0. */
export interface ProbeFeeds {
  readonly mask?: (batch: number, position: number) => number;
  readonly positions?: (token: number) => number;
  readonly ids?: number;
}

export class Probe {
  readonly size: ProbeSize;
  private readonly graph: Graph;
  private readonly roles: ReadonlyMap<string, IoRole>;
  private readonly feeds: ProbeFeeds;
  private readonly producers = new Map<ValueId, Op>();
  private readonly known = new Map<ValueId, Tensor>();

  constructor(graph: Graph, roles: ReadonlyMap<string, IoRole>, size: ProbeSize, feeds: ProbeFeeds = {}) {
    this.graph = graph;
    this.roles = roles;
    // A model without a past numbers its tokens from 0.
    const hasPast = graph.inputs.some((v) => graph.types[v].shape.some((d) => symbolsOf(d).includes('P')));
    this.size = hasPast ? size : { ...size, past: 0 };
    this.feeds = feeds;
    for (const op of graph.ops) for (const v of op.outputs) if (v !== null) this.producers.set(v, op);
    for (const v of graph.inputs) this.known.set(v, this.feed(v));
  }

  /** The same graph with other feeds, or at another size. */
  variant(feeds: ProbeFeeds, size: ProbeSize = this.size): Probe {
    return new Probe(this.graph, this.roles, size, feeds);
  }

  extent(dim: Dim): number {
    const bound = bindDim(dim, { S: this.size.sequence, P: this.size.past });
    if (!isKnown(bound)) {
      fail({
        code: 'lift/unbound-dim',
        message: `dim ${printDim(dim)} is not bound`,
        notes: [`give it a value: --bind ${printDim(bound)}=N`],
      });
    }
    return bound;
  }

  shapeOf(v: ValueId): number[] {
    return this.graph.types[v].shape.map((d) => this.extent(d));
  }

  private feed(v: ValueId): Tensor {
    const { dtype } = this.graph.types[v];
    const shape = this.shapeOf(v);
    const role = this.roles.get(this.graph.names[v])?.kind;
    const last = shape.at(-1) ?? 1;
    if (role === 'mask')
      return fromNumbers(
        dtype,
        shape,
        Array.from({ length: sizeOf(shape) }, (_, i) => this.maskAt(Math.floor(i / last), i % last)),
      );
    if (role === 'positions')
      return fromNumbers(
        dtype,
        shape,
        Array.from({ length: sizeOf(shape) }, (_, i) => this.position(Math.floor(i / last), i % last)),
      );
    if (role === 'tokens') return fromNumbers(dtype, shape, new Array<number>(sizeOf(shape)).fill(this.feeds.ids ?? 0));
    return zeros(dtype, shape);
  }

  private maskAt(batch: number, position: number): number {
    return this.feeds.mask === undefined ? 1 : this.feeds.mask(batch, position);
  }

  /** As its callers number them: padded positions do not count (cumsum(mask) - 1). */
  private position(batch: number, token: number): number {
    if (this.feeds.positions) return this.feeds.positions(token);
    let count = 0;
    for (let p = 0; p <= this.size.past + token; p++) count += this.maskAt(batch, p) === 0 ? 0 : 1;
    return Math.max(0, count - 1);
  }

  /** The value at this probe. Computes what it needs and nothing else. */
  tensor(wanted: ValueId): Tensor {
    const stack = [wanted];
    while (stack.length > 0) {
      const v = stack[stack.length - 1];
      const constant = this.graph.constants.get(v);
      if (this.known.has(v)) stack.pop();
      else if (constant) this.known.set(v, readConstant(constant));
      else {
        const op = this.producers.get(v);
        if (op === undefined) throw new Error(`value ${this.graph.names[v]} has no producer`);
        // The shape of an activation is known without the activation.
        const needed = op.kind === 'Shape' ? [] : op.inputs;
        const missing = needed.filter((i): i is ValueId => i !== null && !this.known.has(i));
        if (op.kind === 'Shape') this.known.set(v, this.shapeTensor(op));
        else if (missing.length > 0) stack.push(...missing);
        else this.run(op);
      }
    }
    return this.known.get(wanted) as Tensor;
  }

  private shapeTensor(op: Op): Tensor {
    const { start = 0, end } = op.attrs as { start?: number; end?: number };
    const shape = this.shapeOf(op.inputs[0] as ValueId).slice(start, end);
    return fromNumbers('i64', [shape.length], shape);
  }

  private run(op: Op): void {
    const results = runOp(
      op,
      op.inputs.map((i) => (i === null ? undefined : this.known.get(i))),
    );
    for (const [i, out] of op.outputs.entries()) if (out !== null) this.known.set(out, results[i]);
  }
}

/**
 * `use` at the first of `lengths` that the graph's tables reach: so many positions in the past of a model that has one,
 * else so many tokens. Undefined where none is reached; `use` says by undefined that its own values end before.
 */
export function atFar<T>(near: Probe, lengths: readonly number[], use: (far: Probe) => T | undefined): T | undefined {
  const { sequence, past } = near.size;
  for (const n of lengths) {
    try {
      const found = use(near.variant({}, past > 0 ? { sequence, past: n } : { sequence: n, past: 0 }));
      if (found !== undefined) return found;
    } catch (error) {
      if (!(error instanceof Diagnosed)) throw error;
    }
  }
  return undefined;
}
