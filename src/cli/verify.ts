/** `wafc verify`: argv to VerifyArguments. */
import { Command, Option } from 'commander';
import { collect, integerFrom, withExamples } from './arguments.ts';
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
    .option(
      '--input <file>',
      'inputs instead of random ones: .npz, NAME=x.npy, NAME=x.pb, a folder (repeatable)',
      collect,
    )
    .option('--perplexity <text>', 'how well the text is predicted, by the graph and core by core')
    .option('--tokenizer <file>', 'tokenizer.json, a tokenizer.bin of llama2.c, or bytes')
    .option('--windows <n>', 'windows of the text that are predicted', integerFrom(1))
    .option('--window <n>', 'predictions in a window', integerFrom(1))
    .option('--ops', 'print every op, not the worst of each stage')
    .option('--html <file>', 'write a page with all comparisons');
  withExamples(command, [
    'wafc verify plan',
    'wafc verify plan --against onnxruntime --tokens 32 --generate 8',
    'wafc verify plan --input input_ids=ids.npy --ops --html verify.html',
    'wafc verify plan --perplexity text.txt --tokenizer tokenizer.json',
  ]);
  return command.action(async (plan: string, options: Options) => {
    const { seed, ...rest } = options;
    await run({ plan, seed, ...rest }, command);
  });
}
