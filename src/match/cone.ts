/**
 * Cones: the ops between a value and the one value it is a function of. Exporters spell SiLU, GELU or RMSNorm in
 * many ways; instead of matching spellings, a cone is run on samples and compared with the function it may be.
 */
import type { Graph, Op } from '../ir/graph.ts';
import type { OpId, ValueId } from '../ir/ids.ts';
import { runOp } from '../exec/reference.ts';
import { readConstant } from '../tensor/read.ts';
import type { Tensor } from '../tensor/tensor.ts';

export interface Cone {
  /** The one value that is not a constant. */
  readonly source: ValueId;
  /** In topological order; the last one makes the cone's value. */
  readonly ops: readonly OpId[];
}

/**
 * Every cone that ends in `value`, smallest first: the frontier is widened from the latest value backwards, and
 * each time it is one value, that value dominates the end.
 */
export function conesOf(
  graph: Graph,
  producers: ReadonlyMap<ValueId, OpId>,
  value: ValueId,
  mayEnter: (op: Op) => boolean,
  maxOps: number,
): Cone[] {
  const cones: Cone[] = [];
  const inside: OpId[] = [];
  const frontier = new Set<ValueId>([value]);
  while (inside.length < maxOps) {
    let latest: OpId | undefined;
    for (const v of frontier) {
      const op = producers.get(v);
      if (op !== undefined && (latest === undefined || op > latest)) latest = op;
    }
    if (latest === undefined) break;
    const op = graph.ops[latest];
    if (!mayEnter(op)) break;
    inside.push(latest);
    for (const v of op.outputs) if (v !== null) frontier.delete(v);
    for (const v of op.inputs) if (v !== null && !graph.constants.has(v)) frontier.add(v);
    if (frontier.size === 0) break;
    if (frontier.size === 1) cones.push({ source: [...frontier][0], ops: [...inside].sort((a, b) => a - b) });
  }
  return cones;
}

/** The cone's value for one source value; `instead` gives other contents to constants, so that weights need not be read. */
export function runCone(
  graph: Graph,
  cone: Cone,
  source: Tensor,
  instead: ReadonlyMap<ValueId, Tensor> = new Map(),
): Tensor {
  const known = new Map<ValueId, Tensor>([...instead, [cone.source, source]]);
  let last = source;
  for (const at of cone.ops) {
    const op = graph.ops[at];
    const inputs = op.inputs.map((v) => {
      if (v === null) return undefined;
      const constant = graph.constants.get(v);
      return known.get(v) ?? (constant && readConstant(constant));
    });
    const results = runOp(op, inputs);
    for (const [i, v] of op.outputs.entries()) if (v !== null) known.set(v, results[i]);
    [last] = results;
  }
  return last;
}

export const producersOf = (graph: Graph): Map<ValueId, OpId> => {
  const producers = new Map<ValueId, OpId>();
  for (const [i, op] of graph.ops.entries()) for (const v of op.outputs) if (v !== null) producers.set(v, i as OpId);
  return producers;
};

/** Samples spread over [-range, range], irregular so that no symmetry hides a difference; f32-exact. */
export function samples(count: number, range: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => {
    const golden = (i * 0.618033988749895) % 1;
    return (2 * golden - 1) * range;
  });
}

/** Largest difference relative to the larger of |b| and the RMS of b; infinite where one of them is no number. */
export function relativeError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let squares = 0;
  for (let i = 0; i < b.length; i++) squares += b[i] * b[i];
  const rms = Math.sqrt(squares / Math.max(1, b.length)) || 1;
  let worst = 0;
  for (let i = 0; i < b.length; i++) {
    const error = Math.abs(a[i] - b[i]) / Math.max(Math.abs(b[i]), rms);
    if (Number.isNaN(error)) return Number.POSITIVE_INFINITY;
    if (error > worst) worst = error;
  }
  return worst;
}
