/**
 * prune-depth: layers that change the residual stream least are taken out.
 *
 * Before  fact `stages`, and calibration windows.
 * After   `layers` layers less: what came in goes out; their caches are gone from inputs and outputs.
 * Skips   stages with more than one activation in or out; what is no repetition and attends to nothing (embedding, head).
 *
 * A layer's influence is 1 - cos(what comes in, what goes out), the mean over all tokens (ShortGPT's block influence). All are measured in one run
 * of the dense model, and the least go together.
 */
import { fail } from '../../src/diag/diagnostic.ts';
import { evaluate } from '../../src/exec/reference.ts';
import { sequenceFeeds } from '../../src/eval/sequence.ts';
import { inferTypes } from '../../src/frontend/infer.ts';
import type { IoRole, Program, Stage, Stages } from '../../src/ir/facts.ts';
import type { Graph } from '../../src/ir/graph.ts';
import type { ValueId } from '../../src/ir/ids.ts';
import { equalTypes } from '../../src/ir/types.ts';
import { definePass } from '../../src/pass/pass.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';

export default definePass({
  name: 'prune-depth',
  summary: 'take layers out that change the residual stream least',
  requires: ['stages'],
  provides: [],
  preserves: [],
  numerics: 'lossy',
  options: { layers: 1 },
  run(program, { options, edit: begin, count, report }) {
    const { graph, stages, calibration, roles } = program;
    const layers = layersOf(graph, stages);
    if (calibration === undefined)
      return fail({
        code: 'compress/no-calibration',
        message: 'taking layers out needs inputs to look at',
        notes: ['give a text with --calib'],
      });
    if (options.layers >= layers.length)
      fail({
        code: 'compress/unsupported',
        message: `${options.layers} of ${layers.length} layers cannot be taken out: at least one stays`,
        notes: [`--prune depth:1 up to depth:${Math.max(1, layers.length - 1)}`],
      });
    const influence = influencesOf(program, layers, calibration);
    const gone = [...layers.keys()]
      .sort((a, b) => influence[a] - influence[b] || a - b)
      .slice(0, options.layers)
      .sort((a, b) => a - b);
    const edit = begin(graph);
    // From the last on: a layer's input may be the output of another one that goes.
    for (const l of gone.toReversed()) edit.replaceUses(layers[l].output, layers[l].input);
    const lost = new Set(gone.flatMap((l) => layers[l].stage.outputs));
    edit.setOutputs(graph.outputs.filter((v) => !lost.has(v)));
    dropPasts(
      edit,
      program,
      gone.map((l) => layers[l].stage),
    );
    count('layers', layers.length);
    count('taken out', gone.length);
    report({
      code: 'compress/depth',
      severity: 'remark',
      message: `layers ${gone.join(', ')} of ${layers.length} are taken out; block influence ${gone.map((l) => influence[l].toFixed(4)).join(', ')}, of those that stay at least ${Math.min(...layers.flatMap((_, l) => (gone.includes(l) ? [] : [influence[l]]))).toFixed(4)}`,
    });
    const shorter = inferTypes(edit.finish());
    return { ...program, graph: shorter, roles: rolesLeft(roles, shorter) };
  },
});

interface Layer {
  readonly stage: Stage;
  readonly input: ValueId;
  readonly output: ValueId;
}

/** Stages that hand on what they are handed, changed. */
function layersOf(graph: Graph, { stages }: Stages): Layer[] {
  const given = new Set<ValueId>();
  const found: Layer[] = [];
  for (const stage of stages) {
    const inputs = stage.inputs.filter((v) => given.has(v));
    const outputs = stage.outputs.filter((v) => !graph.outputs.includes(v));
    for (const v of stage.outputs) given.add(v);
    const attends = stage.ops.some((at) => graph.ops[at].kind === 'wafc.attention');
    const repeats = stages.filter(({ template }) => template === stage.template).length > 1;
    if (inputs.length !== 1 || outputs.length !== 1 || !(attends || repeats)) continue;
    if (equalTypes(graph.types[inputs[0]], graph.types[outputs[0]]))
      found.push({ stage, input: inputs[0], output: outputs[0] });
  }
  return found;
}

/** 1 - mean cosine of what comes in and what goes out, by layer. */
function influencesOf(program: Program, layers: readonly Layer[], windows: readonly Int32Array[]): number[] {
  const { graph } = program;
  const values = [...new Set(layers.flatMap(({ input, output }) => [input, output]))];
  const sums = layers.map(() => 0);
  let tokens = 0;
  for (const ids of windows) {
    const found = new Map(evaluate(graph, values, sequenceFeeds(program, ids)).map((t, i) => [values[i], t]));
    for (const [l, { input, output }] of layers.entries()) {
      const [x, y] = [found.get(input), found.get(output)];
      if (x !== undefined && y !== undefined) sums[l] += cosines(x, y);
    }
    tokens += ids.length;
  }
  return sums.map((sum) => 1 - sum / tokens);
}

/** Sum over tokens. */
function cosines({ data: x, shape }: Tensor, { data: y }: Tensor): number {
  const width = shape[shape.length - 1];
  let sum = 0;
  for (let at = 0; at < x.length; at += width) {
    let [xy, xx, yy] = [0, 0, 0];
    for (let i = at; i < at + width; i++) {
      const [a, b] = [Number(x[i]), Number(y[i])];
      xy += a * b;
      xx += a * a;
      yy += b * b;
    }
    sum += xx * yy === 0 ? 1 : xy / Math.sqrt(xx * yy);
  }
  return sum;
}

/** Pasts of layers that are gone leave the inputs; what the host reads off their shapes it reads off another's. */
function dropPasts(
  edit: { replaceUses(from: ValueId, to: ValueId): boolean; setInputs(values: readonly ValueId[]): void },
  { graph, roles }: Program,
  gone: readonly Stage[],
): void {
  const isPast = (v: ValueId): boolean => roles.get(graph.names[v])?.kind === 'past';
  const lost = new Set(gone.flatMap(({ inputs }) => inputs.filter(isPast)));
  const left = graph.inputs.filter((v) => !lost.has(v));
  for (const v of lost) {
    const other = left.find((kept) => isPast(kept) && equalTypes(graph.types[kept], graph.types[v]));
    if (other !== undefined) edit.replaceUses(v, other);
  }
  edit.setInputs(left);
}

/** Roles of what is still there; caches are numbered without gaps. */
function rolesLeft(roles: ReadonlyMap<string, IoRole>, graph: Graph): Map<string, IoRole> {
  const names = new Set([...graph.inputs, ...graph.outputs].map((v) => graph.names[v]));
  const left = [...roles].filter(([name]) => names.has(name));
  const caches = [...new Set(left.flatMap(([, role]) => ('cache' in role ? [role.cache] : [])))].sort((a, b) => a - b);
  return new Map(
    left.map(([name, role]) => [name, 'cache' in role ? { ...role, cache: caches.indexOf(role.cache) } : role]),
  );
}
