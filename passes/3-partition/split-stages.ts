/**
 * split-stages: the token graph as a chain of stages, equal stages sharing one template.
 *
 * Before  a token graph (lift-tokens).
 * After   fact `stages`: host ops, stages in order (embed, layers, head), templates. Repetition is found by
 *         structure, so node names do not matter; a graph that repeats nothing is its own templates.
 * Skips   nothing: a graph without activations is an error.
 */
import { fail } from '../../src/diag/diagnostic.ts';
import type { Graph } from '../../src/ir/graph.ts';
import type { IoRole, Stage, Template } from '../../src/ir/facts.ts';
import type { OpId, ValueId } from '../../src/ir/ids.ts';
import { definePass } from '../../src/pass/pass.ts';
import { findRuns } from '../../src/partition/repeats.ts';
import { type Segment, segmentsOf, splitHost } from '../../src/partition/segments.ts';

export default definePass({
  name: 'split-stages',
  summary: 'cut the model into stages; equal stages share a template',
  requires: [],
  provides: ['stages'],
  preserves: [],
  numerics: 'exact',
  options: {},
  run(program, { count }) {
    const { graph, roles } = program;
    const split = splitHost(graph, (v) => isRole(roles, graph.names[v], 'past'));
    const segments = segmentsOf(graph, split);
    if (segments.length === 0) refuseHostOnly(graph);
    const stages: Stage[] = [];
    const templates: Template[] = [];
    const bySignature = new Map<string, number>();
    for (const group of groupsOf(segments)) {
      const signature = group.map((s) => s.signature).join('\n');
      let template = bySignature.get(signature);
      if (template === undefined) {
        template = templates.length;
        bySignature.set(signature, template);
        templates.push({ name: templateName(group, stages.length, templates), exemplar: stages.length });
      }
      stages.push(
        stageOf(
          graph,
          group.flatMap((s) => s.ops),
          template,
          `s${stages.length}`,
        ),
      );
    }
    count('stages', stages.length);
    count('templates', templates.length);
    return { ...program, stages: { host: [...split.before, ...split.after], stages, templates } };
  },
});

/** A graph of host arithmetic alone; the op that makes its first output is named. */
function refuseHostOnly(graph: Graph): never {
  const last = graph.ops.find((op) => op.outputs.includes(graph.outputs[0]));
  fail({
    code: 'map/no-stages',
    message: `${graph.name} has nothing to place: no op multiplies, normalises or attends to activations`,
    ...(last === undefined ? {} : { node: last.origin.node }),
    notes: ['models that work have linear layers, norms or attention over token embeddings or fed features'],
  });
}

const isRole = (roles: ReadonlyMap<string, IoRole>, name: string, kind: IoRole['kind']): boolean =>
  roles.get(name)?.kind === kind;

/** Segments of one stage each: the repetitions of a run, or what stands between runs, cut before each attention. */
function groupsOf(segments: readonly Segment[]): Segment[][] {
  const groups: Segment[][] = [];
  for (const { start, period, count } of findRuns(segments.map((s) => s.signature))) {
    if (count > 1) {
      for (let i = 0; i < count; i++) groups.push(segments.slice(start + i * period, start + (i + 1) * period));
      continue;
    }
    let open: Segment[] = [];
    for (const segment of segments.slice(start, start + period)) {
      if (segment.hasAttention && open.length > 0) {
        groups.push(open);
        open = [];
      }
      open.push(segment);
    }
    if (open.length > 0) groups.push(open);
  }
  return groups;
}

function templateName(group: readonly Segment[], at: number, taken: readonly Template[]): string {
  const wish = group.some((s) => s.hasAttention) ? 'layer' : at === 0 ? 'embed' : 'head';
  const same = taken.filter((t) => t.name === wish || t.name.startsWith(`${wish}.`)).length;
  return same === 0 ? wish : `${wish}.${same + 1}`;
}

function stageOf(graph: Graph, ops: readonly OpId[], template: number, name: string): Stage {
  const made = new Set(ops.flatMap((at) => graph.ops[at].outputs));
  const own = new Set(ops);
  const inputs = new Set<ValueId>();
  const weights = new Set<ValueId>();
  for (const at of ops) {
    for (const v of graph.ops[at].inputs) {
      if (v === null || made.has(v)) continue;
      if (!graph.constants.has(v)) inputs.add(v);
      else if (graph.types[v].shape.length > 0) weights.add(v); // scalars are part of the program
    }
  }
  const readElsewhere = new Set<ValueId | null>(graph.outputs);
  for (const [i, op] of graph.ops.entries()) if (!own.has(i as OpId)) for (const v of op.inputs) readElsewhere.add(v);
  const outputs = ops
    .flatMap((at) => graph.ops[at].outputs)
    .filter((v): v is ValueId => v !== null && readElsewhere.has(v));
  return { name, template, ops, inputs: [...inputs], outputs, weights: [...weights] };
}
