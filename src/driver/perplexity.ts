/** Teacher-forced perplexity of a plan on a text: the graph over all windows, and core by core over the first. */
import { fail } from '../diag/diagnostic.ts';
import { readCorpus, windowsOf } from '../eval/corpus.ts';
import { Evaluator, nllOfLogits } from '../eval/evaluate.ts';
import { logitsOf, sequenceFeeds } from '../eval/sequence.ts';
import type { PlacedModel } from '../exec/placed/model.ts';
import { tokenizerFor } from '../generate/text.ts';
import type { Graph } from '../ir/graph.ts';
import type { Plan } from '../plan/types.ts';
import type { Report } from '../diag/diagnostic.ts';
import type { PerplexityResult } from '../report/verify-result.ts';
import type { VerifyArguments } from './contract.ts';

/** Enough to tell a broken model from a sound one; a figure to publish takes more. */
const WINDOWS = 4;
const WINDOW = 128;

/** @throws Diagnosed `run/no-decoder`, `eval/..`, `tokenizer/..` */
export function perplexityOf(
  text: string,
  args: VerifyArguments,
  plan: Plan,
  graph: Graph,
  placed: PlacedModel,
  report: Report,
): PerplexityResult {
  const { mode, inputs, outputs } = plan;
  if (mode.kind !== 'stream' || mode.batch !== 1)
    fail({ code: 'run/no-decoder', message: 'only decoders of one sequence predict a text token by token' });
  const width = outputs.find(({ role, shape }) => role.kind !== 'present' && shape.length >= 2)?.shape.at(-1);
  const tokenizer = tokenizerFor(args.tokenizer, args.plan, typeof width === 'number' ? width : undefined, report);
  const length = args.window ?? Math.min(WINDOW, mode.context);
  if (length > mode.context)
    fail({ code: 'run/context', message: `windows of ${length} predictions exceed the context of ${mode.context}` });
  const windows = windowsOf(readCorpus(text, tokenizer), length, args.windows ?? WINDOWS);
  const roles = new Map([...inputs, ...outputs].map(({ name, role }) => [name, role]));
  const model = { graph, roles };
  const [first] = windows;
  const logits = placed.call(sequenceFeeds(model, first.subarray(0, -1))).get(graph.names[logitsOf(model)]);
  if (logits === undefined) throw new Error('the placed model gives no logits');
  const predictions = first.length - 1;
  return {
    text,
    tokenizer: tokenizer?.kind ?? 'ids',
    windows: windows.length,
    window: predictions,
    reference: new Evaluator(model, windows).quality(),
    placed: {
      predictions,
      nll: nllOfLogits(logits, first) / predictions,
      referenceNll: new Evaluator(model, [first]).quality().nll,
    },
  };
}
