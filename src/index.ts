/**
 * The public API: what the commands do, as functions, and the parts to build tools of one's own. What is not exported
 * here may change in any version.
 */
import { check as checkOnPaper } from './driver/check.ts';
import { compile as compileModel } from './driver/compile.ts';
import type { Answer, CheckArguments, CompileArguments, Effects, VerifyArguments } from './driver/contract.ts';
import { NO_COMPRESSION } from './driver/contract.ts';
import { verify as verifyPlan } from './driver/verify.ts';
import { NO_FLAGS } from './pass/flags.ts';

/** Effects that nobody sees: no progress, no notes, no clock. */
export const SILENT: Effects = {
  progress: { update: () => {}, clear: () => {} },
  note: () => {},
  show: () => {},
  stream: () => {},
  interruption: () => new AbortController().signal,
  now: () => 0,
};

export type CompileOptions = Pick<CompileArguments, 'model' | 'target'> & Partial<CompileArguments>;
export type VerifyOptions = Pick<VerifyArguments, 'plan'> & Partial<VerifyArguments>;

/**
 * `wafc compile`, with the command's defaults: batch 1, the default context, weights written when there is an output.
 * @throws Diagnosed for a fault of the model, the target or the options; a model that does not fit is an answer.
 */
export const compile = (options: CompileOptions, effects = SILENT): Promise<Answer> =>
  compileModel(
    {
      bindings: {},
      objective: 'latency',
      weights: true,
      seed: 0,
      compression: NO_COMPRESSION,
      flags: NO_FLAGS,
      ...options,
    },
    effects,
  );

/** `wafc check`. @throws Diagnosed for a folder that is no plan, or a file that is no model. */
export const check = (options: CheckArguments, effects = SILENT): Answer => checkOnPaper(options, effects);

/** `wafc verify`. @throws Diagnosed for a folder that is no plan. */
export const verify = (options: VerifyOptions, effects = SILENT): Promise<Answer> =>
  verifyPlan({ seed: 0, ...options }, effects);

export { loadModel } from './driver/compile.ts';
export type { Answer, CheckArguments, CompileArguments, Effects, VerifyArguments } from './driver/contract.ts';
export { GRAPH_STEPS, PIPELINE, PLAN_STEPS } from './driver/pipeline.ts';
export { report } from './driver/report.ts';
export { Diagnosed, type Diagnostic, type Remedy } from './diag/diagnostic.ts';
export { renderDiagnostics } from './diag/render.ts';
export { type Decoder, graphDecoder, placedDecoder, sessionDecoder } from './generate/decoder.ts';
export { generate, generateGreedy, speculate } from './generate/generate.ts';
export { GREEDY, type Sampling } from './generate/sampling.ts';
export { PlacedModel } from './exec/placed/model.ts';
export { runGraph } from './exec/reference.ts';
export type { CachePair } from './exec/session/caches.ts';
export { Session, type SessionOptions } from './exec/session/session.ts';
export { importModel } from './frontend/import.ts';
export { bytesSource, type Constant, denseConstant } from './ir/constant.ts';
export type { Fact, IoRole, Program, Region, RunMode, Schedule, Stages } from './ir/facts.ts';
export type { Graph, Op } from './ir/graph.ts';
export type { OpId, ValueId } from './ir/ids.ts';
export { parseGraph } from './ir/parse.ts';
export { printGraph } from './ir/print.ts';
export { isCollective, type Layout, printLayout, type ProgramOp, type RegionProgram } from './ir/program.ts';
export type { Target } from './ir/target.ts';
export { definePass, type Pass, type Step, step } from './pass/pass.ts';
export { QUIET, type RunOptions, runPasses } from './pass/manager.ts';
export { readPlan } from './plan/read.ts';
export type { Blob, Plan } from './plan/types.ts';
export { buildReport, type Report } from './report/report.ts';
export { operatorGraph, operatorGraphJson } from './report/operator-graph.ts';
export { listTargets, loadTarget } from './target/load.ts';
export { pack } from './tensor/pack.ts';
export { readConstant } from './tensor/read.ts';
export type { Tensor } from './tensor/tensor.ts';
export { viewOf } from './tensor/view.ts';
