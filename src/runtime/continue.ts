/** Text continued by an emitted model. */
import type { CommonOptions } from '../cli/arguments.ts';
import type { Io } from '../cli/io.ts';
import { type GenerationOptions, generationArguments } from '../cli/run.ts';
import { interruption } from '../cli/signals.ts';
import type { Diagnostic } from '../diag/diagnostic.ts';
import type { Answer } from '../driver/contract.ts';
import {
  type Decoder,
  type DecoderInterface,
  graphDecoder,
  placedDecoder,
  sessionDecoder,
} from '../generate/decoder.ts';
import { continuePrompt, tokenizerFor } from '../generate/text.ts';
import { renderMeasured, speedOf } from '../report/run-text.ts';
import type { EvaluateOptions, Mode } from './evaluate.ts';
import { ioSpecs, type Model } from './model.ts';
import { graphOf } from './prepare.ts';

type Options = GenerationOptions & EvaluateOptions & CommonOptions;

/** `folder` is where a tokenizer is looked for. */
export async function continueText(model: Model, folder: string, options: Options, io: Io): Promise<Answer> {
  const { placed } = model;
  const { mode = 'reference', json, quiet } = options;
  const diagnostics: Diagnostic[] = [];
  const [inputs, outputs] = [ioSpecs(model.inputs), ioSpecs(model.outputs)];
  const context = placed?.context ?? Number.POSITIVE_INFINITY;
  const decoder = decoderOf(model, mode, { inputs, outputs, context });
  const words = outputs.find(({ role, shape }) => role.kind !== 'present' && shape.length >= 2)?.shape.at(-1);
  const vocabulary = typeof words === 'number' ? words : inputs.find(({ role }) => role.kind === 'tokens')?.below;
  const tokenizer = tokenizerFor(options.tokenizer, folder, vocabulary, (d) => diagnostics.push(d));
  const result = await continuePrompt(
    {
      decoder,
      draftTokens: 0,
      ...(tokenizer === undefined ? {} : { tokenizer }),
      ...(vocabulary === undefined ? {} : { vocabulary }),
    },
    generationArguments(options),
    { stream: json ? () => {} : io.out, now: io.now, signal: interruption() },
  );
  if (!json) io.out('\n');
  const { ids, text, prompt, reason, seconds } = result;
  const measured = { secondsToFirstToken: seconds.first, tokensPerSecond: speedOf(ids, seconds.rest) };
  const answer = { executor: mode, prompt, generated: { ids, text }, reason, measured };
  if (!quiet && !json) io.err(renderMeasured(answer));
  return {
    exitCode: reason === 'interrupted' ? 130 : 0,
    diagnostics,
    text: () => '',
    json: () => ({ schema: 'wafc.continuation/1', model: model.name, ...answer }),
  };
}

function decoderOf(model: Model, mode: Mode, io: DecoderInterface): Decoder {
  if (mode === 'placed' && model.placed !== undefined) return placedDecoder(model.placed.open());
  if (mode === 'reference') return sessionDecoder(io, graphOf(model));
  return graphDecoder(io, (feeds) => new Map(Object.entries(model.reference(Object.fromEntries(feeds)))));
}
