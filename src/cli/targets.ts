/** `wafc targets`: the machines wafc knows, and where their numbers come from. */
import { Command } from 'commander';
import type { Target } from '../ir/target.ts';
import { usableCores } from '../target/cores.ts';
import { formatBytes, formatCount, formatInteger } from '../util/format.ts';
import { pairs, table } from '../util/table.ts';
import { withExamples } from './arguments.ts';
import type { Answer, Drivers } from './drivers.ts';

export function targetsCommand(
  targets: NonNullable<Drivers['targets']>,
  run: (answer: () => Answer, command: Command) => Promise<void>,
): Command {
  const command = new Command('targets')
    .summary('list the machines')
    .description('List the targets, or show one with the source of every number.')
    .argument('[name]', 'a target, or a target file')
    .option(
      '--check',
      'only say whether it holds: all findings, or that there are none; without a name, of all targets',
    );
  withExamples(command, [
    'wafc targets',
    'wafc targets wse3',
    'wafc targets my-wafer.json --json',
    'wafc targets my-wafer.json --check',
  ]);
  return command.action((name: string | undefined, { check }: { readonly check?: true }) =>
    run(() => {
      if (check) return checked(name === undefined ? targets.list() : [targets.load(name)]);
      return name === undefined ? all(targets.list()) : one(targets.load(name));
    }, command),
  );
}

/** Loading refuses what does not hold, with every finding; what is left to say is what was looked at. */
const checked = (targets: readonly Target[]): Answer => ({
  exitCode: 0,
  diagnostics: [],
  json: () => ({ schema: 'wafc.targets-check/1', holds: targets.map((t) => t.name) }),
  text: () =>
    targets
      .map((t) => {
        const numbers = Object.entries(t).flatMap(([field, value]) =>
          ['name', 'summary', 'defects', 'sources'].includes(field) ? [] : rowsOf(field, value, t.sources),
        );
        return `${t.name}: holds; ${numbers.length} numbers with their sources, ${formatInteger(usableCores(t))} usable cores\n`;
      })
      .join(''),
});

const all = (targets: readonly Target[]): Answer => ({
  exitCode: 0,
  diagnostics: [],
  json: () => ({ schema: 'wafc.targets/1', targets }),
  text: () =>
    table(
      [
        { head: 'target', align: 'left' },
        { head: 'cores', align: 'right' },
        { head: 'grid', align: 'right' },
        { head: 'SRAM/core', align: 'right' },
        { head: 'SRAM', align: 'right' },
        { head: 'GHz', align: 'right' },
        { head: 'summary', align: 'left' },
      ],
      targets.map((t) => [
        t.name,
        formatCount(usableCores(t)),
        `${t.width}x${t.height}`,
        formatBytes(t.sramBytes),
        formatBytes(t.sramBytes * usableCores(t)),
        t.clocksGHz.join('/'),
        t.summary,
      ]),
    ),
});

function one(target: Target): Answer {
  const { name, summary, sources, defects, ...numbers } = target;
  const rows = Object.entries(numbers).flatMap(([field, value]) => rowsOf(field, value, sources));
  return {
    exitCode: 0,
    diagnostics: [],
    json: () => ({ schema: 'wafc.target/1', usableCores: usableCores(target), ...target }),
    text: () =>
      `${name}: ${summary}\n${pairs([
        ['usable cores', formatInteger(usableCores(target))],
        ['defects', `${defects.length} rectangles`],
      ])}\n${table(
        [
          { head: 'field', align: 'left' },
          { head: 'value', align: 'left' },
          { head: 'source', align: 'left' },
        ],
        rows,
      )}`,
  };
}

/** A row per number, as `sources` names them: `macsPerCycle.f16`. */
function rowsOf(path: string, value: unknown, sources: Target['sources']): readonly (readonly string[])[] {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return Object.entries(value).flatMap(([key, inner]) => rowsOf(`${path}.${key}`, inner, sources));
  }
  const shown = Array.isArray(value)
    ? value.join(' ')
    : typeof value === 'number'
      ? formatInteger(value)
      : String(value);
  return [[path, shown, sources[path] ?? sources[path.split('.')[0]] ?? '']];
}
