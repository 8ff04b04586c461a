/** Comma-separated values as RFC 4180 has them: quoted fields, doubled quotes, any line ends, a byte order mark. */

export interface CsvRow {
  /** Of the file, counted from 1: where the row begins. */
  readonly line: number;
  readonly fields: readonly string[];
}

/** Rows that are not blank, fields trimmed unless quoted. An open quote ends with the text. */
export function parseCsv(text: string): CsvRow[] {
  const rows: CsvRow[] = [];
  let fields: string[] = [];
  let [line, start] = [1, 1];
  const endRow = (): void => {
    if (fields.some((field) => field !== '')) rows.push({ line: start, fields });
    fields = [];
    start = line;
  };
  // A field, and what ends it: a comma, a line end, or the text's end.
  const field = /[ \t]*(?:"((?:[^"]|"")*)(?:"|$)[^,\r\n]*|([^,\r\n]*))(,|\r\n|\n|\r|$)/y;
  field.lastIndex = text.startsWith('\ufeff') ? 1 : 0;
  while (field.lastIndex <= text.length) {
    const match = field.exec(text);
    if (match === null) break;
    const [, quoted, plain, end] = match;
    fields.push(quoted === undefined ? plain.trim() : quoted.replaceAll('""', '"'));
    line += (match[0].match(/\r\n|\n|\r/g) ?? []).length;
    if (end !== ',') endRow();
    if (end === '') break;
  }
  return rows;
}
