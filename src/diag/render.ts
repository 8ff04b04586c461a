/**
 * Diagnostics as text for people and as JSON for programs. Nothing is decided here; the arithmetic that a reader
 * could check (terms, need, have, short) adds up.
 *
 *     error[fit/sram]: c_attn weights do not fit the cores they were given
 *       node   /h.7/attn/c_attn/MatMul
 *       need   1.69 MiB = weights 1.50 MiB + activations 128.0 KiB + receive buffers 64.0 KiB
 *       have   1.50 MiB
 *       short  192.0 KiB (12.5 %)
 *       any one of these fits:
 *         --sparsity 0.57    weights 1.29 MiB; outputs move further from the dense model
 */
import { formatBytes, formatPercent } from '../util/format.ts';
import { paint, type Style } from '../util/color.ts';
import { pairs } from '../util/table.ts';
import type { Diagnostic, Term } from './diagnostic.ts';

const STYLE: Readonly<Record<Diagnostic['severity'], Style>> = { error: 'red', warning: 'yellow', remark: 'cyan' };

export interface RenderOptions {
  readonly color: boolean;
}

/** Errors first, then warnings, then remarks, each in the order found; a count at the end when there are several. */
export function renderDiagnostics(diagnostics: readonly Diagnostic[], options: RenderOptions): string {
  const bySeverity = (['error', 'warning', 'remark'] as const).map((s) => diagnostics.filter((d) => d.severity === s));
  const texts = bySeverity.flat().map((d) => renderDiagnostic(d, options));
  if (diagnostics.length < 2) return texts.join('');
  const counts = bySeverity.filter((d) => d.length > 0).map((d) => plural(d.length, d[0].severity));
  return `${texts.join('')}${counts.join(', ')}\n`;
}

export function renderDiagnostic(diagnostic: Diagnostic, { color }: RenderOptions): string {
  const { code, severity, message, node, where, shortfall, notes = [], remedies = [] } = diagnostic;
  const facts: [string, string][] = [];
  if (node !== undefined) facts.push(['node', node]);
  if (where !== undefined) facts.push(['where', where]);
  if (shortfall !== undefined) {
    const { need, have } = shortfall;
    const terms = balanced(need, shortfall.terms).map(({ what, bytes }) => `${what} ${formatBytes(bytes)}`);
    facts.push(['need', `${formatBytes(need)}${terms.length === 0 ? '' : ` = ${terms.join(' + ')}`}`]);
    facts.push(['have', formatBytes(have)]);
    facts.push(['short', `${formatBytes(need - have)}${have > 0 ? ` (${formatPercent((need - have) / have)})` : ''}`]);
  }
  const head = `${paint(`${severity}[${code}]`, STYLE[severity], color)}: ${paint(message, 'bold', color)}\n`;
  const said = notes.map((note) => `  note: ${note}\n`).join('');
  const ways = remedies.length === 0 ? '' : `  ${remedies.length === 1 ? 'this fits' : 'any one of these fits'}:\n`;
  return `${head}${pairs(facts, '  ')}${said}${ways}${pairs(
    remedies.map(({ flag, effect }) => [flag, effect]),
    '    ',
  )}`;
}

/** The terms, and what they leave of `need` under a name of its own, so that the sum is always true. */
export function balanced(need: number, terms: readonly Term[]): readonly Term[] {
  const rest = need - terms.reduce((sum, { bytes }) => sum + bytes, 0);
  return rest === 0 || terms.length === 0 ? terms : [...terms, { what: 'other', bytes: rest }];
}

/** The JSON document that `--json` prints instead of an answer when there is none. */
export interface ErrorDocument {
  readonly schema: 'wafc.error/1';
  readonly exitCode: number;
  readonly diagnostics: readonly Diagnostic[];
}

/** As data: a shortfall also says how much is missing. */
export function errorDocument(diagnostics: readonly Diagnostic[], exitCode: number): ErrorDocument {
  const shown = diagnostics.map((d) =>
    d.shortfall === undefined ? d : { ...d, shortfall: { ...d.shortfall, short: d.shortfall.need - d.shortfall.have } },
  );
  return { schema: 'wafc.error/1', exitCode, diagnostics: shown };
}

const plural = (count: number, word: string): string => `${count} ${word}${count === 1 ? '' : 's'}`;
