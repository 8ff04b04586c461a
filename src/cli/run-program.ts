/**
 * From argv to an exit code: 0 done, 1 the input's fault, 2 bad usage, 3 verification failed, 70 our fault.
 * The answer goes to stdout, all else to stderr; under `--json` stdout is one document whatever happens.
 */
import { type Command, CommanderError } from 'commander';
import { Diagnosed, type Diagnostic } from '../diag/diagnostic.ts';
import { errorDocument, renderDiagnostics } from '../diag/render.ts';
import { BrokenInvariant } from '../pass/manager.ts';
import type { CommonOptions } from './arguments.ts';
import type { Answer } from './drivers.ts';
import type { Io } from './io.ts';

export const EXIT = { done: 0, input: 1, usage: 2, verification: 3, internal: 70, interrupted: 130 } as const;

/** Shows the answer of a command. */
export type Show = (make: () => Promise<Answer> | Answer, command: Command) => Promise<void>;

/** Runs one command line (without node and script) of the program `name`. Never throws, never exits. */
export async function runProgram(
  build: (show: Show) => Command,
  name: string,
  argv: readonly string[],
  io: Io,
): Promise<number> {
  // Known before parsing, since parsing itself can fail.
  const json = argv.includes('--json');
  let exitCode: number = EXIT.done;
  const show = async (make: () => Promise<Answer> | Answer, command: Command): Promise<void> => {
    const { quiet } = command.opts<CommonOptions>();
    const answer = await make();
    io.progress.clear();
    const shown = answer.diagnostics.filter((d) => !(quiet && d.severity === 'remark'));
    if (shown.length > 0 && !json) io.err(renderDiagnostics(shown, io));
    io.out(json ? `${JSON.stringify(answer.json(), null, 2)}\n` : answer.text());
    exitCode = answer.exitCode;
  };
  let usage = '';
  const program = build(show);
  eachCommand(program, (command) =>
    command.exitOverride().configureOutput({
      writeOut: io.out,
      writeErr: (text) => {
        usage += text;
      },
    }),
  );
  try {
    await program.parseAsync(argv, { from: 'user' });
    return exitCode;
  } catch (error) {
    io.progress.clear();
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return EXIT.done;
      if (json) io.out(document([usageDiagnostic(error.message)], EXIT.usage));
      else io.err(usage);
      return EXIT.usage;
    }
    if (error instanceof Diagnosed) {
      if (json) io.out(document(error.diagnostics, EXIT.input));
      else io.err(renderDiagnostics(error.diagnostics, io));
      return EXIT.input;
    }
    const ours = internalDiagnostic(error, name, argv);
    if (json) io.out(document([ours], EXIT.internal));
    else io.err(renderDiagnostics([ours], io));
    if (argv.includes('--debug') && error instanceof Error) io.err(`${error.stack}\n`);
    return EXIT.internal;
  }
}

const document = (diagnostics: readonly Diagnostic[], exitCode: number): string =>
  `${JSON.stringify(errorDocument(diagnostics, exitCode), null, 2)}\n`;

function eachCommand(command: Command, change: (command: Command) => void): void {
  change(command);
  for (const inner of command.commands) eachCommand(inner, change);
}

/** commander's text is `error: ..`, with a suggestion on a second line. */
function usageDiagnostic(message: string): Diagnostic {
  const [first, ...rest] = message.replace(/^error: /, '').split('\n');
  const notes = rest.map((line) => line.replace(/^\((.*)\)$/, '$1')).filter((line) => line !== '');
  return { code: 'cli/usage', severity: 'error', message: first, ...(notes.length === 0 ? {} : { notes }) };
}

/** Everything that is not Diagnosed is a fault of wafc, and the user gets the command that shows it again. */
function internalDiagnostic(error: unknown, name: string, argv: readonly string[]): Diagnostic {
  const message = error instanceof Error ? error.message : String(error);
  const [first, ...rest] = message.split('\n');
  const broken = error instanceof BrokenInvariant;
  // The dump then ends with the program that the faulty pass was given.
  const more = broken ? ['--bisect-limit', String(error.index + 1), '--dump', 'wafc-crash'] : [];
  return {
    code: broken ? 'internal/broken-invariant' : 'internal/error',
    severity: 'error',
    message: first,
    notes: [
      ...rest.map((line) => line.trim()),
      'this is a fault of wafc, not of your model; please report it with what this command prints',
      `replay: ${[name, ...argv.filter((a) => a !== '--debug'), ...more, '--debug'].map(quoted).join(' ')}`,
    ],
  };
}

/** For a POSIX shell. */
const quoted = (word: string): string => (/^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);
