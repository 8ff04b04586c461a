/** The command line of an emitted executor: inputs in, outputs out; both executors compared; text continued. */
import { realpathSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command, Option } from 'commander';
import { collect, type CommonOptions, integerFrom, withCommon, withExamples } from '../cli/arguments.ts';
import { type Io, processIo } from '../cli/io.ts';
import { runProgram } from '../cli/run-program.ts';
import { type GenerationOptions, withGeneration } from '../cli/run.ts';
import { cleanUpOnSignals } from '../cli/signals.ts';
import { compareModes } from './compare.ts';
import { continueText } from './continue.ts';
import { evaluate, type EvaluateOptions } from './evaluate.ts';
import type { Model } from './model.ts';

/** Whether the module at `url` is what the process was started with. */
export function isMain(url: string): boolean {
  const [, script] = process.argv;
  return script !== undefined && realpathSync(script) === realpathSync(fileURLToPath(url));
}

type Options = EvaluateOptions & GenerationOptions & CommonOptions & { readonly compare?: true };

/** Runs a model as the command line says, and sets the exit code: that of `wafc`, 3 where `--compare` finds a difference. */
export async function main(model: Model, argv: readonly string[] = process.argv.slice(2)): Promise<void> {
  io ??= ownProcess();
  const shown = io;
  process.exitCode = await runProgram(
    (show) => {
      const command = commandOf(model);
      return command.action((options: Options) =>
        show(() => {
          if (options.compare) return compareModes(model, options);
          const generates = options.prompt ?? options.ids ?? options.file;
          return generates === undefined ? evaluate(model, options) : continueText(model, folderOf(), options, shown);
        }, command),
      );
    },
    'npx tsx executor.ts',
    argv,
    shown,
  );
}

/** Where a tokenizer may lie: beside the program that was started. */
const folderOf = (): string => dirname(process.argv[1] ?? '.');

function commandOf(model: Model): Command {
  const command = withCommon(new Command('executor.ts')).description(`Run ${model.name}: inputs in, outputs out.`);
  command
    .option(
      '--input <file>',
      'inputs instead of random ones: .npz, NAME=x.npy, NAME=x.pb, a folder (repeatable)',
      collect,
    )
    .option('--output <file.npz>', 'write the outputs')
    .option('--seed <n>', 'seed of random inputs and of sampling', integerFrom(0), 0)
    .option('--tokens <n>', 'length of random inputs', integerFrom(1), 8);
  command.addOption(
    new Option(
      '--mode <executor>',
      `the graph, prepared; line by line on plain kernels${model.placed === undefined ? '' : '; the plan core by core'}`,
    )
      .choices(['reference', 'plain', ...(model.placed === undefined ? [] : ['placed'])])
      .default('reference'),
  );
  if (model.placed !== undefined)
    command.option('--compare', 'run the plan and the graph line by line, and compare; exit code 3 when they differ');
  withGeneration(command.optionsGroup('Generating:'));
  return withExamples(command, [
    'npx tsx executor.ts --input inputs.npz --output outputs.npz',
    ...(model.placed === undefined ? [] : ['npx tsx executor.ts --input inputs.npz --compare']),
    "npx tsx executor.ts --prompt 'Once upon a time' --tokenizer tokenizer.json",
  ]);
}

/** Listeners are added to the process once, however often a program runs models. */
let io: Io | undefined;

function ownProcess(): Io {
  cleanUpOnSignals();
  return processIo();
}
