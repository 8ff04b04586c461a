/** What verify found, as one page without anything outside of it: every op, every output, and what was out of its bound. */
import type { Plan } from '../plan/types.ts';
import type { VerifyResult } from './verify-result.ts';

type Cell = string | number | null;

export function renderVerifyHtml(result: VerifyResult, plan: Plan): string {
  const { passed, checks, ops, outputs, firstOut, generation, perplexity } = result;
  const title = `${plan.model.name} on ${plan.target.name}: ${passed ? 'verified' : 'NOT verified'}`;
  const first =
    firstOut === null
      ? ''
      : `<p class=out>First op out of its bound: <b>${escape(firstOut.node)}</b> in stage ${escape(firstOut.stage)}, ${number(firstOut.maxRel)} &gt; ${number(firstOut.bound)}.</p>`;
  const sections = [
    `<h1 class=${passed ? 'in' : 'out'}>${escape(title)}</h1>`,
    `<p>Differences are relative to the larger of element and root mean square; bounds are what another order of additions explains. Model ${escape(plan.model.sha256.slice(0, 16))}, ${escape(plan.generator)}.</p>`,
    first,
    ...(checks.length === 0
      ? ['<p>On paper: placement, fit, routes and weights hold.</p>']
      : [
          table(
            'On paper',
            ['severity', 'code', 'message'],
            checks.map((d) => ({ cells: [d.severity, d.code, d.message] })),
          ),
        ]),
    table(
      `Placed against reference, op by op (${ops.length})`,
      ['stage', 'ONNX node', 'max abs', 'max rel', 'bound', 'cosine', 'SQNR dB'],
      ops.map((o) => ({
        cells: [o.stage, o.node, o.maxAbs, o.maxRel, o.bound, o.cosine, o.sqnrDb],
        isOut: !(o.maxRel <= o.bound),
      })),
    ),
    table(
      `Outputs (${outputs.length})`,
      ['inputs', 'output', 'comparison', 'max abs', 'max rel', 'bound', 'cosine', 'SQNR dB', 'arg maxima agree'],
      outputs.map((o) => ({
        cells: [o.case, o.output, o.of, o.maxAbs, o.maxRel, o.bound, o.cosine, o.sqnrDb, o.argmaxAgrees],
        isOut: !(o.maxRel <= o.bound),
      })),
    ),
    ...(generation === null
      ? []
      : [
          table(
            `Greedy tokens: ${generation.agree ? 'the same' : 'DIFFERENT'}`,
            ['executor', 'tokens'],
            (['placed', 'reference', 'onnxruntime'] as const).flatMap((by) => {
              const ids = generation[by];
              return ids === null ? [] : [{ cells: [by, ids.join(' ')], isOut: !generation.agree }];
            }),
          ),
        ]),
    ...(perplexity === null
      ? []
      : [
          table(
            `Perplexity on ${perplexity.text} (${perplexity.tokenizer})`,
            ['executor', 'predictions', 'nats a token', 'perplexity'],
            [
              {
                cells: [
                  'reference',
                  perplexity.reference.predictions,
                  perplexity.reference.nll,
                  perplexity.reference.perplexity,
                ],
              },
              {
                cells: [
                  'reference, first window',
                  perplexity.placed.predictions,
                  perplexity.placed.referenceNll,
                  Math.exp(perplexity.placed.referenceNll),
                ],
              },
              {
                cells: [
                  'placed, first window',
                  perplexity.placed.predictions,
                  perplexity.placed.nll,
                  Math.exp(perplexity.placed.nll),
                ],
              },
            ],
          ),
        ]),
  ];
  return `<!doctype html>
<html lang=en>
<meta charset=utf-8>
<meta name=viewport content="width=device-width">
<title>${escape(title)}</title>
<style>${STYLE}</style>
${sections.join('\n')}
<script>${SORT}</script>
</html>
`;
}

function table(
  caption: string,
  heads: readonly string[],
  rows: readonly { readonly cells: readonly Cell[]; readonly isOut?: boolean }[],
): string {
  const cell = (value: Cell): string =>
    typeof value === 'string'
      ? `<td>${escape(value)}`
      : value === null
        ? '<td class=n data-n=Infinity>exact'
        : `<td class=n data-n=${value}>${number(value)}`;
  return [
    `<table><caption>${escape(caption)}</caption>`,
    `<thead><tr>${heads.map((head) => `<th>${escape(head)}`).join('')}</thead><tbody>`,
    ...rows.map(({ cells, isOut }) => `<tr${isOut ? ' class=out' : ''}>${cells.map(cell).join('')}`),
    '</tbody></table>',
  ].join('\n');
}

/** Integers and shares as they are, differences by their size. */
function number(value: number): string {
  if (!Number.isFinite(value) || Number.isInteger(value)) return String(value);
  return Math.abs(value) < 1e-3 ? value.toExponential(2) : value.toPrecision(6);
}

const escape = (text: string): string => text.replaceAll(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

const STYLE = `
body{font:14px/1.4 system-ui,sans-serif;margin:2em;max-width:110em;color:#222;background:#fff}
table{border-collapse:collapse;margin:1.5em 0}caption{text-align:left;font-weight:600;padding:.3em 0}
th,td{padding:.15em .7em;border-bottom:1px solid #ddd;text-align:left}th{cursor:pointer;position:sticky;top:0;background:#f4f4f4}
.n{text-align:right;font-variant-numeric:tabular-nums}h1{font-size:1.4em}
h1.in{color:#1a6b2d}.out,h1.out{color:#a3141a}tr.out{background:#fdecec}
@media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}th{background:#252525}td{border-color:#333}tr.out{background:#3a1a1a}h1.in{color:#6ccf84}.out,h1.out{color:#ff8a80}}
`;

/** A click on a head sorts by its column, a second one the other way round. */
const SORT = `
for (const th of document.querySelectorAll('th')) th.onclick = () => {
  const body = th.closest('table').tBodies[0], at = th.cellIndex, up = th.dataset.up !== '1';
  th.dataset.up = up ? '1' : '0';
  const key = (row) => { const c = row.cells[at]; return c.dataset.n === undefined ? c.textContent : Number(c.dataset.n); };
  const rows = [...body.rows].sort((a, b) => { const x = key(a), y = key(b); return (x < y ? -1 : x > y ? 1 : 0) * (up ? 1 : -1); });
  body.append(...rows);
};
`;
