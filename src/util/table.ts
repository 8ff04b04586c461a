/** Text tables that line up, in a monospaced font, for stdout. */

export interface Column {
  readonly head: string;
  /** Numbers go right. */
  readonly align: 'left' | 'right';
}

/** Columns two blanks apart; no trailing blanks; ends with a line end. */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const all = [columns.map((c) => c.head), ...rows];
  const widths = columns.map((_, i) => Math.max(...all.map((row) => displayWidth(row[i] ?? ''))));
  const line = (row: readonly string[]): string =>
    columns
      .map(({ align }, i) => {
        const cell = row[i] ?? '';
        const fill = ' '.repeat(widths[i] - displayWidth(cell));
        return align === 'right' ? fill + cell : cell + fill;
      })
      .join('  ')
      .trimEnd();
  return `${all.map(line).join('\n')}\n`;
}

/** `key   value` lines; keys padded to the longest. */
export function pairs(entries: readonly (readonly [key: string, value: string])[], indent = ''): string {
  const width = Math.max(0, ...entries.map(([key]) => displayWidth(key)));
  return entries
    .map(([key, value]) => `${indent}${key}${' '.repeat(width - displayWidth(key))}  ${value}`.trimEnd())
    .map((text) => `${text}\n`)
    .join('');
}

/** Cells a terminal gives the text: wide East Asian characters take two, combining marks none. */
export function displayWidth(text: string): number {
  let width = 0;
  for (const char of text) {
    if (/\p{Mark}/u.test(char)) continue;
    width +=
      /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\u{1f300}-\u{1faff}]/u.test(char)
        ? 2
        : 1;
  }
  return width;
}
