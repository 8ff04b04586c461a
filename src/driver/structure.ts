/**
 * The architecture of an opened model, for `wafc inspect`: imported, lifted and cut into stages as for compiling, but of
 * a model with most of its equal layers taken out, and without needing its weights.
 */
import { Diagnosed, type Diagnostic } from '../diag/diagnostic.ts';
import { bindInput } from '../frontend/bind.ts';
import { takeBranch } from '../frontend/branch.ts';
import { importOnnx } from '../frontend/import.ts';
import { inferTypes } from '../frontend/infer.ts';
import { shortenModel } from '../frontend/shorten.ts';
import type { ByteSource } from '../ir/constant.ts';
import type { Program } from '../ir/facts.ts';
import type { OnnxGraph, OnnxModel } from '../onnx/model.ts';
import { QUIET, runPasses } from '../pass/manager.ts';
import { step } from '../pass/pass.ts';
import liftTokens from '../../passes/1-graph/lift-tokens.ts';
import splitStages from '../../passes/3-partition/split-stages.ts';
import { type Architecture, architectureOf, type Repeats } from '../report/architecture.ts';
import { GRAPH_STEPS } from './pipeline.ts';
import { withStandIns } from './stand-ins.ts';

export interface Recognised {
  readonly architecture: Architecture | null;
  /** Why there is none. */
  readonly remarks: readonly Diagnostic[];
}

/** Passes that decide structure; what they are run for is looked at, not computed, so one probe will do. */
const STEPS = [
  ...GRAPH_STEPS.map((s) => (s.pass === liftTokens ? step(liftTokens, { check: false }) : s)),
  step(splitStages, {}),
];

/** Rows and columns of the matrices in a model that is lifted unasked: a second or so. */
const MOST_LINES = 1_000_000;

/**
 * Recognises the architecture of a model, or says why it cannot. A model in which no repetition is found may take long:
 * that is done only when `patient`. Throws only for faults of wafc.
 */
export function recognise(model: OnnxModel, patient = false): Recognised {
  try {
    const { model: short, ...repeats } = shortenModel(withCache(model));
    if (!patient && linesOf(short.graph) > MOST_LINES)
      return remark('it is large and its layers are not seen to repeat', ['give it the time it takes: --structure']);
    return recogniseLayers(short, repeats);
  } catch (error) {
    if (!(error instanceof Diagnosed)) throw error;
    const [first] = error.diagnostics;
    const at = first.node === undefined ? '' : ` (node ${first.node})`;
    return remark(`${first.message}${at}`, [
      `${first.code}: \`wafc explain ${first.code}\``,
      ...(model.missingFiles.length > 0 ? ['some of its weights are not there, which can be the reason'] : []),
    ]);
  }
}

/** The architecture of a model of which `repeats` were taken out. Throws Diagnosed where the model cannot be lifted. */
export function recogniseLayers(model: OnnxModel, repeats: Repeats): Recognised {
  const missing = new Set<ByteSource>();
  const { graph, roles } = load(withStandIns(model, missing));
  // A machine plays no part before regions are chosen.
  const start: Omit<Program, 'target'> = { graph, mode: { kind: 'stream', batch: 1, context: 0 }, roles };
  const { graph: lifted, stages } = runPasses(start as Program, STEPS, QUIET);
  if (stages === undefined) throw new Error('split-stages left no stages');
  const isReadable = ({ source }: { source: ByteSource }): boolean => !missing.has(source);
  const architecture = architectureOf({ graph: lifted, stages, roles, repeats, isReadable });
  return architecture === undefined
    ? remark('it has no attention that is seen as such', [])
    : { architecture, remarks: [] };
}

/** A merged decoder takes the branch with a cache, as it does for compiling (see {@link load}). */
function withCache(model: OnnxModel): OnnxModel {
  const choices = model.graph.inputs.filter(({ name, dtype }) => dtype === 'bool' && /cache/i.test(name));
  return { ...model, graph: choices.reduce((graph, { name }) => takeBranch(graph, name, true), model.graph) };
}

/** Rows and columns of the matrices that nodes use: what the time of lifting goes with. */
function linesOf({ nodes, initializers }: OnnxGraph): number {
  const bodies = nodes.flatMap((node) =>
    [...node.attributes.values()].flatMap((a) => (a.kind === 'graph' ? a.value : [])),
  );
  const used = new Set([...nodes, ...bodies.flatMap((body) => body.nodes)].flatMap((node) => node.inputs));
  const matrices = [...initializers, ...bodies.flatMap((body) => body.initializers)].filter(
    ({ name, shape }) => shape.length === 2 && (used.has(name) || bodies.length > 0),
  );
  return matrices.reduce((n, { shape }) => n + shape[0] + shape[1], 0);
}

/** As for compiling with batch 1: a merged decoder takes the branch with a cache. */
function load(model: OnnxModel): { readonly graph: Program['graph']; readonly roles: Program['roles'] } {
  const batches = model.graph.inputs.flatMap(({ shape = [] }) => (typeof shape[0] === 'string' ? [shape[0]] : []));
  const bindings = Object.fromEntries(['B', ...batches].filter(isBatch).map((name) => [name, 1]));
  const imported = importOnnx(model, { bindings });
  let { graph } = imported;
  const { byName } = imported.roles;
  for (const [name, role] of byName) if (role.kind === 'bound') graph = inferTypes(bindInput(graph, name, 1));
  return { graph, roles: byName };
}

const isBatch = (name: string): boolean => name === 'B' || /^batch/i.test(name);

const remark = (reason: string, notes: readonly string[]): Recognised => ({
  architecture: null,
  remarks: [
    {
      code: 'inspect/no-architecture',
      severity: 'remark',
      message: `the architecture of the model is not recognised: ${reason}`,
      ...(notes.length > 0 ? { notes } : {}),
    },
  ],
});
