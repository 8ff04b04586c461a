/** The compression section of the report for people: the model on the text of --eval, and the matrices that lost most. */
import { formatInteger, formatPercent } from '../util/format.ts';
import { pairs, table } from '../util/table.ts';
import type { MatrixFigures } from './compression.ts';
import type { Report } from './report.ts';

const SHOWN = 8;

/** Empty where nothing was compressed or measured. */
export function compressionText({ compression }: Report): string {
  const { matrices, perplexity, divergence, sqnrDb, weights, kv, bitsPerWeight } = compression;
  if (matrices === null && perplexity === null) return '';
  const rows: [string, string][] = [
    ['weights', `${weights}, ${bitsPerWeight.toFixed(2)} bits each; keys and values ${kv ?? 'none'}`],
  ];
  if (sqnrDb !== null) rows.push(['noise', `${sqnrDb.toFixed(1)} dB SQNR over ${matrices?.length ?? 0} matrices`]);
  if (perplexity !== null) {
    const rise = (perplexity.compressed / perplexity.dense - 1) * 100;
    const change = `${perplexity.dense.toFixed(4)} to ${perplexity.compressed.toFixed(4)} (${rise >= 0 ? '+' : ''}${rise.toFixed(2)} %)`;
    rows.push(['perplexity', `${change} on ${perplexity.text}`]);
  }
  if (divergence !== null) {
    const { klMean, klP99, agreement, cosine, predictions, window, tokenizer } = divergence;
    rows.push(
      ['divergence', `KL ${klMean.toExponential(2)} a token, 99 % below ${klP99.toExponential(2)}`],
      ['agreement', `likeliest token ${formatPercent(agreement)}, logits' cosine ${cosine.toFixed(6)}`],
      ['protocol', `${formatInteger(predictions)} predictions in windows of ${window}, tokenizer ${tokenizer}`],
    );
  }
  return `Compression\n${pairs(rows, '  ')}${matrixTable(matrices ?? [])}`;
}

/** Those of the least SQNR first. */
function matrixTable(matrices: readonly MatrixFigures[]): string {
  if (matrices.length === 0) return '';
  const loss = (m: MatrixFigures): number => m.sqnrDb ?? Number.POSITIVE_INFINITY;
  const shown = matrices.toSorted((a, b) => loss(a) - loss(b)).slice(0, SHOWN);
  const heads = ['matrix', 'format', 'bits', 'SQNR dB', 'output cosine', 'output MSE', 'clipped', 'bytes/core'];
  const text = table(
    heads.map((head, i) => ({ head, align: i < 2 ? 'left' : 'right' })),
    shown.map((m) => [
      m.node,
      m.format,
      m.bitsPerWeight.toFixed(2),
      m.sqnrDb?.toFixed(1) ?? '-',
      m.outputCosine?.toFixed(5) ?? '-',
      m.outputRelativeMse?.toExponential(1) ?? '-',
      m.clipped === null ? '-' : formatPercent(m.clipped),
      formatInteger(m.bytesPerCore),
    ]),
  );
  const left = matrices.length - shown.length;
  return `${text.replace(/^(?=.)/gm, '  ')}${left > 0 ? `  and ${left} with less noise\n` : ''}`;
}
