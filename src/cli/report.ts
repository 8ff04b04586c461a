/** `wafc report`: argv to ReportArguments. */
import { Command } from 'commander';
import { corePlace, withExamples } from './arguments.ts';
import type { ReportArguments } from './drivers.ts';

export function reportCommand(run: (args: ReportArguments, command: Command) => Promise<void>): Command {
  const command = new Command('report')
    .summary('say what a plan costs')
    .description('Print the memory, traffic, cycles and tokens per second of a plan, recomputed from the plan alone.')
    .argument('<plan>', 'a folder that `wafc compile -o` wrote')
    .option('--core <x,y>', "one core's program: its routes, queues, memory map and ops with their cycles", corePlace);
  withExamples(command, [
    'wafc report plan',
    'wafc report plan --json | jq .sram',
    'wafc report plan --core 12,34',
    "wafc report plan --core 12,34 --json | jq '.routes[] | .color'",
  ]);
  return command.action(async (plan: string, options: Pick<ReportArguments, 'core'>) => {
    await run({ plan, ...(options.core === undefined ? {} : { core: options.core }) }, command);
  });
}
