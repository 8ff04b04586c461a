/**
 * inline-branches: an If whose condition is a constant becomes the branch it takes.
 *
 * Before  If ops, as in merged decoder exports (`use_cache_branch`).
 * After   none of them has a constant condition; values the branch captured are the outer ones.
 * Skips   If with a condition known only at run time.
 */
import { editGraph } from '../../src/ir/edit.ts';
import { type Graph, isGraphAttr, type Op } from '../../src/ir/graph.ts';
import type { ValueId } from '../../src/ir/ids.ts';
import { inferTypes } from '../../src/frontend/infer.ts';
import { definePass } from '../../src/pass/pass.ts';
import { readConstant } from '../../src/tensor/read.ts';

export default definePass({
  name: 'inline-branches',
  summary: 'replace If by the branch a constant condition takes',
  requires: [],
  provides: [],
  preserves: [],
  numerics: 'exact',
  options: {},
  run(program, { count }) {
    let { graph } = program;
    for (let op = staticIf(graph); op !== undefined; op = staticIf(graph)) {
      graph = inlineIf(graph, op);
      count('branches inlined');
    }
    return graph === program.graph ? program : { ...program, graph: inferTypes(graph) };
  },
});

const staticIf = (graph: Graph): Op | undefined =>
  graph.ops.find((op) => op.kind === 'If' && graph.constants.has(op.inputs[0] as ValueId));

function inlineIf(graph: Graph, op: Op): Graph {
  const condition = graph.constants.get(op.inputs[0] as ValueId);
  const taken = condition && readConstant(condition).data[0] !== 0 ? op.attrs.then_branch : op.attrs.else_branch;
  if (!isGraphAttr(taken)) throw new Error(`If ${op.origin.node} has no branch graph`);
  const body = taken.graph;
  const edit = editGraph(graph, 'inline-branches');
  const outer = new Map(graph.names.map((name, v) => [name, v as ValueId]));
  const map = new Map<ValueId, ValueId>();
  for (const [inner, name] of body.captures) map.set(inner, outer.get(name) as ValueId);
  for (const [inner, constant] of body.constants) map.set(inner, edit.addConstant(body.names[inner], constant));
  for (const inner of body.ops) {
    const outputs = edit.addOp({
      ...inner,
      inputs: inner.inputs.map((v) => (v === null ? null : (map.get(v) as ValueId))),
      outputs: inner.outputs.map((v) => (v === null ? null : { type: body.types[v], name: body.names[v] })),
    });
    let at = 0;
    for (const v of inner.outputs) if (v !== null) map.set(v, outputs[at++]);
  }
  for (const [i, v] of op.outputs.entries()) {
    if (v === null) continue;
    const to = map.get(body.outputs[i]) as ValueId;
    if (edit.replaceUses(v, to)) continue;
    const [copy] = edit.addOp({
      kind: 'Identity',
      version: op.version,
      inputs: [to],
      outputs: [{ type: graph.types[v], name: graph.names[v] }],
      origin: op.origin,
    });
    edit.replaceUses(v, copy);
  }
  return edit.finish();
}
