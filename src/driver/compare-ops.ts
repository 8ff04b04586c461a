/** The placed model against the token graph, op by op, with the bound that rounding explains. */
import { type Agreement, Comparison, ErrorBound } from '../exec/compare.ts';
import type { PlacedModel, PlacedPlan } from '../exec/placed/model.ts';
import { runGraph } from '../exec/reference.ts';
import type { Graph } from '../ir/graph.ts';
import type { Plan } from '../plan/types.ts';
import type { OpDifference } from '../report/verify-result.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** Runs the placed model, and compares every op's gathered result with the token graph's value for the same tokens. */
export function compareOps(
  plan: Plan,
  placed: PlacedModel,
  tokens: Graph,
  feeds: ReadonlyMap<string, Tensor>,
): OpDifference[] {
  const wanted = new Map<string, Tensor>();
  // Of this stage's own layer: nodes of a template are those of its first instance.
  const nodes = new Map<string, string>();
  runGraph(tokens, feeds, {
    observe(op, results) {
      for (const [i, v] of op.outputs.entries()) {
        const value = results[i];
        if (v !== null && value !== undefined) {
          wanted.set(tokens.names[v], value);
          nodes.set(tokens.names[v], op.origin.node);
        }
      }
    },
  });
  const bounds = boundsOf(plan);
  const found = new Map<
    string,
    { readonly of: Omit<OpDifference, keyof Agreement>; readonly comparison: Comparison }
  >();
  const step = new Map<string, number>();
  const names = new Map(plan.stages.map((s) => [s.name, s]));
  placed.call(feeds, {
    observe(stageName, opIndex, t, value) {
      const stage = names.get(stageName);
      if (stage === undefined) return;
      const { program } = plan.templates[stage.template];
      const at = program.results.indexOf(t);
      const expected = at < 0 ? undefined : wanted.get(stage.values[at]);
      if (expected === undefined) return;
      const piece = value();
      const [rows, width] = piece.shape;
      const key = `${stageName}/${at}`;
      const from = step.get(key) ?? 0;
      // A value that all sequences of a batch share comes again for each of them.
      step.set(key, (from + rows) % (expected.data.length / width));
      const slice = {
        ...expected,
        shape: [rows, width],
        data: expected.data.subarray(from * width, (from + rows) * width),
      };
      const known = found.get(key) ?? {
        of: {
          stage: stageName,
          node: nodes.get(stage.values[at]) ?? program.ops[opIndex].node,
          bound: bounds.get(key) ?? 0,
        },
        comparison: new Comparison(),
      };
      known.comparison.add(piece, slice);
      found.set(key, known);
    },
  });
  return [...found.values()].map(({ of, comparison }) => {
    const { maxAbs, maxRel, cosine, sqnrDb } = comparison.result();
    return { ...of, maxAbs, maxRel, cosine, sqnrDb };
  });
}

/** What outputs may differ by: no less than what a few roundings do. */
export const outputBound = (plan: PlacedPlan): number => Math.max(...boundsOf(plan).values(), 1e-5);

/** Bounds by `stage/result`, growing along the model. */
function boundsOf(plan: PlacedPlan): Map<string, number> {
  const bound = new ErrorBound();
  const out = new Map<string, number>();
  const narrow = narrowest(plan);
  for (const stage of plan.stages) {
    const { program } = plan.templates[stage.template];
    for (const op of program.ops) {
      if (op.op === 'gemv') bound.add(program.tensors[op.x].shape[1]);
      if (op.op === 'attend') bound.add(program.tensors[op.q].shape[1] / op.heads + Math.min(plan.mode.context, 64));
      if (op.op === 'scores') bound.add(program.tensors[op.q].shape[1] / op.heads);
      if (op.op === 'mix') bound.add(Math.min(plan.mode.context, 64));
      if (op.op === 'sum_squares' || op.op === 'moments') bound.add(program.tensors[op.x].shape[1]);
      const made = 'outputs' in op ? op.outputs : 'out' in op ? [op.out] : [];
      for (const t of made) {
        const at = program.results.indexOf(t);
        if (at >= 0) out.set(`${stage.name}/${at}`, bound.bound(narrow));
      }
    }
  }
  return out;
}

/** The narrowest type that values of the plan are stored in. */
export function narrowest(plan: Pick<PlacedPlan, 'templates'>): 'f32' | 'f16' | 'bf16' | 'other' {
  const types = new Set(
    plan.templates.flatMap(({ program }) =>
      program.tensors
        .filter((t) => t.role !== 'input' && (t.dtype !== 'u8' || t.coding !== undefined))
        // Codes of weights are decoded exactly: what rounds is the type of their values. A key, value or activation near the middle of two
        // codes can become either, which is as much as f16 is allowed.
        .map(({ coding, dtype, role }) => coding?.rounded ?? (role === 'state' && dtype === 'i8' ? 'f16' : dtype)),
    ),
  );
  if (types.has('bf16')) return 'bf16';
  const rounds = plan.templates.some(({ program }) =>
    program.ops.some((op) => op.op === 'binary' && op.fn === 'round8'),
  );
  if (rounds && !types.has('f16')) return 'f16';
  if (types.has('f16')) return 'f16';
  return [...types].every((t) => t === 'f32' || t === 'i32') ? 'f32' : 'other';
}
