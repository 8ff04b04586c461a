/**
 * fuse-norms: RMSNorm and LayerNorm over the last axis, spelled in primitive ops, become one op.
 *
 * Before  x / sqrt(mean(x^2) + eps) * gain, and (x - mean) / sqrt(var + eps) * gain + bias, in any spelling,
 *         with or without casts to f32 inside.
 * After   wafc.rmsnorm or wafc.layernorm with the same constants; proved by running both on samples.
 * Skips   means over other axes; norms whose epsilon is not a constant scalar.
 */
import { elementCount } from '../../src/ir/constant.ts';
import type { Graph, Op } from '../../src/ir/graph.ts';
import type { OpId, ValueId } from '../../src/ir/ids.ts';
import { type Cone, conesOf, producersOf, relativeError, runCone, samples } from '../../src/match/cone.ts';
import { runOp } from '../../src/exec/reference.ts';
import { opFor } from '../../src/ops/registry.ts';
import { definePass } from '../../src/pass/pass.ts';
import { roundTo } from '../../src/tensor/pack.ts';
import { readConstant } from '../../src/tensor/read.ts';
import { type Tensor, tensor } from '../../src/tensor/tensor.ts';

const MAX_OPS = 16;
/** Epsilons in use lie between 1e-12 and 1e-3. */
const MAX_EPSILON = 1e-2;

interface Norm {
  readonly kind: 'wafc.rmsnorm' | 'wafc.layernorm';
  readonly vectors: readonly ValueId[];
  readonly epsilon: number;
}

export default definePass({
  name: 'fuse-norms',
  summary: 'recognise RMSNorm and LayerNorm in primitive spellings',
  requires: [],
  provides: [],
  preserves: [],
  numerics: 'reassociates',
  options: { tolerance: 1e-5 },
  run(program, { options, edit: begin, count }) {
    const { graph } = program;
    const edit = begin(graph);
    const producers = producersOf(graph);
    const taken = new Set<OpId>();
    const mayEnter = (op: Op): boolean => {
      if (op.kind === 'ReduceMean' || op.kind === 'Cast') return true;
      return (
        opFor(op.kind)?.trait === 'elementwise' &&
        op.inputs.every((v) => v === null || (graph.constants.get(v)?.shape.length ?? 0) <= 1 || isRow(graph, v))
      );
    };
    for (let at = graph.ops.length - 1; at >= 0; at--) {
      const op = graph.ops[at];
      const end = op.outputs[0] as ValueId;
      if (taken.has(at as OpId) || !['Mul', 'Div', 'Add', 'Cast'].includes(op.kind)) continue;
      // Largest first: inside a layer norm stands the RMS norm of what is centred.
      const found = conesOf(graph, producers, end, mayEnter, MAX_OPS)
        .toSorted((a, b) => b.ops.length - a.ops.length)
        .filter((cone) => cone.ops.some((i) => graph.ops[i].kind === 'ReduceMean'))
        .map((cone) => ({ cone, norm: normOf(graph, cone, end, options.tolerance) }))
        .find(({ norm }) => norm !== undefined);
      if (found?.norm === undefined) continue;
      const { kind, vectors, epsilon } = found.norm;
      const [fused] = edit.addOp({
        kind,
        version: 1,
        inputs: [found.cone.source, ...vectors],
        attrs: { epsilon, groups: 1 },
        outputs: [{ type: graph.types[end], name: graph.names[end] }],
        origin: op.origin,
      });
      edit.replaceUses(end, fused);
      for (const inner of found.cone.ops) taken.add(inner);
      count('norms fused');
    }
    return { ...program, graph: edit.finish() };
  },
});

/** A constant [1, .., 1, F]. */
const isRow = (graph: Graph, v: ValueId): boolean => {
  const shape = graph.constants.get(v)?.shape;
  return shape !== undefined && elementCount(shape) === (shape.at(-1) ?? 1);
};

/** The norm that the cone computes, proved on samples; undefined when it is none. */
function normOf(graph: Graph, cone: Cone, end: ValueId, tolerance: number): Norm | undefined {
  const features = graph.types[cone.source].shape.at(-1);
  const type = graph.types[end];
  if (typeof features !== 'number' || graph.types[cone.source].dtype !== type.dtype) return undefined;
  const constants = [...new Set(cone.ops.flatMap((i) => graph.ops[i].inputs))].filter(
    (v): v is ValueId => v !== null && graph.constants.has(v),
  );
  const sizes = constants.map((v) => elementCount(graph.constants.get(v)?.shape ?? []));
  const epsilons = constants
    .filter((_, i) => sizes[i] === 1)
    .map((v) => readScalar(graph, v))
    .filter((x) => x > 0 && x <= MAX_EPSILON);
  const vectors = constants.filter((_, i) => sizes[i] === features && features > 1);
  if (vectors.length > 2) return undefined;
  const tol = type.dtype === 'f32' ? tolerance : 1e-2;
  const rank = graph.types[cone.source].shape.length;
  // Two scales: at the small one epsilon decides, so a wrong one cannot pass.
  const inputs = [1, 1e-3].map((range) =>
    tensor(
      type.dtype,
      [...new Array<number>(rank - 1).fill(1), features],
      samples(features, range).map((v) => v + range / 4),
    ),
  );
  // Gains of the proof's own: what is proved holds for any, and the weights need not be there.
  const gains = new Map(vectors.map((v, i): [ValueId, Tensor] => [v, gainSample(graph, v, i)]));
  const wanted = inputs.map((x) => runCone(graph, cone, x, gains));
  if (wanted.some((w) => w.data.length !== features)) return undefined;
  const orders = vectors.length === 2 ? [vectors, [vectors[1], vectors[0]]] : [vectors];
  for (const epsilon of epsilons) {
    for (const kind of ['wafc.rmsnorm', 'wafc.layernorm'] as const) {
      for (const order of orders) {
        if (kind === 'wafc.rmsnorm' && order.length > 1) continue;
        const op = {
          kind,
          version: 1,
          attrs: { epsilon, groups: 1 },
          inputs: [],
          outputs: [],
          origin: { node: '', by: [] },
        };
        const rows = order.map((v): Tensor => ({ ...(gains.get(v) ?? never()), shape: [features] }));
        if (inputs.every((x, i) => relativeError(runOp(op, [x, ...rows])[0].data, wanted[i].data) <= tol))
          return { kind, vectors: order, epsilon };
      }
    }
  }
  return undefined;
}

/** Numbers around 1, different for each vector. */
function gainSample(graph: Graph, v: ValueId, index: number): Tensor {
  const { dtype, shape } = graph.constants.get(v) ?? never();
  const values = samples(elementCount(shape), 0.5).map((x) => 1 + x * (index + 1));
  return tensor(dtype, shape, dtype === 'f32' ? values : roundTo(dtype, values));
}

const readScalar = (graph: Graph, v: ValueId): number => readConstant(graph.constants.get(v) ?? never()).data[0];
const never = (): never => {
  throw new Error('a constant has no contents');
};
