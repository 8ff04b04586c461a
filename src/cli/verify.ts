/** `wafc verify`: argv to VerifyArguments. */
import { Command, Option } from 'commander';
import { integerFrom, withExamples } from './arguments.ts';
import type { VerifyArguments } from './drivers.ts';

type Options = Omit<VerifyArguments, 'plan'>;

export function verifyCommand(run: (args: VerifyArguments, command: Command) => Promise<void>): Command {
  const command = new Command('verify')
    .summary('prove that a plan is right')
    .description(
      'Check a plan: coverage, fit, placement and routes are recomputed, and the model is run core by core and compared\n' +
        'with the reference executor. Exit code 3 when anything disagrees.',
    )
    .argument('<plan>', 'a folder that `wafc compile -o` wrote')
    .option('--model <file>', "compare with this model instead of the plan's own")
    .addOption(new Option('--against <runtime>', 'compare with another runtime, too').choices(['onnxruntime']))
    .option('--seed <n>', 'seed of the random inputs', integerFrom(0), 0)
    .option('--tokens <n>', 'length of the random inputs', integerFrom(1))
    .option('--generate <n>', 'generate n tokens, and compare every one', integerFrom(1))
    .option('--input <file.npz>', 'inputs, by name, instead of random ones');
  withExamples(command, ['wafc verify plan', 'wafc verify plan --against onnxruntime --tokens 32 --generate 8']);
  return command.action(async (plan: string, options: Options) => {
    const { model, against, seed, tokens, generate, input } = options;
    await run(
      {
        plan,
        seed,
        ...(model === undefined ? {} : { model }),
        ...(against === undefined ? {} : { against }),
        ...(tokens === undefined ? {} : { tokens }),
        ...(generate === undefined ? {} : { generate }),
        ...(input === undefined ? {} : { input }),
      },
      command,
    );
  });
}
