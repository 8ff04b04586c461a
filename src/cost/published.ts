/**
 * The published plan of a decoder layer as a region program, so that one cost model serves it and ours: WaferLLM's
 * decode kernel (OSDI 2025, section 6; repository, `decode_struct`): one square region, no grouped queries, ten
 * all-reduces one after another, seven matrix products, eight vector operations. It is costed, never run.
 */
import type { Layout, MeshAxis, ProgramTensor, RegionProgram, T } from '../ir/program.ts';
import type { Target } from '../ir/target.ts';
import { costProgram, type CostOptions, type OpCost } from './program.ts';

/** A decoder and the square region that each of its layers ran on, with what was measured. */
export interface PublishedRow {
  readonly model: string;
  readonly layers: number;
  readonly dim: number;
  readonly ffn: number;
  /** Positions of the KV cache. */
  readonly seq: number;
  /** Side of the region, in cores. */
  readonly grid: number;
  /** Groups of the reduction tree. */
  readonly groups: number;
  /** Tokens per second of one sequence, kernels only. */
  readonly tokensPerSecond: number;
  /** The clock that was assumed where cycles became seconds. */
  readonly clockGHz: number;
}

/** Cycles of a token as published. */
export const publishedCycles = ({ clockGHz, tokensPerSecond }: PublishedRow): number =>
  (clockGHz * 1e9) / tokensPerSecond;

const X: readonly MeshAxis[] = ['xo', 'xi'];
const Y: readonly MeshAxis[] = ['y'];

/** Tensors and ops of a layer as they come; f16 throughout, one token. */
class Layer {
  readonly tensors: ProgramTensor[] = [];
  readonly ops: RegionProgram['ops'][number][] = [];

  private tensor(role: ProgramTensor['role'], shape: readonly number[], layout: Layout): T {
    return this.tensors.push({ name: `t${this.tensors.length}`, role, dtype: 'f16', shape, layout }) - 1;
  }

  vector(features: number, axes: readonly MeshAxis[]): T {
    return this.tensor('temp', [1, features], { dims: [[], axes], partial: null });
  }

  /** x, cut along `axes`, times [k, n]; the sum is owed along `axes`. */
  product(node: string, [k, n]: readonly [number, number], axes: readonly MeshAxis[]): void {
    const other = axes === Y ? X : Y;
    const weight = this.tensor('weight', [k, n], { dims: [axes, other], partial: null });
    this.ops.push({ op: 'gemv', x: this.vector(k, axes), weights: [weight], outputs: [this.vector(n, other)], node });
  }

  /** Pays what is owed along `axes`, of rows cut along the other axis (or of a single number). */
  allReduce(node: string, features: number, axes: readonly MeshAxis[]): void {
    const t = this.vector(features, features === 1 ? [] : axes === Y ? X : Y);
    this.ops.push({ op: 'all_reduce', axes, combine: 'sum', dim: -1, inputs: [t], outputs: [t], node });
  }

  norm(node: string, features: number): void {
    const x = this.vector(features, Y);
    this.allReduce(`${node}/sum`, 1, Y);
    this.ops.push({ op: 'rms_apply', x, sums: this.vector(1, []), gamma: null, groups: 1, epsilon: 0, out: x, node });
  }

  unary(node: string, fn: 'exp' | 'scale' | 'silu', features: number): void {
    const x = this.vector(features, X);
    this.ops.push({ op: 'unary', fn, x, value: 1, out: x, node });
  }

  residual(node: string, features: number): void {
    const x = this.vector(features, Y);
    this.ops.push({ op: 'binary', fn: 'add', a: x, b: x, out: x, node });
  }
}

/** The layer's program. Dims are padded to multiples of the region's side, as the benchmark pads them. */
export function publishedLayer({ dim, ffn, seq, grid }: Pick<PublishedRow, 'dim' | 'ffn' | 'seq' | 'grid'>) {
  const [d, f, s] = [dim, ffn, seq].map((n) => Math.ceil(n / grid) * grid);
  const layer = new Layer();
  layer.norm('norm1', d);
  layer.product('qkv', [d, 3 * d], Y);
  layer.allReduce('qkv', 3 * d, Y);
  const q = layer.vector(d, X);
  const angles = layer.vector(d, X);
  layer.ops.push({ op: 'rope', x: q, cos: angles, sin: angles, heads: 1, interleaved: false, out: q, node: 'rope' });
  layer.product('scores', [d, s], X);
  layer.allReduce('scores', s, X);
  layer.allReduce('max', 1, Y);
  layer.unary('exp', 'exp', s);
  layer.allReduce('sum', 1, Y);
  layer.product('values', [s, d], Y);
  layer.unary('divide', 'scale', d);
  layer.allReduce('values', d, Y);
  layer.product('o', [d, d], X);
  layer.allReduce('o', d, X);
  layer.residual('residual1', d);
  layer.norm('norm2', d);
  layer.product('gate', [d, f], Y);
  layer.product('up', [d, f], Y);
  layer.allReduce('gate_up', 2 * f, Y);
  // The kernel's loop runs over the model's width, not over the MLP's.
  layer.unary('silu', 'silu', d);
  layer.product('down', [f, d], X);
  layer.allReduce('down', d, X);
  layer.residual('residual2', d);
  const { tensors, ops } = layer;
  const program: RegionProgram = {
    shape: { width: grid, height: grid, groups: 1 },
    tokens: 1,
    context: s,
    tensors,
    ops,
    inputs: [],
    outputs: [],
    weights: [],
    weightSources: [],
    caches: [],
    results: [],
  };
  return program;
}

/** Costs of the published layer's ops, with the published reduction tree. */
export function costPublished(row: PublishedRow, target: Target, options: CostOptions = {}): OpCost[] {
  return costProgram(publishedLayer(row), target, { treeGroup: Math.ceil(row.grid / row.groups), ...options });
}

/** Where the cycles of a list of ops go. */
export interface Shares {
  readonly cycles: number;
  readonly bound: number;
  /** Wavelets, hops and ramps. */
  readonly communication: number;
  /** Multiplications, unpacking, vector instructions. */
  readonly compute: number;
  /** The fitted overhead. */
  readonly software: number;
  readonly macs: number;
}

const COMMUNICATION = new Set(['wavelets', 'hops', 'ramps']);

export function sharesOf(costs: readonly OpCost[]): Shares {
  let [cycles, bound, communication, software, macs] = [0, 0, 0, 0, 0];
  for (const cost of costs) {
    cycles += cost.cycles;
    bound += cost.bound;
    macs += cost.macs;
    for (const term of cost.terms) {
      if (COMMUNICATION.has(term.what)) communication += term.cycles;
      if (term.what === 'software') software += term.cycles;
    }
  }
  return { cycles, bound, communication, compute: cycles - communication - software, software, macs };
}
