/** Readers of option values. A value that has no reading is bad usage: commander reports it and exits with 2. */
import { type Command, InvalidArgumentError, Option } from 'commander';

/** An integer of at least `least`; `k` and `K` mean 1024 (`--context 8k`). */
export const integerFrom =
  (least: number) =>
  (text: string): number => {
    const parts = /^(\d+)([kK]?)$/.exec(text);
    const value = parts === null ? Number.NaN : Number(parts[1]) * (parts[2] === '' ? 1 : 1024);
    if (Number.isSafeInteger(value) && value >= least) return value;
    throw new InvalidArgumentError(`It must be an integer of at least ${least}.`);
  };

/** `+2%`, `2%`, `2`: percent, not negative. */
export function percent(text: string): number {
  const value = Number(/^\+?(\d+(?:\.\d+)?)%?$/.exec(text)?.[1] ?? Number.NaN);
  if (Number.isFinite(value)) return value;
  throw new InvalidArgumentError('It must be a percentage, as in +2%.');
}

/** A number from 0 to 1. */
export function share(text: string): number {
  const value = Number(/^\d*\.?\d+$/.test(text) ? text : Number.NaN);
  if (value >= 0 && value <= 1) return value;
  throw new InvalidArgumentError('It must be a number from 0 to 1.');
}

/** `NAME=N`, repeatable; collects into one record. */
export function binding(text: string, before: Readonly<Record<string, number>> = {}): Record<string, number> {
  const equals = text.lastIndexOf('=');
  const name = text.slice(0, Math.max(0, equals));
  if (name === '') throw new InvalidArgumentError('It must be NAME=N, as in batch_size=1.');
  const value = integerFrom(0)(text.slice(equals + 1));
  if (Object.hasOwn(before, name) && before[name] !== value) {
    throw new InvalidArgumentError(`${name} is already bound to ${before[name]}.`);
  }
  return Object.fromEntries([...Object.entries(before), [name, value]]);
}

/** `512,4k` and repetitions; collects into one list of lengths, each once. */
export const lengths = (text: string, before: readonly number[] = []): readonly number[] => [
  ...new Set([...before, ...names(text).map(integerFrom(1))]),
];

/** `a,b` and repetitions; collects into one list. */
export const names = (text: string, before: readonly string[] = []): readonly string[] => [
  ...before,
  ...text.split(',').flatMap((name) => (name.trim() === '' ? [] : [name.trim()])),
];

/** `x,y`: column and row of a core. */
export function corePlace(text: string): { readonly x: number; readonly y: number } {
  const parts = /^(\d{1,7}),(\d{1,7})$/.exec(text);
  if (parts === null) throw new InvalidArgumentError('It must be a column and a row, as in 12,34.');
  return { x: Number(parts[1]), y: Number(parts[2]) };
}

/** Repetitions as they are. */
export const collect = (text: string, before: readonly string[] = []): readonly string[] => [...before, text];

/** Options that every command has. */
export interface CommonOptions {
  readonly json?: true;
  readonly quiet?: true;
  readonly debug?: true;
}

export const withCommon = (command: Command): Command =>
  command
    .option('--json', 'print one JSON document instead of text, errors included')
    .option('-q, --quiet', 'no progress, no remarks')
    .addOption(new Option('--debug', 'show the stack of an internal error').hideHelp());

/** Help ends in examples. */
export const withExamples = (command: Command, examples: readonly string[]): Command =>
  command.addHelpText('after', `\nExamples:\n${examples.map((line) => `  $ ${line}\n`).join('')}`.trimEnd());
