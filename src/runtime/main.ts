/** The command line of an emitted executor: inputs in, outputs out. */
import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { integerFrom, withCommon, withExamples } from '../cli/arguments.ts';
import { type Io, processIo } from '../cli/io.ts';
import { runProgram } from '../cli/run-program.ts';
import { cleanUpOnSignals } from '../cli/signals.ts';
import type { Answer } from '../driver/contract.ts';
import { randomFeeds } from '../exec/feeds-for.ts';
import { printType } from '../ir/types.ts';
import { readNpz, writeNpz } from '../tensor/npz.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { table } from '../util/table.ts';
import { checkInputs, feedSpecs, type Model, type Tensors } from './model.ts';

/** Whether the module at `url` is what the process was started with. */
export function isMain(url: string): boolean {
  const [, script] = process.argv;
  return script !== undefined && realpathSync(script) === realpathSync(fileURLToPath(url));
}

interface Options {
  readonly input?: string;
  readonly output?: string;
  readonly seed: number;
  readonly tokens: number;
}

/** Runs a model as the command line says; gives the exit code: 0, 1 for a fault of the input, 2 for bad usage, 70 for one of wafc. */
export async function main(model: Model, argv: readonly string[] = process.argv.slice(2)): Promise<void> {
  io ??= ownProcess();
  process.exitCode = await runProgram(
    (show) => {
      const command = withCommon(new Command('executor.ts'))
        .description(`Run ${model.name}: inputs in, outputs out.`)
        .option('--input <file.npz>', 'inputs, by name, instead of seeded random ones')
        .option('--output <file.npz>', 'write the outputs')
        .option('--seed <n>', 'seed of random inputs', integerFrom(0), 0)
        .option('--tokens <n>', 'length of random inputs', integerFrom(1), 8);
      withExamples(command, ['npx tsx executor.ts --input inputs.npz --output outputs.npz']);
      return command.action((options: Options) => show(() => evaluate(model, options), command));
    },
    'npx tsx executor.ts',
    argv,
    io,
  );
}

/** Listeners are added to the process once, however often a program runs models. */
let io: Io | undefined;

function ownProcess(): Io {
  cleanUpOnSignals();
  return processIo();
}

function evaluate(model: Model, { input, output, seed, tokens }: Options): Answer {
  const inputs = Object.fromEntries(input === undefined ? randomInputs(model, seed, tokens) : readNpz(input));
  checkInputs(model, inputs);
  const outputs = model.reference(inputs);
  if (output !== undefined) writeNpz(output, new Map(Object.entries(outputs)));
  return {
    exitCode: 0,
    diagnostics: [],
    text: () => describe(outputs),
    json: () => ({
      schema: 'wafc.outputs/1',
      model: model.name,
      outputs: Object.entries(outputs).map(([name, { dtype, shape, data }]) => ({
        name,
        dtype,
        shape,
        data: [...data],
      })),
    }),
  };
}

/** Where no table tells how many ids there are, two of them are safe. */
const SMALLEST_VOCABULARY = 2;

function randomInputs(model: Model, seed: number, sequence: number): Map<string, Tensor> {
  const vocabulary = model.vocabulary ?? SMALLEST_VOCABULARY;
  return randomFeeds(feedSpecs(model), { batch: 1, sequence, past: 0, vocabulary, seed });
}

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
const SHOWN = 6;
