/** `wafc run`: generates text with the model of a plan on this machine, and says what the plan predicts for its target. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Answer, Effects, RunArguments } from './contract.ts';
import { type Diagnostic, fail } from '../diag/diagnostic.ts';
import { PlacedModel } from '../exec/placed/model.ts';
import { type Decoder, placedDecoder, sessionDecoder } from '../generate/decoder.ts';
import { refuseVocabularies } from '../generate/generate.ts';
import { continuePrompt, type Continuation, tokenizerFor } from '../generate/text.ts';
import { readPlan } from '../plan/read.ts';
import type { Plan } from '../plan/types.ts';
import { pairSpeed } from '../report/drafting.ts';
import { buildReport } from '../report/report.ts';
import { loadModelOf } from './plan-model.ts';
import { renderRun, type RunResult, speedOf } from '../report/run-text.ts';

/** @throws Diagnosed for a folder that is no plan, a model that is no decoder, a prompt that it cannot take. */
export async function run(args: RunArguments, effects: Effects): Promise<Answer> {
  const plan = readPlan(args.plan);
  const diagnostics: Diagnostic[] = [];
  const report = (d: Diagnostic): void => void diagnostics.push(d);
  const draftPlan = args.draft === undefined ? undefined : readPlan(args.draft);
  const vocabulary = vocabularyOf(plan);
  const draftVocabulary = draftPlan && vocabularyOf(draftPlan);
  if (vocabulary !== undefined && draftVocabulary !== undefined && vocabulary !== draftVocabulary)
    refuseVocabularies(draftVocabulary, vocabulary);
  const tokenizer = tokenizerFor(args.tokenizer, args.plan, vocabulary, report);
  const result = await continuePrompt(
    {
      decoder: open(plan, args.plan, args.mode),
      ...(draftPlan === undefined || args.draft === undefined
        ? {}
        : { drafter: open(draftPlan, args.draft, args.mode) }),
      draftTokens: args.draftTokens,
      ...(tokenizer === undefined ? {} : { tokenizer }),
      ...(vocabulary === undefined ? {} : { vocabulary }),
    },
    args,
    {
      stream: effects.stream,
      now: effects.now,
      signal: effects.interruption(),
    },
  );
  effects.stream('\n');
  const document = describe(args, plan, draftPlan, result);
  effects.note(renderRun(document));
  return {
    exitCode: result.reason === 'interrupted' ? 130 : 0,
    diagnostics,
    text: () => '',
    json: () => document,
  };
}

/** A plan as a decoder: the graph of its model.onnx, or its region programs core by core. */
function open(plan: Plan, folder: string, mode: RunArguments['mode']): Decoder {
  if (plan.mode.kind !== 'stream')
    fail({
      code: 'run/no-decoder',
      message: `the plan in ${folder} takes whole sequences of ${plan.mode.context} tokens`,
      notes: ['only decoders generate; `wafc verify` runs other models'],
    });
  if (mode === 'placed') return placedDecoder(new PlacedModel(plan, folder));
  const path = join(folder, 'model.onnx');
  if (!existsSync(path))
    fail({
      code: 'verify/no-model',
      message: `${path} does not exist`,
      notes: ['a plan made with --no-weights has no numbers to run'],
    });
  const { graph } = loadModelOf(plan, path);
  const { inputs, outputs } = plan;
  return sessionDecoder({ inputs, outputs, context: plan.mode.context }, graph);
}

const vocabularyOf = ({ outputs }: Plan): number | undefined => {
  const last = outputs.find(({ role, shape }) => role.kind !== 'present' && shape.length >= 2)?.shape.at(-1);
  return typeof last === 'number' ? last : undefined;
};

function describe(args: RunArguments, plan: Plan, draft: Plan | undefined, result: Continuation): RunResult {
  const figures = buildReport(plan);
  const { ids, reason, prompt, text, seconds, drafting } = result;
  return {
    schema: 'wafc.run/1',
    plan: plan.model.sha256,
    model: plan.model.name,
    executor: args.mode,
    prompt,
    generated: { ids, text },
    reason,
    sampling: { ...args.sampling, seed: args.seed },
    measured: {
      secondsToFirstToken: seconds.first,
      tokensPerSecond: speedOf(ids, seconds.rest),
    },
    predicted: { target: plan.target.name, tokensPerSecond: figures.decode?.tokensPerSecond ?? [] },
    draft:
      draft === undefined || drafting === null
        ? null
        : {
            plan: draft.model.sha256,
            model: draft.model.name,
            ...drafting,
            acceptance: drafting.drafted === 0 ? null : drafting.accepted / drafting.drafted,
            predicted: pairSpeed(figures, buildReport(draft), { ...drafting, tokens: ids.length }),
          },
  };
}
