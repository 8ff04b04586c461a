/** `wafc targets`: the machines wafc knows, and where their numbers come from. */
import { Command } from 'commander';
import type { Target } from '../ir/target.ts';
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
    .argument('[name]', 'a target, or a target file');
  withExamples(command, ['wafc targets', 'wafc targets wse3', 'wafc targets my-wafer.json --json']);
  return command.action((name: string | undefined) =>
    run(() => (name === undefined ? all(targets.list()) : one(targets.load(name))), command),
  );
}

/** Cores of the rectangle that are in no defect. */
export function usableCores({ width, height, defects }: Target): number {
  const bad = new Uint8Array(width * height); // defects may overlap
  for (const d of defects) {
    for (let y = d.y; y < Math.min(height, d.y + d.height); y++) {
      bad.fill(1, y * width + Math.min(width, d.x), y * width + Math.min(width, d.x + d.width));
    }
  }
  return width * height - bad.reduce((sum, b) => sum + b, 0);
}

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
  const rows = Object.entries(target).flatMap(([field, value]): string[][] => {
    if (field === 'name' || field === 'summary' || field === 'sources') return [];
    const text = field === 'defects' ? `${target.defects.length} rectangles` : show(value);
    return [[field, text, target.sources[field] ?? '']];
  });
  return {
    exitCode: 0,
    diagnostics: [],
    json: () => ({ schema: 'wafc.target/1', usableCores: usableCores(target), ...target }),
    text: () =>
      `${target.name}: ${target.summary}\n${pairs([['usable cores', formatInteger(usableCores(target))]])}\n${table(
        [
          { head: 'field', align: 'left' },
          { head: 'value', align: 'left' },
          { head: 'source', align: 'left' },
        ],
        rows,
      )}`,
  };
}

function show(value: unknown): string {
  if (typeof value === 'number') return formatInteger(value);
  if (Array.isArray(value)) return value.map(show).join(', ');
  if (typeof value !== 'object' || value === null) return String(value);
  return Object.entries(value)
    .map(([key, inner]) => `${key} ${show(inner)}`)
    .join('; ');
}
