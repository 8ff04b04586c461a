/**
 * One stage -> one region program. Alternating axes: a layer whose input lies along y multiplies down the rows,
 * owes a sum along y, and leaves its output along x; the next one goes the other way. Collectives are put where a
 * layout demands them, and travel together when they are ready together (collectives.ts).
 */
import { fail } from '../diag/diagnostic.ts';
import { type Coding, codingOf, isPlaceable } from '../ir/coding.ts';
import { isQuantized, reshapeConstant } from '../ir/constant.ts';
import type { IoRole, Stage } from '../ir/facts.ts';
import type { Graph, Op } from '../ir/graph.ts';
import type { ValueId } from '../ir/ids.ts';
import type {
  Cache,
  Layout,
  MeshAxis,
  ProgramOp,
  ProgramTensor,
  RegionProgram,
  RegionShape,
  StepInput,
  T,
  TensorRole,
} from '../ir/program.ts';
import { formatName } from '../ir/storage.ts';
import { HOST_KINDS } from '../ops/wafc-host.ts';
import { type DType, DTYPE_BITS } from '../ir/types.ts';
import { features, Y } from './axes.ts';
import { fuseCollectives } from './collectives.ts';
import { mapAttention } from './rules/attention.ts';
import { ELEMENTWISE_RULES, mapElementwise } from './rules/elementwise.ts';
import { mapFeatures } from './rules/features.ts';
import { mapEmbedding, mapLinear } from './rules/linear.ts';
import { mapNorm, mapRope } from './rules/norm.ts';

export interface StepSize {
  readonly tokens: number;
  readonly context: number;
}

/** Rewrites that the mapper may use; each can be switched off (choose-regions options). */
export interface MapOptions {
  /** RMS norms travel in the reductions of the products that read them. */
  readonly deferNorms: boolean;
}

/** An RMS norm that is not there yet: x * gain, the squares still owed, and what is needed to finish. */
export interface DeferredNorm {
  readonly scaled: T;
  readonly sums: T;
  readonly features: number;
  readonly epsilon: number;
}

const RULES: Readonly<Record<string, (m: StageMapper, op: Op) => void>> = {
  'wafc.embedding': mapEmbedding,
  'wafc.linear': mapLinear,
  'wafc.rmsnorm': mapNorm,
  'wafc.layernorm': mapNorm,
  'wafc.rope': mapRope,
  'wafc.attention': mapAttention,
  'wafc.slice': mapFeatures,
  'wafc.select': mapFeatures,
  'wafc.concat': mapFeatures,
  'wafc.tokens': mapFeatures,
};

/** Whether a region can compute the op kind, in the forms that its rule takes. */
export const hasRegionRule = (kind: string): boolean => Object.hasOwn(RULES, kind) || ELEMENTWISE_RULES.has(kind);

export class StageMapper {
  readonly graph: Graph;
  readonly roles: ReadonlyMap<string, IoRole>;
  readonly stage: Stage;
  readonly shape: RegionShape;
  readonly size: StepSize;
  readonly tensors: ProgramTensor[] = [];
  readonly ops: ProgramOp[] = [];
  readonly caches: Cache[] = [];
  readonly options: MapOptions;
  private readonly norms = new Map<ValueId, DeferredNorm>();
  private readonly paid = new Map<T, T>();
  private readonly env = new Map<ValueId, T>();
  private readonly held = new Map<string, T>();
  private readonly weightOf: { readonly tensor: T; readonly source: number }[] = [];
  private readonly inputKinds = new Map<ValueId, StepInput['kind']>();
  private current: Op | undefined;

  constructor(
    graph: Graph,
    roles: ReadonlyMap<string, IoRole>,
    stage: Stage,
    shape: RegionShape,
    size: StepSize,
    options: MapOptions,
  ) {
    this.graph = graph;
    this.roles = roles;
    this.stage = stage;
    this.shape = shape;
    this.size = size;
    this.options = options;
  }

  run(): RegionProgram {
    for (const at of this.stage.ops) {
      this.current = this.graph.ops[at];
      this.mapOp(this.current);
    }
    const outputs = this.stage.outputs.map((v) => (this.isPresent(v) ? null : this.output(v)));
    const inputs = this.stage.inputs.map((v) => this.stepInput(v));
    const { tensors, shape, caches } = this;
    const results = this.stage.ops.map((at) => this.env.get(this.graph.ops[at].outputs[0] as ValueId) ?? null);
    const context = caches.length > 0 ? this.size.context : 0;
    return {
      shape,
      tokens: this.size.tokens,
      context,
      tensors,
      ops: fuseCollectives(this.ops),
      inputs,
      outputs,
      weights: this.weightOf.map((w) => w.tensor),
      weightSources: this.weightOf.map((w) => w.source),
      caches,
      results,
    };
  }

  private mapOp(op: Op): void {
    (RULES[op.kind] ?? mapElementwise)(this, op);
  }

  get node(): string {
    return this.current?.origin.node ?? this.stage.name;
  }

  refuse(reason: string, ...notes: string[]): never {
    fail({
      code: 'map/unsupported',
      message: `${this.current?.kind ?? 'stage'} ${reason}`,
      node: this.node,
      ...(notes.length > 0 ? { notes } : {}),
    });
  }

  private isPresent(v: ValueId): boolean {
    return this.roles.get(this.graph.names[v])?.kind === 'present';
  }
  isPast(v: ValueId): boolean {
    return this.roles.get(this.graph.names[v])?.kind === 'past';
  }

  add(name: string, role: TensorRole, dtype: DType, shape: readonly number[], layout: Layout, coding?: Coding): T {
    return this.tensors.push({ name, role, dtype, shape, layout, ...(coding ? { coding } : {}) }) - 1;
  }
  temp(like: T, shape: readonly number[], layout: Layout, suffix = ''): T {
    return this.add(`${this.node}${suffix}`, 'temp', this.tensors[like].dtype, shape, layout);
  }
  emit(op: ProgramOp extends infer O ? (O extends { node: string } ? Omit<O, 'node'> : never) : never): void {
    this.ops.push({ ...op, node: this.node } as ProgramOp);
  }
  layoutOf(t: T): Layout {
    return this.tensors[t].layout;
  }
  /** Axes that cut the features of an activation. */
  axesOf(t: T): readonly MeshAxis[] {
    return this.tensors[t].layout.dims[1];
  }

  bind(v: ValueId, t: T): void {
    this.env.set(v, t);
  }

  defer(v: ValueId, norm: DeferredNorm): void {
    this.norms.set(v, norm);
  }
  deferred(v: ValueId): DeferredNorm | undefined {
    return this.norms.get(v);
  }

  /** A deferred norm that something else than a product reads: finished where it lies. */
  private finished({ scaled, sums, features: squared, epsilon }: DeferredNorm): T {
    const out = this.temp(scaled, this.tensors[scaled].shape, this.layoutOf(scaled), '/normed');
    this.emit({
      op: 'rms_scale',
      inputs: [scaled],
      sums: this.reduced(sums),
      features: squared,
      epsilon,
      outputs: [out],
    });
    return out;
  }

  /** An activation or host value of the stage as it lies. */
  value(v: ValueId): T {
    const known = this.env.get(v);
    if (known !== undefined) return known;
    const norm = this.norms.get(v);
    if (norm !== undefined) {
      const t = this.finished(norm);
      this.env.set(v, t);
      return t;
    }
    const type = this.graph.types[v];
    const width = type.shape.at(-1);
    const integer = /^[iu]/.test(type.dtype);
    if (type.shape.length === 3 && typeof width === 'number') {
      const host = !this.isFromStage(v);
      const tokens = type.shape[1] === 1 ? 1 : this.size.tokens;
      const t = this.add(this.graph.names[v], 'input', type.dtype, [tokens, width], host ? features([]) : features(Y));
      this.inputKinds.set(v, host ? 'row' : 'activation');
      this.env.set(v, t);
      return t;
    }
    if (integer && type.shape.length === 2) {
      const t = this.add(this.graph.names[v], 'input', 'i32', [this.size.tokens], { dims: [[]], partial: null });
      this.inputKinds.set(v, 'index');
      this.env.set(v, t);
      return t;
    }
    return this.refuse(`reads ${this.graph.names[v]}, which is not an activation, a row or an index a token`);
  }

  /** The attention mask, one entry a token. */
  maskInput(v: ValueId): T {
    const known = this.env.get(v);
    if (known !== undefined) return known;
    const t = this.add(this.graph.names[v], 'input', 'u8', [this.size.tokens], { dims: [[]], partial: null });
    this.inputKinds.set(v, 'mask');
    this.env.set(v, t);
    return t;
  }

  private isFromStage(v: ValueId): boolean {
    const producer = this.graph.ops.find((op) => op.outputs.includes(v));
    return (
      (producer?.kind.startsWith('wafc.') === true && !HOST_KINDS.has(producer.kind)) ||
      producer?.inputs.some((i) => i !== null && this.graph.types[i].shape.length === 3 && this.isFromStage(i)) === true
    );
  }

  /** A weight of the stage in the layout its op wants; held once for all ops that agree on the layout. */
  weight(v: ValueId, shape: readonly number[], layout: Layout): T {
    const key = `${v} ${shape} ${JSON.stringify(layout)}`;
    const known = this.held.get(key);
    if (known !== undefined) return known;
    const constant = this.graph.constants.get(v);
    if (constant === undefined) return this.refuse(`needs ${this.graph.names[v]} to be a constant`);
    const matrix = isQuantized(constant) ? reshapeConstant(constant, shape) : constant;
    if (matrix === undefined || !isPlaceable(matrix) || (!isQuantized(matrix) && DTYPE_BITS[matrix.stored] < 8))
      this.refuse(`has weight ${this.graph.names[v]} as ${formatName(constant)}, which is not tiled yet`);
    const coding = codingOf(matrix);
    const t = this.add(this.graph.names[v], 'weight', constant.stored, shape, layout, coding);
    this.held.set(key, t);
    this.weightOf.push({ tensor: t, source: this.stage.weights.indexOf(v) });
    return t;
  }

  private stepInput(v: ValueId): StepInput | null {
    if (this.isPast(v)) return null;
    const tensor = this.env.get(v);
    const kind = this.inputKinds.get(v);
    if (tensor === undefined || kind === undefined)
      throw new Error(`input ${this.graph.names[v]} of stage ${this.stage.name} is used by no op`);
    return { tensor, kind };
  }

  /** What leaves a stage lies along y, as the next stage expects it; results for the host stay where they are. */
  private output(v: ValueId): T {
    const t = this.value(v);
    const goesOn = this.graph.ops.some(
      (op, i) =>
        op.inputs.includes(v) &&
        op.kind !== 'Reshape' &&
        op.kind !== 'Transpose' &&
        op.kind !== 'Identity' &&
        !this.stage.ops.includes(i as never),
    );
    return goesOn ? this.relaid(t, Y) : t;
  }

  /**
   * The activation with its features cut by `axes`: gathered along the axes that must go, then each core keeps its
   * part, which costs nothing.
   */
  relaid(t: T, axes: readonly MeshAxis[]): T {
    const { shape, layout } = this.tensors[t];
    const from = layout.dims[1];
    if (from.join() === axes.join()) return t;
    let keep = 0;
    while (keep < from.length && keep < axes.length && from[keep] === axes[keep]) keep++;
    let at = t;
    if (keep < from.length) {
      const gathered = this.temp(at, shape, features(from.slice(0, keep)), '/gathered');
      this.emit({ op: 'all_gather', axes: from.slice(keep), combine: null, dim: 1, inputs: [at], outputs: [gathered] });
      at = gathered;
    }
    if (keep < axes.length) {
      const part = this.temp(at, shape, features(axes), '/part');
      this.emit({ op: 'shard', x: at, out: part });
      at = part;
    }
    return at;
  }

  /** Pays what `t` owes: the same tensor on all cores of the owed axes. Paid once, however many read it. */
  reduced(t: T): T {
    const { shape, layout } = this.tensors[t];
    if (layout.partial === null) return t;
    const known = this.paid.get(t);
    if (known !== undefined) return known;
    const out = this.temp(t, shape, { dims: layout.dims, partial: null }, '/reduced');
    const { axes, combine } = layout.partial;
    this.emit({ op: 'all_reduce', axes, combine, dim: -1, inputs: [t], outputs: [out] });
    this.paid.set(t, out);
    return out;
  }
}

/** The region program of a stage. Throws Diagnosed `map/..` for an op that has no rule. */
export function mapStage(
  graph: Graph,
  roles: ReadonlyMap<string, IoRole>,
  stage: Stage,
  shape: RegionShape,
  size: StepSize,
  options: MapOptions = { deferNorms: true },
): RegionProgram {
  return new StageMapper(graph, roles, stage, shape, size, options).run();
}
