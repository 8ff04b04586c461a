/**
 * Region programs: what one core does, written once for all cores of a region (SPMD). Tensors carry a layout
 * over the region's mesh axes; collectives are ops. A program describes one *step*: `tokens` tokens enter,
 * the same number leave. A decoder streams (1 token a step, the KV cache stays); an encoder takes all at once.
 */
import type { Coding } from './coding.ts';
import type { Density, Sparsity } from './sparsity.ts';
import type { DType } from './types.ts';

/**
 * Axes of a region of `width x height` cores. Columns are factored as x = xo * inner + xi (`groups` = number of
 * xo) so that a head, or a group of heads that share K and V, can own `inner` adjacent columns. Both together
 * print as `x`.
 */
export type MeshAxis = 'y' | 'xo' | 'xi';
export interface RegionShape {
  readonly width: number;
  readonly height: number;
  /** Divides width. */
  readonly groups: number;
}

/** How owed contributions meet. `softmax` merges (m, l, o) triples, `moments` merges (n, mean, M2) triples. */
export type Combine = 'sum' | 'max' | 'softmax' | 'moments';

/**
 * Where the elements of a tensor are. Dim d of extent n is cut by the axes `dims[d]`, outermost first: each
 * axis of p cores cuts the range it is given into p consecutive parts, part i = [floor(i*n/p), floor((i+1)*n/p)).
 * An axis in no dim and not in `partial` holds a replica.
 */
export interface Layout {
  readonly dims: readonly (readonly MeshAxis[])[];
  /** A combination still owed over these axes, or null. */
  readonly partial: { readonly combine: Combine; readonly axes: readonly MeshAxis[] } | null;
  /** Dim 0 is dealt round-robin: row p is on core p mod n of its axes (KV positions). */
  readonly cyclic?: true;
  readonly woven?: Woven;
}

/**
 * A dim whose elements stand in another order than the model has them: it is `runs` equal runs of `lanes` equal lanes, and
 * element f of lane l of a run stands at place f * lanes + l of the run. Axes cut between those groups of `lanes` places:
 * what stands at one place of its lane in every lane of a run is on one core. (Halves of a rotated head; queries of one
 * KV head, which then meet the same features of its keys.)
 */
export interface Woven {
  readonly dim: number;
  readonly runs: number;
  readonly lanes: number;
}

export type TensorRole = 'weight' | 'state' | 'input' | 'temp' | 'output';

export interface ProgramTensor {
  readonly name: string;
  readonly role: TensorRole;
  /** Element type in SRAM; of a coded weight, the type of its codes. */
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly layout: Layout;
  /** Of a quantized weight only. */
  readonly coding?: Coding;
  /** Of a weight whose tiles are stored without their zeros. */
  readonly sparsity?: Sparsity;
  /** Of a weight full of zeros while regions are searched: takes the place of `sparsity`, and is never in a plan. */
  readonly density?: Density;
}

/** Index into RegionProgram.tensors. */
export type T = number;

export type UnaryFn =
  | 'relu'
  | 'sigmoid'
  | 'silu'
  | 'tanh'
  | 'gelu'
  | 'gelu_tanh'
  | 'gelu_quick'
  | 'neg'
  | 'exp'
  | 'sqrt'
  | 'reciprocal'
  | 'erf'
  | 'softplus'
  | 'abs'
  | 'leaky_relu'
  | 'scale'
  | 'shift'
  | 'pow';
/** `round8`: clip(rne(a / b), -128, 127) * b; 0 where b is. */
export type BinaryFn = 'add' | 'sub' | 'mul' | 'div' | 'max' | 'min' | 'round8';

/** Compute on local tiles: no wavelet leaves the core. Inputs name their meaning; shapes follow the layouts. */
export type ComputeOp =
  /** out[t, :] = table[index[t], :] on the core that owns the row, zero elsewhere (owed: sum). */
  | { readonly op: 'embed'; readonly table: T; readonly index: T; readonly out: T }
  /**
   * outputs[i] = x . weights[i] over the core's share of K (owed: sum over K's axis). Weights that multiply one activation
   * with the same cut of K are one matrix with their columns side by side: one product.
   */
  | { readonly op: 'gemv'; readonly x: T; readonly weights: readonly T[]; readonly outputs: readonly T[] }
  /** `value` is the constant of scale, shift, pow and leaky_relu. */
  | { readonly op: 'unary'; readonly fn: UnaryFn; readonly x: T; readonly value: number; readonly out: T }
  /** Operands have equal layouts; an operand of one row is used for every token. */
  | { readonly op: 'binary'; readonly fn: BinaryFn; readonly a: T; readonly b: T; readonly out: T }
  /** out[t] = largest |x| of the local features (owed: max). */
  | { readonly op: 'abs_max'; readonly x: T; readonly out: T }
  /** out[t, g] = sum of squares of group g's local features. */
  | { readonly op: 'sum_squares'; readonly x: T; readonly groups: number; readonly out: T }
  /** out[t, g, 3] = (count, mean, M2) of group g's local features. */
  | { readonly op: 'moments'; readonly x: T; readonly groups: number; readonly out: T }
  /** x * rsqrt(sums/n + epsilon) * gamma, n = features a group has over all cores. */
  | {
      readonly op: 'rms_apply';
      readonly x: T;
      readonly sums: T;
      readonly gamma: T | null;
      readonly groups: number;
      readonly epsilon: number;
      readonly out: T;
    }
  /**
   * outputs[i] = inputs[i] * rsqrt(sums/n + epsilon): a deferred RMS norm, n = features that were squared. Products of one
   * activation lie side by side in SRAM: one vector operation scales them all.
   */
  | {
      readonly op: 'rms_scale';
      readonly inputs: readonly T[];
      readonly sums: T;
      readonly features: number;
      readonly epsilon: number;
      readonly outputs: readonly T[];
    }
  | {
      readonly op: 'layer_apply';
      readonly x: T;
      readonly moments: T;
      readonly gamma: T | null;
      readonly beta: T | null;
      readonly groups: number;
      readonly epsilon: number;
      readonly out: T;
    }
  | {
      readonly op: 'rope';
      readonly x: T;
      readonly cos: T;
      readonly sin: T;
      readonly heads: number;
      readonly interleaved: boolean;
      readonly out: T;
    }
  /**
   * Writes the step's rows at positions past.. into the cyclic state, on the cores that own them. With scales, one a feature, a state of i8 gets
   * codes: clip(rne(x / scale), -128, 127).
   */
  | { readonly op: 'append'; readonly x: T; readonly state: T; readonly scales?: T }
  /**
   * Scores, exponentials and weighted values of the core's own positions: (m, l) [tokens, heads, 2] and o, owed: softmax. With scales, one a
   * feature, keys and values are codes: queries are scaled before the products, weighted values after.
   */
  | {
      readonly op: 'attend';
      readonly q: T;
      readonly keys: T;
      readonly values: T;
      readonly mask: T | null;
      readonly keyScales?: T;
      readonly valueScales?: T;
      readonly heads: number;
      readonly kvHeads: number;
      readonly scale: number;
      readonly causal: boolean;
      readonly window: number;
      readonly softcap: number;
      readonly stats: T;
      readonly out: T;
    }
  /** out[p, h * tokens + t] = q[t, head h] . keys[p] over the core's positions p and features (owed: sum over the cores of a head). */
  | {
      readonly op: 'scores';
      readonly q: T;
      readonly keys: T;
      readonly keyScales?: T;
      readonly heads: number;
      readonly kvHeads: number;
      readonly out: T;
    }
  /** What `attend` does once the scores are there: exponentials and weighted values of the core's own positions and features. */
  | {
      readonly op: 'mix';
      readonly scores: T;
      readonly values: T;
      readonly mask: T | null;
      readonly valueScales?: T;
      readonly heads: number;
      readonly kvHeads: number;
      readonly scale: number;
      readonly causal: boolean;
      readonly window: number;
      readonly softcap: number;
      readonly stats: T;
      readonly out: T;
    }
  /** o / l once the merge is done; zero where l is zero. */
  | { readonly op: 'softmax_finish'; readonly o: T; readonly stats: T; readonly heads: number; readonly out: T }
  /** Keeps the core's own part of a replica: no communication. */
  | { readonly op: 'shard'; readonly x: T; readonly out: T }
  /** Features start <= f < end of every token. */
  | { readonly op: 'slice'; readonly x: T; readonly start: number; readonly end: number; readonly out: T }
  /** Feature indices[i] of every token; the features are whole on every core. */
  | { readonly op: 'select'; readonly x: T; readonly indices: readonly number[]; readonly out: T }
  /** Features of the parts one after another; whole on every core. */
  | { readonly op: 'concat'; readonly parts: readonly T[]; readonly out: T }
  /** One token of a step: index from the start, or negative from the end. */
  | { readonly op: 'token'; readonly x: T; readonly index: number; readonly out: T };

/** `tensors` travel together in one message: what is ready at the same time shares one latency. */
export interface CollectiveOp {
  readonly op: 'all_reduce' | 'reduce_scatter' | 'all_gather';
  readonly axes: readonly MeshAxis[];
  /** all_reduce and reduce_scatter only. */
  readonly combine: Combine | null;
  /** The tensor dim that is scattered or gathered; -1 for all_reduce. */
  readonly dim: number;
  readonly inputs: readonly T[];
  readonly outputs: readonly T[];
}

export type ProgramOp = (ComputeOp | CollectiveOp) & { /** ONNX node. */ readonly node: string };

/** How a stage input reaches a step: an activation of the stage before, or one of the host's values. */
export interface StepInput {
  readonly tensor: T;
  /** activation [tokens, F]; index [tokens] integers; row [tokens, R]; mask [tokens], 0 = position not attended. */
  readonly kind: 'activation' | 'index' | 'row' | 'mask';
}

/** Keys or values that stay on the cores: state [context, heads * width], row = position. */
export interface Cache {
  readonly state: T;
  readonly heads: number;
  readonly width: number;
  /** Weight with the scale of every feature, where the state holds codes. */
  readonly scales?: T;
  /** Position of the model's past among the stage's inputs, and of its present among the outputs; -1 = none. */
  readonly past: number;
  readonly present: number;
}

export interface RegionProgram {
  readonly shape: RegionShape;
  /** Tokens of one step. */
  readonly tokens: number;
  /** Positions of KV state per sequence (the context), 0 where there is none. */
  readonly context: number;
  readonly tensors: readonly ProgramTensor[];
  readonly ops: readonly ProgramOp[];
  /** As in Stage.inputs; null for a past (see caches). */
  readonly inputs: readonly (StepInput | null)[];
  /** As in Stage.outputs; null for a present (see caches). */
  readonly outputs: readonly (T | null)[];
  /** Weight tensors in the order of weights.bin, and which of Stage.weights each one holds: one may be held in two layouts. */
  readonly weights: readonly T[];
  readonly weightSources: readonly number[];
  readonly caches: readonly Cache[];
  /** First outputs of the stage's graph ops, in order: what verify compares op by op; null where no tensor holds it (a deferred norm). */
  readonly results: readonly (T | null)[];
}

export const isCollective = (op: ProgramOp): op is CollectiveOp & { readonly node: string } =>
  op.op === 'all_reduce' || op.op === 'reduce_scatter' || op.op === 'all_gather';

export const axisSize = (shape: RegionShape, axis: MeshAxis): number =>
  axis === 'y' ? shape.height : axis === 'xo' ? shape.groups : shape.width / shape.groups;

/** Axes spanned together print as one: `x` for xo and xi. */
const printAxes = (axes: readonly MeshAxis[]): string => axes.join('').replace('xoxi', 'x') || 'rep';

/** GSPMD-like text: `f16[1,4096]{1@y, rep x}`, `f32[1,64]{1@x, partial(sum)@y}`, `f16[1,64]{1@x~2x4}` woven from 2 runs of 4 lanes. */
export function printLayout({ dtype, shape, layout }: Pick<ProgramTensor, 'dtype' | 'shape' | 'layout'>): string {
  const woven = (d: number): string => (layout.woven?.dim === d ? `~${layout.woven.runs}x${layout.woven.lanes}` : '');
  const parts = layout.dims.flatMap((axes, d) =>
    axes.length === 0 ? [] : [`${d}@${printAxes(axes)}${layout.cyclic && d === 0 ? '%' : ''}${woven(d)}`],
  );
  if (layout.partial) parts.push(`partial(${layout.partial.combine})@${printAxes(layout.partial.axes)}`);
  const used = new Set([...layout.dims.flat(), ...(layout.partial?.axes ?? [])]);
  const idle = (['xo', 'xi', 'y'] as const).filter((a) => !used.has(a));
  if (idle.length > 0) parts.push(`rep ${printAxes(idle)}`);
  return `${dtype}[${shape.join(',')}]{${parts.join(', ')}}`;
}
