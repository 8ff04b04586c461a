/**
 * `wafc verify`: the plan is checked on paper (placement, fit, coverage), then run core by core and compared op by op
 * with the reference executor, and with onnxruntime when asked.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Answer, Effects, VerifyArguments } from './contract.ts';
import { type Diagnostic, fail, type Report } from '../diag/diagnostic.ts';
import { compare } from '../exec/compare.ts';
import { randomFeeds } from '../exec/feeds-for.ts';
import { readFeeds } from '../exec/read-feeds.ts';
import { type Decoder, graphDecoder, placedDecoder } from '../generate/decoder.ts';
import { generateGreedy } from '../generate/generate.ts';
import { openOnnxruntime, type Oracle } from '../exec/onnxruntime.ts';
import { PlacedModel } from '../exec/placed/model.ts';
import { runGraph } from '../exec/reference.ts';
import { bindDim, parseDim } from '../ir/dim.ts';
import type { Graph } from '../ir/graph.ts';
import { readPlan } from '../plan/read.ts';
import type { Plan } from '../plan/types.ts';
import { renderVerifyHtml } from '../report/verify-html.ts';
import { renderVerify } from '../report/verify-text.ts';
import type { Generation, OpDifference, OutputDifference, VerifyResult } from '../report/verify-result.ts';
import { compareOps, narrowest } from './compare-ops.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { checkCoverage } from '../verify/coverage.ts';
import { checkPlan } from '../verify/plan.ts';
import { writeFileAtomic } from '../util/files.ts';
import { perplexityOf } from './perplexity.ts';
import { openPlanModel } from './plan-model.ts';

/** References that narrow floats make are compared at 1e-4: another runtime orders its sums its own way. */
const RUNTIME_BOUND = 1e-4;

export async function verify(args: VerifyArguments, effects: Effects): Promise<Answer> {
  const plan = readPlan(args.plan);
  const checks: Diagnostic[] = [...checkPlan(plan, args.plan)];
  const modelPath = args.model ?? join(args.plan, 'model.onnx');
  if (!existsSync(modelPath)) {
    fail({
      code: 'verify/no-model',
      message: `${modelPath} does not exist`,
      notes: ['a plan made with --no-weights has no numbers to verify', 'give the model with --model'],
    });
  }
  const { graph, tokens, weightOf } = openPlanModel(plan, modelPath);
  checks.push(...checkCoverage(plan, args.plan, weightOf));
  const placed = new PlacedModel(plan, args.plan);
  const oracle = args.against === undefined ? undefined : await openOnnxruntime(modelPath);
  const cases = casesFor(plan, args, (d) => checks.push(d));
  const ops: OpDifference[] = [];
  const outputs: OutputDifference[] = [];
  for (const [i, { name, feeds }] of cases.entries()) {
    effects.progress.update(i, cases.length, name);
    placed.lengths(feeds);
    ops.push(...compareOps(plan, placed, tokens, feeds));
    outputs.push(...(await compareOutputs(name, plan, placed, graph, feeds, oracle, ops)));
  }
  effects.progress.clear();
  const generation =
    args.generate === undefined ? null : await generate(args.generate, args, plan, placed, graph, oracle);
  const perplexity =
    args.perplexity === undefined
      ? null
      : perplexityOf(args.perplexity, args, plan, graph, placed, (d) => checks.push(d));
  const firstOut = ops.find((o) => !(o.maxRel <= o.bound)) ?? null;
  const passed =
    firstOut === null &&
    checks.every((d) => d.severity !== 'error') &&
    outputs.every((o) => o.maxRel <= o.bound) &&
    (generation?.agree ?? true);
  const result: VerifyResult = {
    schema: 'wafc.verify/1',
    plan: plan.model.sha256,
    passed,
    checks,
    ops,
    outputs,
    firstOut,
    generation,
    perplexity,
  };
  if (args.html !== undefined) writeFileAtomic(args.html, renderVerifyHtml(result, plan));
  return {
    exitCode: passed ? 0 : 3,
    diagnostics: checks,
    text: () => renderVerify(result, plan, args.ops ?? false),
    json: () => result,
  };
}

interface Case {
  readonly name: string;
  readonly feeds: Map<string, Tensor>;
}

/** A prompt on an empty past, then single tokens on a past; the given inputs instead where there are any. */
function casesFor(plan: Plan, args: VerifyArguments, report: Report): Case[] {
  const { mode } = plan;
  const specs = plan.inputs.map((io) => ({
    ...io,
    shape: io.shape.map((d) => (typeof d === 'number' ? d : parseDim(d))),
    below: vocabularyOf(plan, io.name),
  }));
  if (args.input !== undefined) {
    const { feeds, filled } = readFeeds(args.input, specs, mode.context);
    for (const [name, { data }] of feeds)
      if (data.some((v) => Number.isNaN(v)))
        fail({
          code: 'verify/input',
          message: `input ${name} has NaN`,
          notes: ['nothing can be compared with what comes of it'],
        });
    if (filled.length > 0)
      report({
        code: 'verify/filled',
        severity: 'remark',
        message: `${filled.join(', ')}: not given, and made to follow from the others`,
      });
    return [{ name: args.input.join(', '), feeds }];
  }
  const vocabulary = vocabularyOf(plan);
  const make = (name: string, sequence: number, past: number): Case => ({
    name,
    feeds: randomFeeds(
      specs.map((s) => ({ ...s, shape: s.shape.map((d) => bindDim(d, {})) })),
      { batch: mode.batch, sequence, past, vocabulary, seed: args.seed },
    ),
  });
  if (mode.kind === 'whole') return [make(`${mode.context} tokens`, mode.context, 0)];
  const prompt = Math.min(args.tokens ?? 12, mode.context);
  const hasPast = plan.inputs.some(({ role }) => role.kind === 'past');
  const cases = [make(`prompt of ${prompt}`, prompt, 0)];
  if (hasPast && mode.context > 7) cases.push(make('one token after 7', 1, 7));
  return cases;
}

/** Rows of the smallest table that ids index: of the input `name`, else of any. */
function vocabularyOf(plan: Plan, name?: string): number {
  const sizes = plan.stages.flatMap(({ template, inputs }) => {
    const { program } = plan.templates[template];
    return program.ops.flatMap((op) => {
      if (op.op !== 'embed') return [];
      const from = inputs[program.inputs.findIndex((input) => input?.tensor === op.index)];
      const isWanted = plan.inputs.some((io) => io.role.kind === 'tokens' && io.name === from);
      return isWanted && (name === undefined || from === name) ? [program.tensors[op.table].shape[0]] : [];
    });
  });
  return Math.min(...sizes, 1 << 16);
}

async function compareOutputs(
  name: string,
  plan: Plan,
  placed: PlacedModel,
  graph: Graph,
  feeds: ReadonlyMap<string, Tensor>,
  oracle: Oracle | undefined,
  ops: readonly OpDifference[],
): Promise<OutputDifference[]> {
  const found = placed.call(feeds);
  const reference = runGraph(graph, feeds);
  const bound = Math.max(...ops.map((o) => o.bound), 1e-5);
  const differences = [...reference].map(([output, expected]) =>
    difference(name, output, 'placed vs reference', found.get(output), expected, bound),
  );
  if (oracle === undefined) return differences;
  const outside = await oracle.run(feeds);
  const runtime = narrowest(plan) === 'f32' ? RUNTIME_BOUND : bound;
  for (const [output, expected] of outside) {
    differences.push(difference(name, output, 'reference vs onnxruntime', reference.get(output), expected, runtime));
    differences.push(difference(name, output, 'placed vs onnxruntime', found.get(output), expected, runtime));
  }
  return differences;
}

function difference(
  name: string,
  output: string,
  of: OutputDifference['of'],
  found: Tensor | undefined,
  expected: Tensor,
  bound: number,
): OutputDifference {
  if (found === undefined) throw new Error(`nothing computes output ${output}`);
  return { case: name, output, of, ...compare(found, expected), bound, argmaxAgrees: argmaxAgreement(found, expected) };
}

/** Share of rows whose largest element is at the same place. */
function argmaxAgreement(a: Tensor, b: Tensor): number {
  const width = b.shape.at(-1) ?? 1;
  const rows = b.data.length / width;
  let same = 0;
  for (let r = 0; r < rows; r++) {
    const top = (data: ArrayLike<number>): number => {
      let best = 0;
      for (let i = 1; i < width; i++) if (data[r * width + i] > data[r * width + best]) best = i;
      return best;
    };
    if (top(a.data) === top(b.data)) same++;
  }
  return rows === 0 ? 1 : same / rows;
}

/** Greedy tokens of the placed model with its cache resident, of the reference, and of onnxruntime. */
async function generate(
  count: number,
  args: VerifyArguments,
  plan: Plan,
  placed: PlacedModel,
  graph: Graph,
  oracle: Oracle | undefined,
): Promise<Generation> {
  if (plan.mode.kind !== 'stream' || plan.mode.batch !== 1)
    fail({ code: 'verify/no-decoder', message: 'only a decoder of batch 1 generates tokens' });
  const vocabulary = vocabularyOf(plan);
  const prompt = [1, 2, 3].map((i) => (i * 37 + args.seed) % vocabulary);
  const io = { inputs: plan.inputs, outputs: plan.outputs, context: plan.mode.context };
  const greedy = (decoder: Decoder): Promise<readonly number[]> => generateGreedy(decoder, prompt, count);
  const found = await greedy(placedDecoder(placed));
  const reference = await greedy(graphDecoder(io, (feeds) => runGraph(graph, feeds)));
  const outside = oracle ? await greedy(graphDecoder(io, (feeds) => oracle.run(feeds))) : null;
  const agree = [reference, ...(outside ? [outside] : [])].every((other) => other.join() === found.join());
  return { prompt, placed: found, reference, onnxruntime: outside, agree };
}

export type { VerifyResult } from '../report/verify-result.ts';
