/** One run of a model on given inputs, or on seeded random ones. */
import type { Answer } from '../driver/contract.ts';
import { randomFeeds } from '../exec/feeds-for.ts';
import { printType } from '../ir/types.ts';
import { readFeeds } from '../exec/read-feeds.ts';
import { writeNpz } from '../tensor/npz.ts';
import { table } from '../util/table.ts';
import { checkInputs, feedSpecs, type Model, type Tensors } from './model.ts';
import { prepare } from './prepare.ts';

/** The graph, prepared; the graph line by line on plain kernels; the plan core by core. */
export type Mode = 'reference' | 'plain' | 'placed';

export interface EvaluateOptions {
  readonly input?: readonly string[];
  readonly output?: string;
  readonly seed: number;
  readonly tokens: number;
  readonly mode?: Mode;
}

export function evaluate(model: Model, options: EvaluateOptions): Answer {
  const inputs = inputsOf(model, options);
  const { mode = 'reference', output } = options;
  const outputs = runnerOf(model, mode)(inputs);
  if (output !== undefined) writeNpz(output, new Map(Object.entries(outputs)));
  return {
    exitCode: 0,
    diagnostics: [],
    text: () => describe(outputs),
    json: () => ({
      schema: 'wafc.outputs/1',
      model: model.name,
      executor: mode,
      outputs: Object.entries(outputs).map(([name, { dtype, shape, data, strings }]) => ({
        name,
        dtype,
        shape,
        data: strings ?? [...data],
      })),
    }),
  };
}

function runnerOf(model: Model, mode: Mode): (inputs: Tensors) => Tensors {
  if (mode === 'placed' && model.placed !== undefined) return model.placed.run;
  return mode === 'plain' ? (inputs) => model.reference(inputs) : prepare(model);
}

/** Where no table tells how many ids there are, two of them are safe. */
const SMALLEST_VOCABULARY = 2;

/** @throws Diagnosed when a file cannot be read, or its tensors are not the model's inputs. */
export function inputsOf(model: Model, { input, seed, tokens }: EvaluateOptions): Tensors {
  const size = { batch: 1, sequence: tokens, past: 0, vocabulary: SMALLEST_VOCABULARY, seed };
  const specs = feedSpecs(model);
  const inputs = Object.fromEntries(
    input === undefined ? randomFeeds(specs, size) : readFeeds(input, specs, model.placed?.context).feeds,
  );
  checkInputs(model, inputs);
  return inputs;
}

const SHOWN = 6;

/** One line an output: its type, and its first elements. */
function describe(outputs: Tensors): string {
  const rows = Object.entries(outputs).map(([name, value]) => {
    const first = value.strings?.slice(0, SHOWN) ?? Array.from(value.data.subarray(0, SHOWN), (x) => x.toPrecision(6));
    const more = value.data.length > SHOWN || (value.strings?.length ?? 0) > SHOWN ? ' ..' : '';
    return [name, printType(value), first.join(' ') + more];
  });
  return table(
    ['output', 'type', 'first elements'].map((head) => ({ head, align: 'left' })),
    rows,
  );
}
