/** Rows to score the cost model on, from a CSV file. Nothing is guessed: every fault of the file is reported at once. */
import { readFileSync } from 'node:fs';
import type { PublishedRow } from '../cost/published.ts';
import { Diagnosed, type Diagnostic, fail } from '../diag/diagnostic.ts';
import { type CsvRow, parseCsv } from '../util/csv.ts';

const INTEGERS = ['layers', 'dim', 'ffn', 'seq', 'groups'] as const;
const REALS = ['tok_s', 'clock_ghz'] as const;
const COLUMNS = ['model', 'layers', 'dim', 'ffn', 'seq', 'grid', 'groups', 'tok_s', 'clock_ghz'] as const;
type Column = (typeof COLUMNS)[number];

/** Beyond these a row is a slip of the pen, and its costs would not be numbers. */
const MOST = 2 ** 31;

/**
 * Reads decode rows: a header with {@link COLUMNS} in any order, others are ignored; one row a line.
 * @throws Diagnosed `bench/csv` with every row that cannot be used.
 */
export function readPublishedRows(path: string): PublishedRow[] {
  const [header, ...rows] = parseCsv(textOf(path));
  if (header === undefined) fail({ code: 'bench/csv', message: `${path} is empty`, notes: [NEEDED] });
  const names = header.fields.map((name) => name.toLowerCase());
  const missing = COLUMNS.filter((c) => !names.includes(c));
  const twice = COLUMNS.filter((c) => names.indexOf(c) !== names.lastIndexOf(c));
  if (missing.length > 0)
    fail({ code: 'bench/csv', message: `${path} has no column ${missing.join(', ')}`, notes: [NEEDED] });
  if (twice.length > 0) fail({ code: 'bench/csv', message: `${path} has column ${twice.join(', ')} more than once` });
  if (rows.length === 0) fail({ code: 'bench/csv', message: `${path} has a header and no rows` });
  const faults: Diagnostic[] = [];
  const read = rows.map((row) => publishedRow(row, (c) => row.fields[names.indexOf(c)] ?? '', { path, faults }));
  if (faults.length > 0) throw new Diagnosed(faults);
  return read;
}

const NEEDED = `columns: ${COLUMNS.join(',')}; grid is the side of the square region, as 420 or 420x420`;

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    return fail({
      code: 'bench/csv',
      message: `cannot read ${path}: ${error instanceof Error ? error.message : error}`,
    });
  }
}

function publishedRow(
  { line }: CsvRow,
  field: (column: Column) => string,
  { path, faults }: { readonly path: string; readonly faults: Diagnostic[] },
): PublishedRow {
  const fault = (column: Column, expected: string): number => {
    const message = `${column} is '${field(column)}'; ${expected} is expected`;
    faults.push({ code: 'bench/csv', severity: 'error', message, where: `${path} line ${line}` });
    return 1;
  };
  const real = (column: Column): number => {
    const value = field(column) === '' ? Number.NaN : Number(field(column));
    return value > 0 && value < MOST ? value : fault(column, 'a positive number');
  };
  const integer = (column: Column): number => {
    const value = real(column);
    return Number.isInteger(value) ? value : fault(column, 'a positive integer');
  };
  const grid = (): number => {
    const [, width, height = width] = /^(\d+)(?:\s*[xX×*]\s*(\d+))?$/.exec(field('grid')) ?? [];
    const side = width === height ? Number(width) : Number.NaN;
    if (side > 1 && side < 2 ** 16) return side;
    fault('grid', 'the side of a square region of 2 cores and more, as 420 or 420x420,');
    return MOST;
  };
  const [layers, dim, ffn, seq, groups] = INTEGERS.map(integer);
  const [tokensPerSecond, clockGHz] = REALS.map(real);
  const side = grid();
  if (groups > side) fault('groups', `at most the side of the region, ${side},`);
  return { model: field('model'), layers, dim, ffn, seq, grid: side, groups, tokensPerSecond, clockGHz };
}
