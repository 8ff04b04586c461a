/**
 * fuse-activations: an elementwise function of one value, spelled in several ops, becomes the activation it is.
 *
 * Before  x * sigmoid(x), 0.5 * x * (1 + erf(x / sqrt 2)) and their many orders and spellings.
 * After   wafc.silu, Gelu (erf or tanh), wafc.quick_gelu: recognised by running the ops on samples, so no
 *         spelling is special.
 * Skips   functions that are none of these; cones with constants that are not scalars.
 */
import { isConstantAttr, type Op } from '../../src/ir/graph.ts';
import type { OpId, ValueId } from '../../src/ir/ids.ts';
import { conesOf, producersOf, relativeError, runCone, samples } from '../../src/match/cone.ts';
import { runOp } from '../../src/exec/reference.ts';
import { opFor } from '../../src/ops/registry.ts';
import { definePass } from '../../src/pass/pass.ts';
import { tensor } from '../../src/tensor/tensor.ts';

const CANDIDATES = [
  { kind: 'wafc.silu', version: 1, attrs: {} },
  { kind: 'Gelu', version: 20, attrs: { approximate: 'none' } },
  { kind: 'Gelu', version: 20, attrs: { approximate: 'tanh' } },
  { kind: 'wafc.quick_gelu', version: 1, attrs: {} },
] as const;

/** Samples where the functions bend, and far out: a clipped argument shows only there. */
const SAMPLES = [samples(64, 6), samples(64, 60)];

/** The longest spelling known (tanh GELU with casts) has 11 ops. */
const MAX_OPS = 16;

export default definePass({
  name: 'fuse-activations',
  summary: 'recognise SiLU and GELU in elementwise spellings',
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
    const scalarConstants = (op: Op): boolean =>
      op.inputs.every((v) => v === null || (graph.constants.get(v)?.shape.every((n) => n === 1) ?? true)) &&
      !Object.values(op.attrs).some(isConstantAttr);
    const mayEnter = (op: Op): boolean =>
      (opFor(op.kind)?.trait === 'elementwise' || op.kind === 'Cast') && scalarConstants(op);
    for (let at = graph.ops.length - 1; at >= 0; at--) {
      const op = graph.ops[at];
      const end = op.outputs[0] as ValueId;
      if (taken.has(at as OpId) || !mayEnter(op) || !['Mul', 'Div'].includes(op.kind)) continue;
      const { dtype } = graph.types[end];
      const tolerance = dtype === 'f32' ? options.tolerance : 4e-3;
      for (const cone of conesOf(graph, producers, end, mayEnter, MAX_OPS)) {
        if (cone.ops.length < 2 || graph.types[cone.source].dtype !== dtype) continue;
        const inputs = SAMPLES.map((data) => tensor(dtype, [data.length], data));
        const found = inputs.map((x) => runCone(graph, cone, x).data);
        if (found.some((data, i) => data.length !== SAMPLES[i].length)) continue;
        const match = CANDIDATES.find(({ kind, version, attrs }) => {
          const probe = { kind, version, attrs, inputs: [], outputs: [], origin: op.origin };
          return inputs.every((x, i) => relativeError(found[i], runOp(probe, [x])[0].data) <= tolerance);
        });
        if (match === undefined) continue;
        const [fused] = edit.addOp({
          ...match,
          inputs: [cone.source],
          outputs: [{ type: graph.types[end], name: graph.names[end] }],
          origin: op.origin,
        });
        edit.replaceUses(end, fused);
        for (const inner of cone.ops) taken.add(inner);
        count('activations fused');
        break;
      }
    }
    return { ...program, graph: edit.finish() };
  },
});
