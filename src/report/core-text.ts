/** One core's program for people; every figure is one of {@link CoreProgram}. */
import { formatInteger } from '../util/format.ts';
import { pairs, table } from '../util/table.ts';
import type { CoreProgram } from './core.ts';

export function renderCore(core: CoreProgram): string {
  return [head(core), routeTable(core), memoryTable(core), ...opTables(core)].join('\n');
}

function head({ x, y, usable, place }: CoreProgram): string {
  const where: [string, string][] =
    place === null
      ? [['region', usable ? 'none: the core runs nothing' : 'none: the core must not be used']]
      : [
          ['region', `${place.region}, column ${place.column}, row ${place.row}`],
          ['stages', place.stages.join(', ')],
        ];
  return `core (${x},${y})\n${pairs(where, '  ')}`;
}

function routeTable({ routes }: CoreProgram): string {
  if (routes.length === 0) return 'Routes: none\n';
  const queue = (n: number | null): string => (n === null ? '-' : String(n));
  const rows = routes.map((r) => [
    String(r.color),
    r.routes.join(' then '),
    queue(r.input),
    queue(r.output),
    r.flow,
    r.when,
  ]);
  return `Routes (from > to; N E S W, R = the core's own ramp)\n${listed(['color', 'route', 'in', 'out', 'flow', 'used'], rows, ['color', 'in', 'out'])}`;
}

function memoryTable({ memory }: CoreProgram): string {
  if (memory.length === 0) return 'SRAM: nothing\n';
  const rows = memory.map(({ name, kind, offset, bytes, live }) => [
    formatInteger(offset),
    formatInteger(bytes),
    kind,
    `${live[0]}..${live[1]}`,
    name,
  ]);
  return `SRAM (the region's fullest core)\n${listed(['address', 'bytes', 'kind', 'live', 'buffer'], rows, ['address', 'bytes'])}`;
}

const opTables = ({ programs }: CoreProgram): string[] =>
  programs.map(({ template, ops }) => {
    const rows = ops.map(({ op, start, cycles, reset, algorithm, writes, receives, sends }, i) => [
      String(i),
      formatInteger(start),
      formatInteger(cycles),
      reset === 0 ? '' : formatInteger(reset),
      [
        algorithm ?? '',
        writes.length === 0 ? '' : `writes ${writes.join(' ')}`,
        receives.length === 0 ? '' : `in ${receives.join(' ')}`,
        sends.length === 0 ? '' : `out ${sends.join(' ')}`,
      ]
        .filter((part) => part !== '')
        .join('; '),
      op,
    ]);
    const heads = ['op', 'start', 'cycles', 'writes', 'colors', 'program'];
    return `Program of ${template}\n${listed(heads, rows, ['op', 'start', 'cycles', 'writes'])}`;
  });

const listed = (heads: readonly string[], rows: readonly (readonly string[])[], right: readonly string[]): string =>
  table(
    heads.map((h) => ({ head: h, align: right.includes(h) ? 'right' : 'left' })),
    rows,
  ).replace(/^(?=.)/gm, '  ');
