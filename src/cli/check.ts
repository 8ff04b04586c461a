/** `wafc check`: argv to CheckArguments. */
import { Command } from 'commander';
import { withExamples } from './arguments.ts';
import type { CheckArguments } from './drivers.ts';

export function checkCommand(run: (args: CheckArguments, command: Command) => Promise<void>): Command {
  const command = new Command('check')
    .summary('check a plan on paper')
    .description(
      'Recompute everything that can be known of a plan without running it: placement, SRAM maps, digests, and the ' +
        'tiles of weights.bin against the weights of the model. Exit code 3 when a rule is broken.',
    )
    .argument('<plan>', 'a folder that `wafc compile -o` wrote, edited or not')
    .option('--model <file>', "compare the weights with this model's instead of the plan's own model.onnx");
  withExamples(command, ['wafc check plan', 'wafc check plan --model model.onnx', 'wafc explain verify/F2']);
  return command.action(async (plan: string, { model }: { readonly model?: string }) => {
    await run({ plan, ...(model === undefined ? {} : { model }) }, command);
  });
}
