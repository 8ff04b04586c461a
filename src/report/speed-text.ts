/** Speed for people: two columns that are never mixed, what bounds each figure, and how far to trust them. */
import type { Plan } from '../plan/types.ts';
import { formatInteger, formatPercent } from '../util/format.ts';
import { table } from '../util/table.ts';
import type { Report } from './report.ts';
import type { AtClock, BoundTerms, Pair } from './speed.ts';

type Row = readonly [what: string, calibrated: string, bound: string];

const rate = (n: number): string => (n >= 1000 ? formatInteger(Math.round(n)) : n.toFixed(1));
const cycles = (what: string, { calibrated, bound }: Pair): Row => [
  what,
  formatInteger(Math.round(calibrated)),
  formatInteger(Math.round(bound)),
];
const rates = (what: string, list: readonly AtClock[]): Row[] =>
  list.map(({ clockGHz, calibrated, bound }) => [`${what} at ${clockGHz} GHz`, rate(calibrated), rate(bound)]);

export function speedText(plan: Plan, report: Report): string {
  const { decode, prefill, encode } = report;
  const rows: Row[] = [];
  if (decode) {
    rows.push(cycles('cycles per token', decode.cyclesPerToken));
    rows.push(...rates('tokens/s, one user, host I/O in', decode.tokensPerSecond));
    if (plan.mode.batch > 1 || plan.replicas.length > 0)
      rows.push(...rates(`tokens/s, ${users(plan)}, host I/O in`, decode.batchTokensPerSecond));
    rows.push(...rates('tokens/s, full pipeline', decode.pipelineTokensPerSecond));
  }
  if (prefill) rows.push(cycles('cycles per prompt token', prefill.cyclesPerToken));
  if (encode) {
    rows.push(cycles('cycles per sequence', encode.cyclesPerSequence));
    rows.push(...rates('sequences/s', encode.sequencesPerSecond));
  }
  const by = decode ? `; bound by ${decode.boundBy}` : '';
  const heads = ['what', 'calibrated estimate', 'physical bound'];
  const text = table(
    heads.map((head, i) => ({ head, align: i === 0 ? 'left' : 'right' })),
    rows,
  );
  const bounded = decode ?? encode;
  return [
    `Speed (predicted, not measured${by})\n${indent(text)}`,
    bounded === null ? '' : boundLine(bounded),
    decode === null ? '' : pipelineLine(decode, plan),
    prefill === null ? '' : firstTokens(prefill),
  ].join('');
}

const users = ({ mode, replicas }: Plan): string => {
  const count = mode.batch * (1 + replicas.length);
  return `${formatInteger(count)} users`;
};

/** The bound's parts, the largest first. */
function boundLine({
  ratio,
  boundTerms,
  largestBound,
}: {
  ratio: number;
  boundTerms: BoundTerms;
  largestBound: keyof BoundTerms;
}): string {
  const { latency, compute, sram, bandwidth } = boundTerms;
  const parts = Object.entries({ latency, compute, sram, bandwidth }).sort((a, b) => b[1] - a[1]);
  const list = parts.map(([what, n]) => `${what} ${formatInteger(Math.round(n))}`).join(' + ');
  return `  the estimate is ${ratio.toFixed(1)} times the bound = ${list}; ${largestBound} is the largest term\n`;
}

const pipelineLine = (
  { pipeline, cyclesPerToken }: NonNullable<Report['decode']>,
  { regions, replicas }: Plan,
): string => {
  const share = pipeline.cyclesPerToken.calibrated / cyclesPerToken.calibrated;
  const copies = replicas.length === 0 ? '' : ` in each of ${formatInteger(1 + replicas.length)} copies`;
  return (
    `  a full pipeline waits for region ${pipeline.region} (${formatPercent(share)} of a token's cycles, bound by ${pipeline.boundBy}); ` +
    `${regions.length} ${regions.length === 1 ? 'sequence fills' : 'sequences fill'} it${copies}\n`
  );
};

/** One line a prompt length, all clocks. */
function firstTokens({ timeToFirstToken }: NonNullable<Report['prefill']>): string {
  const lengths = [...new Set(timeToFirstToken.map((t) => t.promptTokens))];
  return lengths
    .map((n) => {
      const at = timeToFirstToken.filter((t) => t.promptTokens === n);
      const times = at.map((t) => `${t.milliseconds.toPrecision(3)} ms at ${t.clockGHz} GHz`);
      return `  first token after a prompt of ${formatInteger(n)}: ${times.join(', ')}\n`;
    })
    .join('');
}

/** What the figures rest on. */
export function accuracyText({ accuracy, target }: Report): string {
  const { extrapolation, reasons, uncertaintyPercent } = accuracy;
  const trust = extrapolation
    ? `These estimates are an extrapolation: ${reasons.join('; ')}.\n`
    : `Expect the calibrated cycles within ${uncertaintyPercent} %; rates also depend on the clock.\n`;
  return (
    `Constants are fitted on published WSE-2 measurements (\`wafc bench calibrate\`). ${trust}` +
    `Placement on ${target.name} is checked against documented limits, not compiled by the vendor.\n`
  );
}

const indent = (text: string): string => text.replace(/^(?=.)/gm, '  ');
