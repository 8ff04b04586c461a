/** The commands of `wafc`, put together. */
import { Command } from 'commander';
import { type CommonOptions, withCommon, withExamples } from './arguments.ts';
import { benchCommand } from './bench.ts';
import { checkCommand } from './check.ts';
import { compileCommand } from './compile.ts';
import type { Drivers, Effects } from './drivers.ts';
import { emitCommand } from './emit.ts';
import { explainCommand } from './explain.ts';
import { inspectCommand } from './inspect.ts';
import type { Io } from './io.ts';
import { passesCommand } from './passes.ts';
import { reportCommand } from './report.ts';
import { runCommand } from './run.ts';
import { runProgram, type Show } from './run-program.ts';
import { interruption } from './signals.ts';
import { targetsCommand } from './targets.ts';
import { verifyCommand } from './verify.ts';

/** Runs one command line (without node and script). Never throws, never exits. */
export const runCli = (argv: readonly string[], drivers: Drivers, io: Io): Promise<number> =>
  runProgram((show) => buildProgram(drivers, io, show), 'wafc', argv, io);

function buildProgram(drivers: Drivers, io: Io, show: Show): Command {
  const program = new Command('wafc')
    .description('Compiles distilled transformers (ONNX) onto wafer-scale chips.')
    .version(drivers.version, '-V, --version')
    .helpCommand('help [command]', 'show the help of a command');
  withExamples(program, [
    'wafc inspect model.onnx',
    'wafc compile model.onnx --target wse3 -o plan',
    'wafc verify plan',
    'wafc explain fit/sram',
  ]);
  const effects = (command: Command): Effects => {
    const { quiet } = command.opts<CommonOptions>();
    return {
      progress: quiet || command.opts<CommonOptions>().json ? { update: () => {}, clear: () => {} } : io.progress,
      note: (text) => {
        if (!quiet) io.err(text);
      },
      show: io.err,
      stream: command.opts<CommonOptions>().json ? () => {} : io.out,
      interruption,
      now: io.now,
    };
  };
  const { compile, check, verify, emit, run, report, bench, openModel, recognise, knowsOp, passes, targets } = drivers;
  const commands: Command[] = [];
  if (compile) commands.push(compileCommand((args, c) => show(() => compile(args, effects(c)), c)));
  if (check) commands.push(checkCommand((args, c) => show(() => check(args, effects(c)), c)));
  if (verify) commands.push(verifyCommand((args, c) => show(() => verify(args, effects(c)), c)));
  if (emit) commands.push(emitCommand((args, c) => show(() => emit(args, effects(c)), c)));
  if (run) commands.push(runCommand((args, c) => show(() => run(args, effects(c)), c)));
  if (report) commands.push(reportCommand((args, c) => show(() => report(args, effects(c)), c)));
  if (bench) commands.push(benchCommand((args, c) => show(() => bench(args, effects(c)), c)));
  if (openModel) commands.push(inspectCommand({ openModel, recognise, knowsOp }, show));
  if (targets) commands.push(targetsCommand(targets, show));
  if (passes) commands.push(passesCommand(passes, show));
  commands.push(explainCommand(show));
  for (const command of commands) program.addCommand(withCommon(command));
  return program;
}
