/** `wafc emit`: argv to EmitArguments. */
import { Command } from 'commander';
import { binding, withExamples } from './arguments.ts';
import type { EmitArguments } from './drivers.ts';

interface Options {
  readonly output: string;
  readonly bind: Readonly<Record<string, number>>;
}

export function emitCommand(run: (args: EmitArguments, command: Command) => Promise<void>): Command {
  const command = new Command('emit')
    .summary('write a model as a TypeScript program')
    .description(
      'Write executor.ts, which computes a model op by op, and the model.onnx whose weights it reads. Nothing is placed:\n' +
        '`wafc compile -o` writes an executor.ts that runs the plan, too.',
    )
    .argument('<model>', 'an .onnx file')
    .requiredOption('-o, --output <folder>', 'where the two files go')
    .option('--bind <name=n>', 'bind a symbolic dim of the model (repeatable)', binding, {});
  withExamples(command, ['wafc emit model.onnx -o program', 'npx tsx program/executor.ts --input inputs.npz']);
  return command.action((model: string, { output, bind }: Options) => run({ model, output, bindings: bind }, command));
}
