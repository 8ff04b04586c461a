/** Terminal colours, and when to use them. */

const CODES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const;
export type Style = keyof typeof CODES;

/** `text` in a style, or as it is when `color` is false. */
export const paint = (text: string, style: Style, color: boolean): string =>
  color ? `\x1b[${CODES[style]}m${text}\x1b[0m` : text;

/** no-color.org: any non-empty NO_COLOR wins; then FORCE_COLOR; then whether people look at the stream. */
export function wantsColor(isTTY: boolean, env: Readonly<Record<string, string | undefined>>): boolean {
  if (env.NO_COLOR !== undefined && env.NO_COLOR !== '') return false;
  if (env.FORCE_COLOR !== undefined && env.FORCE_COLOR !== '') return env.FORCE_COLOR !== '0';
  return isTTY && env.TERM !== 'dumb';
}
