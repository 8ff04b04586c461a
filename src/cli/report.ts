/** `wafc report`: argv to ReportArguments. */
import { Command } from 'commander';
import { withExamples } from './arguments.ts';
import type { ReportArguments } from './drivers.ts';

export function reportCommand(run: (args: ReportArguments, command: Command) => Promise<void>): Command {
  const command = new Command('report')
    .summary('say what a plan costs')
    .description('Print the memory, traffic, cycles and tokens per second of a plan, recomputed from the plan alone.')
    .argument('<plan>', 'a folder that `wafc compile -o` wrote');
  withExamples(command, ['wafc report plan', 'wafc report plan --json | jq .sram']);
  return command.action(async (plan: string) => {
    await run({ plan }, command);
  });
}
