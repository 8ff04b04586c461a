/** `wafc explain`: what a diagnostic code means and what to do. */
import { Command } from 'commander';
import { CODES as OWN_CODES, type CodeEntry, type CodeTable } from '../diag/codes.ts';
import { fail } from '../diag/diagnostic.ts';
import { suggest } from '../util/suggest.ts';
import { RULES } from '../verify/rules.ts';
import { pairs } from '../util/table.ts';
import { withExamples } from './arguments.ts';
import type { Answer } from './drivers.ts';

/** Rules of verifiers are codes, too. */
const CODES: CodeTable = {
  ...OWN_CODES,
  ...Object.fromEntries(
    RULES.flatMap(({ name, rules }) =>
      Object.entries(rules).map(([id, holds]): [string, CodeEntry] => [`verify/${id}`, ruleEntry(name, id, holds)]),
    ),
  ),
};

function ruleEntry(family: string, id: string, holds: string): CodeEntry {
  return {
    title: `rule ${id} of ${family}: ${holds}`,
    why: 'The rule is recomputed by code that shares nothing with the passes, from the program, or from the plan and its target alone.',
    fix: 'A plan that was edited has to follow the rule; undo the change it names, or compile again. Where nothing was edited it is a fault of wafc: please report it.',
  };
}

export function explainCommand(run: (answer: () => Answer, command: Command) => Promise<void>): Command {
  const command = new Command('explain')
    .summary('explain a diagnostic code')
    .description('Explain the code of a diagnostic; without a code, list all of them.')
    .argument('[code]', 'as printed in brackets: fit/sram');
  withExamples(command, ['wafc explain onnx/unsupported-op', 'wafc explain']);
  return command.action((code: string | undefined) =>
    run(() => (code === undefined ? allCodes() : oneCode(code)), command),
  );
}

function oneCode(given: string): Answer {
  const code = given.replace(/^\[|\]$/g, '');
  if (!Object.hasOwn(CODES, code)) {
    const notes = [suggest(code, Object.keys(CODES)) ?? '`wafc explain` lists all codes'];
    return fail({ code: 'cli/unknown-code', message: `there is no diagnostic code '${code}'`, notes });
  }
  const entry: CodeEntry = CODES[code];
  return {
    exitCode: 0,
    diagnostics: [],
    text: () => `${code}: ${entry.title}\n\n${wrap(entry.why)}\nWhat to do: ${wrap(entry.fix, 12)}`,
    json: () => ({ schema: 'wafc.explain/1', code, ...entry }),
  };
}

const allCodes = (): Answer => ({
  exitCode: 0,
  diagnostics: [],
  text: () => pairs(Object.entries(CODES).map(([code, { title }]) => [code, title])),
  json: () => ({ schema: 'wafc.codes/1', codes: CODES }),
});

/** Lines of at most 100 columns; `used` columns of the first are taken. */
function wrap(text: string, used = 0): string {
  const lines = [''];
  let width = used;
  for (const word of text.split(/\s+/)) {
    if (width > 0 && width + 1 + word.length > 100) {
      lines.push('');
      width = 0;
    }
    const last = lines.length - 1;
    lines[last] += lines[last] === '' ? word : ` ${word}`;
    width += word.length + 1;
  }
  return `${lines.join('\n')}\n`;
}
