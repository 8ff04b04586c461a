/** The flags that steer and watch a run of passes, as data; `compile` and whatever else runs passes take them. */
import { Diagnosed, type Diagnostic } from '../diag/diagnostic.ts';
import { suggest } from '../util/suggest.ts';
import type { Observer } from './manager.ts';
import { checkNumerics, countPasses, diffAfter, dumpTo, type NumericCheck, printAfter, timePasses } from './observe.ts';
import type { PassRegistry } from './pass.ts';

export interface PassFlags {
  /** Text of a pass list that takes the place of the pipeline. */
  readonly passes?: string;
  readonly skip: readonly string[];
  readonly bisectLimit?: number;
  /** Folder for a `.wir` file per pass. */
  readonly dump?: string;
  readonly printAfter: readonly string[];
  readonly diffAfter: readonly string[];
  readonly time: boolean;
  readonly stats: boolean;
  readonly checkNumerics: boolean;
  /** Programs are verified after every pass unless this is false. */
  readonly verifyEach: boolean;
}

export const NO_FLAGS: PassFlags = {
  skip: [],
  printAfter: [],
  diffAfter: [],
  time: false,
  stats: false,
  checkNumerics: false,
  verifyEach: true,
};

export interface FlagEffects {
  /** For people, at once: stderr. */
  write(text: string): void;
  writeFile(path: string, text: string): void;
  /** Needed for `checkNumerics` only. */
  readonly compare?: NumericCheck;
}

/** Observers for the flags, and `summary`: the tables of `--time` and `--stats`, to be shown after the run. */
export function observersFor(flags: PassFlags, effects: FlagEffects): { observers: Observer[]; summary(): string } {
  const observers: Observer[] = [];
  const tables: { text(): string }[] = [];
  if (flags.dump !== undefined) observers.push(dumpTo(flags.dump, effects.writeFile));
  if (flags.printAfter.length > 0) observers.push(printAfter(flags.printAfter, effects.write));
  if (flags.diffAfter.length > 0) observers.push(diffAfter(flags.diffAfter, effects.write));
  if (flags.checkNumerics && effects.compare !== undefined) observers.push(checkNumerics(effects.compare));
  for (const [wanted, make] of [
    [flags.time, timePasses],
    [flags.stats, countPasses],
  ] as const) {
    if (!wanted) continue;
    const table = make();
    observers.push(table.observe);
    tables.push(table);
  }
  return { observers, summary: () => tables.map((t) => t.text()).join('') };
}

/** Flags that name passes must name passes that exist; `all` is one where output is asked for. Throws Diagnosed. */
export function checkPassNames(flags: PassFlags, registry: PassRegistry): void {
  const known = registry.map(({ name }) => name);
  const faults: Diagnostic[] = [];
  const check = (flag: string, names: readonly string[], extra: readonly string[]): void => {
    for (const name of names) {
      if (known.includes(name) || extra.includes(name)) continue;
      const notes = [suggest(name, known) ?? '`wafc passes` lists them'];
      faults.push({ code: 'pass/unknown', severity: 'error', message: `${flag}: there is no pass '${name}'`, notes });
    }
  };
  check('--skip', flags.skip, []);
  check('--print-after', flags.printAfter, ['all']);
  check('--diff-after', flags.diffAfter, ['all']);
  if (faults.length > 0) throw new Diagnosed(faults);
}
