/** `wafc passes`: what each pass reads, gives and keeps. */
import { Command } from 'commander';
import { fail } from '../diag/diagnostic.ts';
import type { AnyPass, PassRegistry } from '../pass/pass.ts';
import { suggest } from '../util/suggest.ts';
import { pairs, table } from '../util/table.ts';
import { withExamples } from './arguments.ts';
import type { Answer } from './drivers.ts';

export function passesCommand(
  registry: PassRegistry,
  run: (answer: () => Answer, command: Command) => Promise<void>,
): Command {
  const command = new Command('passes')
    .summary('list the passes, in pipeline order')
    .description('List the passes in pipeline order, or show one with its options.')
    .argument('[name]', 'a pass');
  withExamples(command, ['wafc passes', 'wafc passes cse', 'wafc passes --json']);
  return command.action((name: string | undefined) =>
    run(() => (name === undefined ? all(registry) : one(registry, name)), command),
  );
}

const describe = ({ run: _, ...pass }: AnyPass) => pass;
const list = (words: readonly string[]): string => words.join(' ') || '-';

const all = (registry: PassRegistry): Answer => ({
  exitCode: 0,
  diagnostics: [],
  json: () => ({ schema: 'wafc.passes/1', passes: registry.map(describe) }),
  text: () =>
    table(
      ['pass', 'requires', 'provides', 'preserves', 'numerics', 'summary'].map((head) => ({ head, align: 'left' })),
      registry.map((p) => [p.name, list(p.requires), list(p.provides), list(p.preserves), p.numerics, p.summary]),
    ),
});

function one(registry: PassRegistry, name: string): Answer {
  const pass =
    registry.find((p) => p.name === name) ??
    fail({
      code: 'pass/unknown',
      message: `there is no pass '${name}'`,
      notes: [
        suggest(
          name,
          registry.map((p) => p.name),
        ) ?? '`wafc passes` lists them',
      ],
    });
  const options = Object.entries(pass.options).map(([key, value]): [string, string] => [key, `default ${value}`]);
  return {
    exitCode: 0,
    diagnostics: [],
    json: () => ({ schema: 'wafc.pass/1', ...describe(pass) }),
    text: () =>
      `${pass.name}: ${pass.summary}\n${pairs(
        [
          ['requires', list(pass.requires)],
          ['provides', list(pass.provides)],
          ['preserves', list(pass.preserves)],
          ['numerics', pass.numerics],
        ],
        '  ',
      )}${options.length === 0 ? '' : `  options\n${pairs(options, '    ')}`}`,
  };
}
