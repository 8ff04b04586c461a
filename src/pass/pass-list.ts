/**
 * The text form of a pass list: `prune-blocks{sparsity=0.5, axes=x|y},dead-code`. Option names and types come
 * from the pass's defaults; every mistake in the text is reported, not only the first.
 */
import { Diagnosed, type Diagnostic } from '../diag/diagnostic.ts';
import { suggest } from '../util/suggest.ts';
import type { AnyPass, OptionValue, PassRegistry, Step } from './pass.ts';

/** Throws Diagnosed. An empty text is an empty list. */
export function parsePassList(text: string, registry: PassRegistry): readonly Step[] {
  const faults: Diagnostic[] = [];
  const steps: Step[] = [];
  for (const entry of splitOutside(text, ',')) {
    const parts = /^\s*([\w-]+)\s*(?:\{([^{}]*)\})?\s*$/.exec(entry);
    if (parts === null) {
      faults.push(syntax(`'${entry.trim()}' is not of the form name or name{option=value, ..}`));
      continue;
    }
    const pass = registry.find(({ name }) => name === parts[1]);
    if (pass === undefined) {
      const known = registry.map(({ name }) => name);
      faults.push({
        code: 'pass/unknown',
        severity: 'error',
        message: `there is no pass '${parts[1]}'`,
        notes: [suggest(parts[1], known) ?? '`wafc passes` lists them'],
      });
      continue;
    }
    const options = parseOptions(pass, parts[2] ?? '', faults);
    steps.push({ pass, options: { ...pass.options, ...options } });
  }
  if (faults.length > 0) throw new Diagnosed(faults);
  return steps;
}

/** The inverse, with every option spelt out. */
export function printPassList(steps: readonly Step[]): string {
  return steps
    .map(({ pass, options }) => {
      const shown = Object.entries(options).map(([name, value]) => `${name}=${printOption(value)}`);
      return shown.length === 0 ? pass.name : `${pass.name}{${shown.join(', ')}}`;
    })
    .join(',');
}

const printOption = (value: OptionValue): string => (typeof value === 'object' ? value.join('|') : String(value));

function parseOptions(pass: AnyPass, text: string, faults: Diagnostic[]): Record<string, OptionValue> {
  const options: Record<string, OptionValue> = {};
  for (const entry of text.split(',')) {
    if (entry.trim() === '') continue;
    const equals = entry.indexOf('=');
    const name = (equals < 0 ? entry : entry.slice(0, equals)).trim();
    const given = equals < 0 ? 'true' : entry.slice(equals + 1).trim();
    if (!Object.hasOwn(pass.options, name)) {
      const known = Object.keys(pass.options);
      faults.push({
        code: 'pass/option',
        severity: 'error',
        message: `${pass.name} has no option '${name}'`,
        notes: [suggest(name, known) ?? (known.length === 0 ? 'it has no options' : `it has ${known.join(', ')}`)],
      });
      continue;
    }
    const value = parseValue(given, pass.options[name]);
    if (value !== undefined) options[name] = value;
    else {
      const wanted = describe(pass.options[name]);
      faults.push({
        code: 'pass/option',
        severity: 'error',
        message: `${pass.name}{${name}} takes ${wanted}, not '${given}'`,
      });
    }
  }
  return options;
}

/** `text` as a value of the type of `like`, or undefined. */
function parseValue(text: string, like: OptionValue): OptionValue | undefined {
  switch (typeof like) {
    case 'boolean':
      return text === 'true' ? true : text === 'false' ? false : undefined;
    case 'number':
      return parseNumber(text);
    case 'string':
      return text;
    case 'object': {
      const items = text === '' ? [] : text.split('|').map((item) => item.trim());
      if (typeof like[0] !== 'number') return items;
      const numbers = items.map(parseNumber);
      return numbers.every((n) => n !== undefined) ? numbers : undefined;
    }
  }
}

const parseNumber = (text: string): number | undefined =>
  /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(text) ? Number(text) : undefined;

function describe(like: OptionValue): string {
  if (typeof like === 'boolean') return 'true or false';
  if (typeof like === 'number') return 'a number';
  if (typeof like === 'string') return 'a word';
  return typeof like[0] === 'number' ? 'numbers separated by |' : 'words separated by |';
}

const syntax = (message: string): Diagnostic => ({ code: 'pass/list', severity: 'error', message });

/** Splits at `separator` outside braces; no entries for blank text. */
function splitOutside(text: string, separator: string): string[] {
  if (text.trim() === '') return [];
  const parts = [''];
  let depth = 0;
  for (const char of text) {
    if (char === '{') depth++;
    if (char === '}') depth--;
    if (char === separator && depth === 0) parts.push('');
    else parts[parts.length - 1] += char;
  }
  return parts;
}
