/**
 * What is the same for all programs of a stage that a search tries: the ops in the order they are mapped, who reads a value
 * last, and one table of tensors that all of them name. Equal tensors are one, so that what an op costs is looked up.
 */
import { costProgram, isApart } from '../cost/program.ts';
import { tileBytes } from '../cost/tile.ts';
import { fail } from '../diag/diagnostic.ts';
import { codingOf, isPlaceable } from '../ir/coding.ts';
import { isQuantized, reshapeConstant } from '../ir/constant.ts';
import type { IoRole, Stage } from '../ir/facts.ts';
import type { Graph, Op } from '../ir/graph.ts';
import type { ValueId } from '../ir/ids.ts';
import {
  isCollective,
  type Layout,
  type ProgramOp,
  type ProgramTensor,
  type RegionProgram,
  type RegionShape,
  type StepInput,
  type T,
} from '../ir/program.ts';
import type { Density } from '../ir/sparsity.ts';
import { formatName } from '../ir/storage.ts';
import type { Target } from '../ir/target.ts';
import { type DType, DTYPE_BITS } from '../ir/types.ts';
import { HOST_KINDS } from '../ops/wafc-host.ts';
import { byFeatures, type Lanes, layoutOf, WHOLE, Y } from './cut.ts';
import { allows, type MapOptions } from './rewrites.ts';
import { NO_HEADS, splitHeads } from './split-heads.ts';
import { usesOf } from './uses.ts';

/** Tokens and positions that one step is made for. */
export interface StepSize {
  readonly tokens: number;
  readonly context: number;
}

export interface StageInput {
  readonly graph: Graph;
  readonly roles: ReadonlyMap<string, IoRole>;
  readonly stage: Stage;
  readonly shape: RegionShape;
  readonly size: StepSize;
  readonly target: Target;
  readonly options: MapOptions;
  /** Of weights full of zeros. */
  readonly densities?: Densities;
}

/** By weight of a template's exemplar. */
export type Densities = ReadonlyMap<ValueId, Density>;

/** Cycles of an op without what its run of vector operations shares. */
export interface Price {
  readonly cycles: number;
  /** Of them, work that a run's overhead already holds; 0 of what is no vector operation. */
  readonly worked: number;
  /** Ends a run: a product or a collective. */
  readonly apart: boolean;
}

export class StageContext {
  readonly graph: Graph;
  readonly stage: Stage;
  readonly shape: RegionShape;
  readonly size: StepSize;
  readonly target: Target;
  readonly options: MapOptions;
  /** In an order that runs products as soon as their operands are there: what they owe can then travel together. */
  readonly order: readonly Op[];
  readonly tensors: ProgramTensor[] = [];
  /** Position in `order` of the last op that reads a value; Infinity for outputs of the stage. */
  readonly lastUse: ReadonlyMap<ValueId, number>;
  /** Values whose heads an attention wants whole, and the others of the same attention: gathered in one message. */
  readonly together: ReadonlyMap<ValueId, readonly ValueId[]>;
  /** Order of the features of queries, keys and outputs when heads are cut over the columns of their group. */
  readonly heads: ReadonlyMap<ValueId, Lanes>;
  /** Attentions whose heads may be cut. */
  readonly cutsHeads: ReadonlySet<Op>;
  /** What is multiplied into such queries and keys. */
  readonly goesToHeads: ReadonlySet<ValueId>;
  private readonly roles: ReadonlyMap<string, IoRole>;
  private readonly densities: Densities;
  private readonly producers = new Map<ValueId, Op>();
  private readonly signatures: number[] = [];
  private readonly signatureOf = new Map<string, number>();
  private readonly shared = new Map<string, T>();
  private readonly prices = new Map<string, Price>();
  private readonly inputs = new Map<ValueId, StepInput>();
  private readonly sources = new Map<T, number>();

  constructor({ graph, roles, stage, shape, size, target, options, densities = new Map() }: StageInput) {
    this.densities = densities;
    this.graph = graph;
    this.roles = roles;
    this.stage = stage;
    this.shape = shape;
    this.size = size;
    this.target = target;
    this.options = options;
    for (const op of graph.ops) for (const v of op.outputs) if (v !== null) this.producers.set(v, op);
    this.order = productsFirst(
      stage.ops.map((at) => graph.ops[at]),
      this.producers,
    );
    const lastUse = new Map<ValueId, number>();
    for (const [i, op] of this.order.entries()) for (const v of op.inputs) if (v !== null) lastUse.set(v, i);
    for (const v of stage.outputs) lastUse.set(v, Number.POSITIVE_INFINITY);
    this.lastUse = lastUse;
    const cuts = shape.width > shape.groups && allows(options, 'split-heads');
    const split = cuts ? splitHeads(this) : NO_HEADS;
    this.heads = split.lanes;
    this.goesToHeads = split.sources;
    this.cutsHeads = split.attentions;
    this.together = headsTogether(this.order, this.producers, new Set(this.order));
  }

  readersOf(v: ValueId): Op[] {
    return this.order.filter((op) => op.inputs.includes(v));
  }

  refuse(op: Op, reason: string, ...notes: string[]): never {
    fail({
      code: 'map/unsupported',
      message: `${op.kind} ${reason}`,
      node: op.origin.node,
      ...(notes.length > 0 ? { notes } : {}),
    });
  }

  producerOf(v: ValueId): Op | undefined {
    return this.producers.get(v);
  }

  isPast(v: ValueId): boolean {
    return this.roles.get(this.graph.names[v])?.kind === 'past';
  }
  isPresent(v: ValueId): boolean {
    return this.roles.get(this.graph.names[v])?.kind === 'present';
  }

  /** A new tensor. */
  add(tensor: ProgramTensor): T {
    const text = tensorText(tensor);
    const known = this.signatureOf.get(text);
    const signature = known ?? this.signatureOf.size;
    if (known === undefined) this.signatureOf.set(text, signature);
    this.signatures.push(signature);
    return this.tensors.push(tensor) - 1;
  }

  /** Type, shape and layout of a tensor as a number: equal where these are. */
  signature(t: T): number {
    return this.signatures[t];
  }

  /** The tensor of this key, made when it is first asked for: what all programs of the stage share. */
  sharedTensor(key: string, make: () => ProgramTensor): T {
    const known = this.shared.get(key);
    if (known !== undefined) return known;
    const t = this.add(make());
    this.shared.set(key, t);
    return t;
  }

  /** A weight in the layout its op wants. */
  weight(op: Op, v: ValueId, shape: readonly number[], layout: Layout): T {
    const t = this.sharedTensor(`${v} ${shape} ${JSON.stringify(layout)}`, () => {
      const constant = this.graph.constants.get(v);
      if (constant === undefined) return this.refuse(op, `needs ${this.graph.names[v]} to be a constant`);
      const matrix = isQuantized(constant) ? reshapeConstant(constant, shape) : constant;
      if (matrix === undefined || !isPlaceable(matrix) || (!isQuantized(matrix) && DTYPE_BITS[matrix.stored] < 8))
        this.refuse(op, `has weight ${this.graph.names[v]} as ${formatName(constant)}, which is not tiled yet`);
      const coding = codingOf(matrix);
      const name = this.graph.names[v];
      const density = this.densities.get(v);
      return {
        name,
        role: 'weight',
        dtype: constant.stored,
        shape,
        layout,
        ...(coding ? { coding } : {}),
        // A table that rows are looked up in keeps its zeros: there are no starts of rows in a bitmap.
        ...(density !== undefined && this.readersOf(v).every(({ kind }) => kind === 'wafc.linear') ? { density } : {}),
      };
    });
    this.sources.set(t, this.stage.weights.indexOf(v));
    return t;
  }
  /** Which of the stage's weights a weight tensor holds. */
  sourceOf(t: T): number {
    return this.sources.get(t) ?? -1;
  }

  /** Whether several ops of the stage read the weight. */
  isSharedWeight(t: T): boolean {
    const source = this.sources.get(t);
    return source !== undefined && this.readersOf(this.stage.weights[source]).length > 1;
  }

  /** An activation of the stage before (cut by rows, as every stage leaves it), a row of the host, or an index a token. */
  input(op: Op, v: ValueId): T {
    const known = this.inputs.get(v);
    if (known !== undefined) return known.tensor;
    const { dtype, shape } = this.graph.types[v];
    const width = shape.at(-1);
    if (shape.length === 3 && typeof width === 'number') {
      const host = !this.isFromStage(v);
      const tokens = shape[1] === 1 ? 1 : this.size.tokens;
      const layout = layoutOf(host ? WHOLE : byFeatures(Y));
      return this.given(v, host ? 'row' : 'activation', { dtype, shape: [tokens, width], layout });
    }
    if (/^[iu]/.test(dtype) && shape.length === 2)
      return this.given(v, 'index', { dtype: 'i32', shape: [this.size.tokens], layout: { dims: [[]], partial: null } });
    return this.refuse(op, `reads ${this.graph.names[v]}, which is not an activation, a row or an index a token`);
  }

  /** The attention mask, one entry a token. */
  maskInput(v: ValueId): T {
    const known = this.inputs.get(v);
    const layout: Layout = { dims: [[]], partial: null };
    return known?.tensor ?? this.given(v, 'mask', { dtype: 'u8', shape: [this.size.tokens], layout });
  }

  /** What stands for input `v` in a step; null for a past. */
  stepInput(v: ValueId): StepInput | null {
    if (this.isPast(v)) return null;
    const known = this.inputs.get(v);
    if (known === undefined)
      throw new Error(`input ${this.graph.names[v]} of stage ${this.stage.name} is used by no op`);
    return known;
  }

  private given(v: ValueId, kind: StepInput['kind'], type: { dtype: DType; shape: number[]; layout: Layout }): T {
    const tensor = this.add({ name: this.graph.names[v], role: 'input', ...type });
    this.inputs.set(v, { tensor, kind });
    return tensor;
  }

  private isFromStage(v: ValueId): boolean {
    const producer = this.producers.get(v);
    if (producer === undefined) return false;
    return (
      (producer.kind.startsWith('wafc.') && !HOST_KINDS.has(producer.kind)) ||
      producer.inputs.some((i) => i !== null && this.graph.types[i].shape.length === 3 && this.isFromStage(i))
    );
  }

  /** Whether another stage reads `v`; views of results are the host's. */
  goesOn(v: ValueId): boolean {
    const own = new Set(this.order);
    return this.graph.ops.some((op) => op.inputs.includes(v) && !VIEWS.has(op.kind) && !own.has(op));
  }

  /** Predicted cycles of one op by itself, and its part in a run of vector operations (cost/program.ts). */
  price(op: ProgramOp): Price {
    const { reads, writes } = usesOf(op);
    let key = `${op.op} ${'fn' in op ? op.fn : ''} ${'axes' in op ? `${op.axes} ${op.combine}` : ''}`;
    for (const t of [...reads, ...writes]) key += ` ${this.signatures[t]}`;
    let price = this.prices.get(key);
    if (price === undefined) {
      const program = { shape: this.shape, tensors: this.tensors, ops: [op] } satisfies Partial<RegionProgram>;
      const [cost] = costProgram({ ...EMPTY, ...program }, this.target);
      const term = (what: string): number => cost.terms.find((t) => t.what === what)?.cycles ?? 0;
      const apart = isCollective(op) ? cost.algorithm !== 'none' : isApart(op);
      const worked = apart ? 0 : term('vector');
      price = { cycles: cost.cycles - (worked > 0 ? term('software') : 0), worked, apart };
      this.prices.set(key, price);
    }
    return price;
  }

  /** Bytes of the fullest core. */
  bytes(t: T): number {
    return tileBytes(this.tensors[t], this.shape);
  }
}

/** Equal for tensors that cost the same to work on. */
export function tensorText({ role, dtype, shape, layout, coding, density }: ProgramTensor): string {
  const { dims, partial, cyclic, woven } = layout;
  const order = woven === undefined ? '' : `~${woven.dim} ${woven.runs}x${woven.lanes}`;
  const owed = partial === null ? '' : `${partial.combine}@${partial.axes.join()}`;
  const coded = coding === undefined ? '' : JSON.stringify(coding);
  const full = density === undefined ? '' : JSON.stringify(density);
  return `${role} ${dtype} ${shape.join()} ${dims.map((axes) => axes.join()).join(';')} ${owed} ${cyclic ?? ''} ${coded}${order}${full}`;
}

const VIEWS: ReadonlySet<string> = new Set(['Reshape', 'Transpose', 'Identity']);

const EMPTY: RegionProgram = {
  shape: { width: 1, height: 1, groups: 1 },
  tokens: 1,
  context: 0,
  tensors: [],
  ops: [],
  inputs: [],
  outputs: [],
  weights: [],
  weightSources: [],
  caches: [],
  results: [],
};

const isProduct = ({ kind }: Op): boolean => kind === 'wafc.linear' || kind === 'wafc.embedding';

/**
 * Ops by how many products lie before them; of equals, products first. Q, K and V, or gate and up, or the two
 * branches of a parallel block, are then all there before the first of them has to be paid.
 */
function productsFirst(ops: readonly Op[], producers: ReadonlyMap<ValueId, Op>): Op[] {
  const own = new Set(ops);
  const levels = new Map<Op, number>();
  for (const op of ops) {
    let level = 0;
    for (const v of op.inputs) {
      const producer = v === null ? undefined : producers.get(v);
      if (producer !== undefined && own.has(producer)) level = Math.max(level, levels.get(producer) ?? 0);
    }
    levels.set(op, level + (isProduct(op) ? 1 : 0));
  }
  const rank = (op: Op): number => 2 * (levels.get(op) ?? 0) + (isProduct(op) ? 0 : 1);
  return ops
    .map((op, i) => ({ op, i }))
    .sort((a, b) => rank(a.op) - rank(b.op) || a.i - b.i)
    .map(({ op }) => op);
}

/** Ops that work head by head: what they read must lie as what they give. */
const HEADWISE: ReadonlySet<string> = new Set(['wafc.rope', 'wafc.rmsnorm', 'wafc.layernorm']);

/** Where queries, keys and values of an attention become whole heads, for each of these values. */
function headsTogether(
  order: readonly Op[],
  producers: ReadonlyMap<ValueId, Op>,
  own: ReadonlySet<Op>,
): Map<ValueId, ValueId[]> {
  const found = new Map<ValueId, ValueId[]>();
  for (const op of order) {
    if (op.kind !== 'wafc.attention') continue;
    const sources = op.inputs.slice(0, 3).flatMap((v) => {
      let at = v;
      for (;;) {
        const producer = at === null ? undefined : producers.get(at);
        if (producer === undefined || !own.has(producer) || !HEADWISE.has(producer.kind)) break;
        if (producer.kind !== 'wafc.rope' && producer.attrs.groups === 1) break;
        at = producer.inputs[0];
      }
      return at === null ? [] : [at];
    });
    for (const v of sources) found.set(v, sources);
  }
  return found;
}
