/** Observers of the manager's step: dumps, differences, times, counters, numeric checks. None changes a program. */
import { join } from 'node:path';
import { FACTS, type Program } from '../ir/facts.ts';
import { printProgram } from '../ir/print-program.ts';
import { diffLines } from '../util/diff.ts';
import { formatInteger } from '../util/format.ts';
import { table } from '../util/table.ts';
import type { Observer, PassEvent } from './manager.ts';

type Write = (text: string) => void;

/** References are compared, so that a pass cannot misreport it. */
export const isChanged = (before: Program, after: Program): boolean =>
  before.graph !== after.graph || FACTS.some((fact) => before[fact] !== after[fact]);

/** Writes `0007.prune-blocks.changed.wir` after the seventh pass, `0000.start.wir` before the first: names sort by order and say whether anything changed. */
export function dumpTo(folder: string, writeFile: (path: string, text: string) => void): Observer {
  return ({ index, step, before, after }) => {
    if (index === 0) writeFile(join(folder, '0000.start.wir'), printProgram(before));
    const name = `${String(index + 1).padStart(4, '0')}.${step.pass.name}.${isChanged(before, after) ? 'changed' : 'same'}.wir`;
    writeFile(join(folder, name), printProgram(after));
  };
}

/** Prints the program after each pass of `names`; the name `all` means every pass. */
export const printAfter =
  (names: readonly string[], write: Write): Observer =>
  ({ index, step, after }) => {
    if (isNamed(names, step.pass.name)) write(`// after ${index} ${step.pass.name}\n${printProgram(after)}`);
  };

/** Prints what each pass of `names` changed, as a line difference. */
export const diffAfter =
  (names: readonly string[], write: Write): Observer =>
  ({ index, step, before, after }) => {
    if (!isNamed(names, step.pass.name)) return;
    const text = diffLines(printProgram(before), printProgram(after), 2);
    write(`// ${index} ${step.pass.name}${text === '' ? ' changed nothing\n' : `\n${text}`}`);
  };

const isNamed = (names: readonly string[], name: string): boolean => names.includes(name) || names.includes('all');

/** Collects events; `text` is the table of `--time`. */
export function timePasses(): { readonly observe: Observer; text(): string } {
  const events: Pick<PassEvent, 'index' | 'step' | 'milliseconds'>[] = [];
  return {
    observe: ({ index, step, milliseconds }) => events.push({ index, step, milliseconds }),
    text() {
      const total = events.reduce((sum, e) => sum + e.milliseconds, 0);
      const share = (ms: number): string => (total === 0 ? '0.0' : ((100 * ms) / total).toFixed(1));
      const rows = events.map((e) => [
        String(e.index),
        e.step.pass.name,
        e.milliseconds.toFixed(1),
        share(e.milliseconds),
      ]);
      return table(
        [
          { head: 'pass', align: 'right' },
          { head: 'name', align: 'left' },
          { head: 'ms', align: 'right' },
          { head: '%', align: 'right' },
        ],
        [...rows, ['', 'total', total.toFixed(1), total === 0 ? '0.0' : '100.0']],
      );
    },
  };
}

/** Collects what passes counted; `text` is one `pass: what = n` line each, in order of first mention. */
export function countPasses(): {
  readonly observe: Observer;
  readonly totals: ReadonlyMap<string, ReadonlyMap<string, number>>;
  text(): string;
} {
  const totals = new Map<string, Map<string, number>>();
  return {
    totals,
    observe({ step, counts }) {
      const mine = totals.get(step.pass.name) ?? new Map<string, number>();
      for (const [what, n] of counts) mine.set(what, (mine.get(what) ?? 0) + n);
      if (mine.size > 0) totals.set(step.pass.name, mine);
    },
    text: () =>
      [...totals]
        .flatMap(([pass, counts]) => [...counts].map(([what, n]) => `stat: ${pass}: ${what} = ${formatInteger(n)}\n`))
        .join(''),
  };
}

/** A comparison of what two programs compute, for `--check-numerics`; throws when the pass's promise is broken. */
export type NumericCheck = (event: PassEvent) => void;

/** Runs `check` after every pass that changed the graph. */
export const checkNumerics =
  (check: NumericCheck): Observer =>
  (event) => {
    if (event.before.graph !== event.after.graph) check(event);
  };
