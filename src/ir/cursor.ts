/** A place in a text, with what a hand-written parser asks of it. Faults are Diagnosed with line and column. */
import { fail } from '../diag/diagnostic.ts';

export class Cursor {
  readonly text: string;
  /** Shown in diagnostics: a file name. */
  readonly file: string;
  #at = 0;

  constructor(text: string, file: string) {
    this.text = text;
    this.file = file;
  }

  get offset(): number {
    return this.#at;
  }

  /** `case.wir 3:14`, of `offset` or of the next token. */
  where(offset = this.#start(this.#at)): string {
    const before = this.text.slice(0, offset);
    const line = before.split('\n').length;
    return `${this.file} ${line}:${offset - before.lastIndexOf('\n')}`;
  }

  fail(code: string, message: string, offset?: number): never {
    return fail({ code, message, where: this.where(offset) });
  }

  /** Ends with `expected .., found ..` at the next token. */
  expected(what: string): never {
    const rest = this.text.slice(this.#start(this.#at));
    const next = /^(?:"(?:[^"\\\n]|\\.)*"|[%@]?[\w./-]+|\S)/.exec(rest);
    return this.fail('wir/syntax', `expected ${what}, found ${next === null ? 'the end of the text' : `'${next[0]}'`}`);
  }

  /** Consumes `token` if it is next, over blanks, line ends and comments. */
  take(token: string): boolean {
    const start = this.#start(this.#at);
    if (!this.text.startsWith(token, start)) return false;
    this.#at = start + token.length;
    return true;
  }

  expect(token: string): void {
    if (!this.take(token)) this.expected(`'${token}'`);
  }

  /** Consumes a match of `pattern`, which must be sticky. */
  match(pattern: RegExp): string | undefined {
    return this.#matchAt(pattern, this.#start(this.#at));
  }

  /** The same, on the current line only. */
  matchOnLine(pattern: RegExp): string | undefined {
    let start = this.#at;
    while (this.text[start] === ' ' || this.text[start] === '\t') start++;
    return this.#matchAt(pattern, start);
  }

  /** A word, or one in quotes. */
  word(what: string): string {
    const quoted = this.match(/"(?:[^"\\\n]|\\.)*"/y);
    if (quoted !== undefined) return this.unquote(quoted);
    return this.match(/[\w./$-]+(?::+[\w./$-]+)*/y) ?? this.expected(what);
  }

  integer(what: string): number {
    return Number(this.match(/-?\d+/y) ?? this.expected(what));
  }

  unquote(quoted: string): string {
    try {
      return JSON.parse(quoted) as string;
    } catch {
      return this.fail('wir/syntax', `${quoted} is not a string as JSON writes them`, this.#at - quoted.length);
    }
  }

  /** Rest of the line after `//`, trimmed, if a comment is next on this line. */
  lineComment(): string | undefined {
    return this.matchOnLine(/\/\/[^\n]*/y)
      ?.slice(2)
      .trim();
  }

  atEnd(): boolean {
    return this.#start(this.#at) === this.text.length;
  }

  #matchAt(pattern: RegExp, start: number): string | undefined {
    pattern.lastIndex = start;
    const found = pattern.exec(this.text);
    if (found === null) return undefined;
    this.#at = start + found[0].length;
    return found[0];
  }

  /** The first offset from `from` on that is neither blank nor comment. */
  #start(from: number): number {
    const blanks = /(?:\s+|\/\/[^\n]*)*/y;
    blanks.lastIndex = from;
    return from + (blanks.exec(this.text)?.[0].length ?? 0);
  }
}
