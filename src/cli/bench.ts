/** `wafc bench`: argv to BenchArguments. */
import { Argument, Command } from 'commander';
import { withExamples } from './arguments.ts';
import type { BenchArguments } from './drivers.ts';

export function benchCommand(run: (args: BenchArguments, command: Command) => Promise<void>): Command {
  const command = new Command('bench')
    .summary('hold the cost model against measurements')
    .description(
      'waferllm: predict the published plan on published rows, and compare; rows of a file are scored the same way.\n' +
        'calibrate: repeat the fit of the constants, with its residuals.',
    )
    .addArgument(new Argument('<what>', 'what to run').choices(['waferllm', 'calibrate']))
    .option('--csv <file>', 'further rows: model,layers,dim,ffn,seq,grid,groups,tok_s,clock_ghz')
    .option('--no-own', 'leave out our own plans, which take some seconds to make');
  withExamples(command, ['wafc bench waferllm', 'wafc bench waferllm --csv more.csv --json', 'wafc bench calibrate']);
  return command.action(async (what: BenchArguments['what'], { csv, own }: { csv?: string; own: boolean }) => {
    if (csv !== undefined && what !== 'waferllm') command.error('error: --csv is read by `wafc bench waferllm` only');
    await run({ what, own, ...(csv === undefined ? {} : { csv }) }, command);
  });
}
