/** `wafc compile` on one page: open -> import -> bind -> passes -> plan -> report. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Answer, CompileArguments, Effects } from './contract.ts';
import { Diagnosed, type Diagnostic, fail, type Report } from '../diag/diagnostic.ts';
import { randomFeeds } from '../exec/feeds-for.ts';
import { runGraph } from '../exec/reference.ts';
import { bindInput } from '../frontend/bind.ts';
import { exportModel } from '../frontend/export.ts';
import { importOnnx } from '../frontend/import.ts';
import { inferTypes } from '../frontend/infer.ts';
import { isQuantized } from '../ir/constant.ts';
import { symbolsOf } from '../ir/dim.ts';
import type { Program } from '../ir/facts.ts';
import type { Graph } from '../ir/graph.ts';
import type { SearchGoal } from '../map/search.ts';
import { openModel } from '../onnx/reader.ts';
import { writeModel } from '../onnx/writer.ts';
import { checkPassNames, observersFor } from '../pass/flags.ts';
import { compareNumerics } from '../pass/numerics.ts';
import { type Observer, QUIET, type RunOptions, runPasses, verifyWith } from '../pass/manager.ts';
import type { Step } from '../pass/pass.ts';
import { parsePassList } from '../pass/pass-list.ts';
import { PASSES } from '../../passes/index.ts';
import { buildPlan, type Draft, type Planned } from '../plan/build.ts';
import type { Plan } from '../plan/types.ts';
import { writePlanJson, writeWeights } from '../plan/write.ts';
import { noFitReport } from '../report/no-fit.ts';
import { buildReport } from '../report/report.ts';
import { renderReport } from '../report/text.ts';
import { loadTarget } from '../target/load.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { writeFileAtomic, writeFolderAtomic } from '../util/files.ts';
import { packageVersion } from '../util/version.ts';
import { writeExecutor } from './emit.ts';
import { chooseFormats } from './auto-formats.ts';
import { calibrationFor, compressionFacts, gateFor, measure } from './compression.ts';
import { budgetOf, withinBudget } from './budget.ts';
import { algorithmOf, compressionSteps, valueSteps, wantsCompression } from './compression-steps.ts';
import { matrixQuality } from './quality.ts';
import { COMPRESSION_PASSES, GRAPH_STEPS, pipelineFor } from './pipeline.ts';
import { writePlainOnnx } from './plain-onnx.ts';
import { pruningRemarks } from './pruning.ts';
import { fits, remediesFor, shorterContext } from './remedies.ts';
import { balanceRemark, balancesTiles, rehearsedGrids } from './tile-grids.ts';
import { verifiers } from './verifiers.ts';

/** A context that is chosen, not asked for, is at least this long. */
const MIN_CONTEXT = 32;

const isFit = (d: Diagnostic): boolean => d.code.startsWith('fit/');

/** The model's graph with batch and bound inputs fixed, ready for passes. */
export interface Loaded {
  readonly graph: Graph;
  readonly roles: Program['roles'];
  readonly diagnostics: readonly Diagnostic[];
}

/**
 * Opens a model for compiling or for reference runs.
 * @throws Diagnosed for what is wrong with the file, and for dims that nothing binds.
 */
export function loadModel(path: string, batch: number, bindings: Readonly<Record<string, number>>): Loaded {
  const {
    graph: imported,
    roles,
    diagnostics: warnings,
  } = importOnnx(openModel(path), { bindings: { B: batch, ...bindings } });
  const diagnostics: Diagnostic[] = [...warnings];
  let graph = imported;
  for (const [name, role] of roles.byName) {
    if (role.kind !== 'bound') continue;
    const value = bindings[name] ?? 1;
    graph = inferTypes(bindInput(graph, name, value));
    diagnostics.push({
      code: 'compile/bound-input',
      severity: 'remark',
      message: `input ${name} is bound to ${value}: one plan serves an empty past, too`,
    });
  }
  const open = new Set(graph.inputs.flatMap((v) => graph.types[v].shape.flatMap(symbolsOf)));
  const unbound = [...open].filter((s) => s !== 'S' && s !== 'P');
  if (unbound.length > 0) {
    fail({
      code: 'compile/unbound-dim',
      message: `dims ${unbound.join(', ')} of the inputs are not bound`,
      notes: unbound.map((s) => `give it a value: --bind ${s}=N`),
    });
  }
  return { graph, roles: roles.byName, diagnostics };
}

/** Compiles; writes the plan directory when asked to. A model that does not fit is an answer, with remedies that were tried. */
export async function compile(args: CompileArguments, effects: Effects): Promise<Answer> {
  const answer = await compiled(args, effects);
  if (args.report !== undefined) writeFileAtomic(args.report, `${JSON.stringify(answer.json(), null, 2)}\n`);
  return answer;
}

async function compiled(args: CompileArguments, effects: Effects): Promise<Answer> {
  checkPassNames(args.flags, PASSES);
  const budget = budgetOf(args.compression);
  const target = withinBudget(loadTarget(args.target), budget);
  const loaded = loadModel(args.model, args.batch ?? 1, args.bindings);
  const diagnostics: Diagnostic[] = [...loaded.diagnostics];
  const given: Program = {
    graph: loaded.graph,
    target,
    mode: { kind: 'stream', batch: args.batch ?? 1, context: args.context ?? 0 },
    roles: loaded.roles,
  };
  const { compression } = args;
  const known = { values: args.weights };
  if (!known.values && (compression.evaluate !== undefined || compression.exportOnnx !== undefined))
    fail({
      code: 'compress/no-values',
      message: `${compression.evaluate === undefined ? '--export-onnx' : '--eval'} reads the weights that --no-weights leaves out`,
    });
  diagnostics.push(...pruningRemarks(compression, known.values));
  if (compression.act !== undefined && target.macsPerCycle.i8 === undefined)
    diagnostics.push({
      code: 'compress/float-products',
      severity: 'remark',
      message: `${target.name} multiplies no 8-bit integers: rounded activations are what the products see, as floats`,
      notes: ['the plan computes what the rounded model computes; it is neither smaller nor faster for it'],
    });
  const start = calibrated(given, args, effects, diagnostics);
  const auto =
    compression.quantize === 'auto'
      ? chooseFormats(
          runPasses(start, GRAPH_STEPS, QUIET),
          {
            ...compression,
            algorithm: algorithmOf(compression),
            ...known,
            ...(budget === undefined || budget.perCore ? {} : { budgetBytes: budget.bytes }),
          },
          (program) => fits(runPasses(program, valueSteps(compression, { values: false }), QUIET), goalOf(args)),
        )
      : undefined;
  if (auto !== undefined) diagnostics.push(auto.remark);
  const stepsFor = (grids?: readonly string[]): readonly Step[] =>
    auto?.overrides === null
      ? compressionSteps({ ...compression, quantize: 'int4' }, known, grids)
      : compressionSteps(compression, { ...known, ...(auto === undefined ? {} : { chosen: auto.overrides }) }, grids);
  const grids = balancesTiles(stepsFor()) ? rehearsedGrids(start, stepsFor(), goalOf(args)) : undefined;
  const wanted = stepsFor(grids);
  const steps =
    args.flags.passes === undefined ? pipelineFor(goalOf(args), wanted) : parsePassList(args.flags.passes, PASSES);
  const options = {
    context: args.context ?? null,
    batch: args.batch ?? 1,
    objective: args.objective,
    regions: args.regions ?? null,
    layersPerRegion: args.layersPerRegion ?? null,
    promptTokens: args.promptTokens ?? null,
    seed: args.seed,
    bindings: args.bindings,
  };
  const watched: {
    lifted?: Program;
    bound?: Program;
    model: Graph;
    counted?: Graph;
    dense?: Graph;
    rounded?: Program;
  } = {
    model: loaded.graph,
  };
  const keepBound: Observer = ({ step, before, after }) => {
    // What is placed computes with float activations; the plan's own model must be that one.
    if (step?.pass.name === 'ingest-quantized') {
      if (after.graph !== before.graph) watched.model = after.graph;
      if ([...after.graph.constants.values()].some(isQuantized)) watched.counted = after.graph;
    }
    if (COMPRESSION_PASSES.has(step.pass.name)) {
      watched.dense ??= before.graph;
      // Noise is told against the weights as they were rounded.
      if (step.pass.name === 'quantize-weights') watched.rounded = before;
      // A compressed model exists as a token graph only.
      if (after.graph !== before.graph) watched.model = after.graph;
    }
    if (step.pass.name === 'bind-lengths') Object.assign(watched, { lifted: before, bound: after });
  };
  let program: Program;
  try {
    program = runPipeline(start, steps, args, effects, diagnostics, keepBound);
  } catch (error) {
    const { lifted, bound } = watched;
    if (!(error instanceof Diagnosed) || lifted === undefined || bound === undefined || !error.diagnostics.some(isFit))
      throw error;
    // Nobody asked for this context: take the longest that fits, and say so.
    const context =
      args.context === undefined
        ? shorterContext(lifted, { context: bound.mode.context, least: MIN_CONTEXT }, goalOf(args))
        : undefined;
    if (context === undefined) {
      const single = (): Program => {
        const { graph, roles } = loadModel(args.model, 1, args.bindings);
        const mode = { ...start.mode, batch: 1 };
        return runPasses({ ...start, graph, roles, mode }, steps.slice(0, bindingStep(steps)), QUIET);
      };
      const tried = remediesFor({ lifted, bound: bound.mode, single }, goalOf(args));
      const found = error.diagnostics.map((d) => (isFit(d) ? { ...d, remedies: tried } : d));
      const report = noFitReport(bound, loaded.graph, options, found);
      return { exitCode: 1, diagnostics: [...diagnostics, ...found], text: () => '', json: () => report };
    }
    diagnostics.push({
      code: 'compile/context-chosen',
      severity: 'remark',
      message: `a context of ${context} was chosen: the default of ${bound.mode.context} does not fit ${target.name}`,
      notes: ['ask for another with --context'],
    });
    // What was compressed is not compressed again.
    const from = wanted.length === 0 ? { program: start, step: 0 } : { program: lifted, step: bindingStep(steps) };
    const again = { ...from.program, mode: { ...start.mode, context } };
    program = runPipeline(again, steps.slice(from.step), args, effects, diagnostics, keepBound);
  }
  if (program.schedule === undefined) {
    return {
      exitCode: 0,
      diagnostics,
      text: () => 'the pass list ends before a plan; nothing was written\n',
      json: () => ({ schema: 'wafc.partial/1', fits: null }),
    };
  }
  if (grids !== undefined) diagnostics.push(...balanceRemark(grids, program));
  const tooLong = (args.promptTokens ?? []).filter((n) => n > program.mode.context);
  if (program.mode.kind === 'stream' && tooLong.length > 0) {
    fail({
      code: 'compile/prompt',
      message: `a prompt of ${tooLong.join(', ')} tokens is longer than the context of ${program.mode.context}`,
      notes: ['ask for a longer --context, or for shorter --prompt-tokens'],
    });
  }
  const compressed = watched.lifted ?? program;
  const measured = measure(
    compression,
    { ...compressed, graph: watched.dense ?? compressed.graph },
    compressed,
    args.context,
  );
  const quality =
    watched.rounded === undefined || !known.values
      ? undefined
      : matrixQuality(watched.rounded, compressed, start.calibration);
  const draft = buildPlan(program as Planned, {
    generator: generator(),
    imported: loaded.graph,
    options: wantsCompression(compression)
      ? { ...options, compression: compressionFacts(compression, measured, quality) }
      : options,
    ...(watched.counted ? { counted: watched.counted } : {}),
  });
  const plan =
    args.output === undefined
      ? draft.plan
      : await writePlan(args.output, draft, watched.model, {
          weights: args.weights,
          bindings: args.bindings,
          effects,
          report: (d) => diagnostics.push(d),
        });
  if (compression.exportOnnx !== undefined)
    writePlainOnnx(compression.exportOnnx, compressed.graph, compression.onnxStyle, generator());
  const report = buildReport(plan);
  const gate = gateFor(compression, measured);
  return {
    exitCode: gate === undefined ? 0 : 1,
    diagnostics: gate === undefined ? diagnostics : [...diagnostics, gate],
    text: () => renderReport(plan, report),
    json: () => report,
  };
}

/** The program with windows to calibrate on, where a pass looks at inputs. */
function calibrated(start: Program, args: CompileArguments, effects: Effects, diagnostics: Diagnostic[]): Program {
  if (!args.weights) return start;
  const model = (): Program => runPasses(start, GRAPH_STEPS, QUIET);
  const windows = calibrationFor(args.compression, model, effects, (d) => diagnostics.push(d), args.context);
  return windows === undefined ? start : { ...start, calibration: windows };
}

const bindingStep = (steps: readonly Step[]): number => steps.findIndex(({ pass }) => pass.name === 'bind-lengths');

const goalOf = ({ objective, regions = 0, layersPerRegion = 0, weights }: CompileArguments): SearchGoal => ({
  objective,
  regions,
  layersPerRegion,
  // What is not read is not counted.
  ...(weights ? {} : { dense: true }),
});

function runPipeline(
  start: Program,
  steps: readonly Step[],
  { flags, seed }: CompileArguments,
  effects: Effects,
  diagnostics: Diagnostic[],
  keep: Observer,
): Program {
  const { observers, summary } = observersFor(flags, {
    write: effects.show,
    writeFile: writeFileAtomic,
    compare: compareNumerics(runOnSample, effects.show),
  });
  const options: RunOptions = {
    seed,
    limit: flags.bisectLimit ?? Number.POSITIVE_INFINITY,
    skip: flags.skip,
    verify: flags.verifyEach ? verifyWith(verifiers()) : () => [],
    observers: [keep, ...observers, ({ index }) => effects.progress.update(index + 1, steps.length, 'passes')],
    report: (d) => diagnostics.push(d),
    now: effects.now,
  };
  const program = runPasses(start, steps, options);
  effects.progress.clear();
  const tables = summary();
  if (tables !== '') effects.show(tables);
  return program;
}

/** The program's outputs for a short prompt: what `--check-numerics` compares before and after each pass. */
function runOnSample({ graph, roles, mode }: Program): ReadonlyMap<string, Tensor> {
  const inputs = graph.inputs.map((v) => ({
    name: graph.names[v],
    ...graph.types[v],
    role: roles.get(graph.names[v]) ?? { kind: 'plain' as const },
  }));
  return runGraph(graph, randomFeeds(inputs, { batch: mode.batch, sequence: 4, past: 3, vocabulary: 64, seed: 0 }));
}

interface Writing {
  readonly weights: boolean;
  readonly bindings: CompileArguments['bindings'];
  readonly effects: Effects;
  readonly report: Report;
}

/** Writes the plan directory whole or not at all. A folder that is no plan is never replaced. */
async function writePlan(output: string, draft: Draft, graph: Graph, writing: Writing): Promise<Plan> {
  const { weights, bindings, effects, report } = writing;
  let plan = draft.plan;
  const mayReplace = (existing: string): void => {
    if (!existsSync(join(existing, 'plan.json'))) {
      fail({
        code: 'compile/output',
        message: `${output} exists and is not a plan`,
        notes: ['choose another folder with -o, or remove it'],
      });
    }
  };
  await writeFolderAtomic(output, mayReplace, (folder) => {
    if (weights) {
      plan = writeWeights(draft, folder, effects.progress, report);
      const path = join(folder, 'model.onnx');
      writeModel(path, exportModel(graph, generator()));
      const written = loadModel(path, plan.mode.batch, bindings);
      writeExecutor(folder, written.graph, written.roles, plan);
    }
    writePlanJson(plan, folder);
    writeFileAtomic(join(folder, 'report.json'), `${JSON.stringify(buildReport(plan), null, 2)}\n`);
  });
  return plan;
}

const generator = (): string => `wafc ${packageVersion()}`;
