/** What a run has to say beside its text: what was measured here, and what the plan predicts, never in one line. */
import { formatInteger } from '../util/format.ts';
import { pairs } from '../util/table.ts';
import type { PairSpeed } from './drafting.ts';

export interface RunResult {
  readonly schema: 'wafc.run/1';
  /** Digest of the plan's model. */
  readonly plan: string;
  readonly model: string;
  readonly executor: 'reference' | 'placed';
  readonly prompt: { readonly text: string | null; readonly ids: readonly number[] };
  readonly generated: { readonly ids: readonly number[]; readonly text: string | null };
  readonly reason: 'max-tokens' | 'stop' | 'context' | 'interrupted';
  readonly sampling: {
    readonly temperature: number;
    readonly topK: number | null;
    readonly topP: number;
    readonly seed: number;
  };
  /** Of the machine that ran it. */
  readonly measured: {
    readonly secondsToFirstToken: number;
    /** After the first; null where there is only one. */
    readonly tokensPerSecond: number | null;
  };
  /** Of the plan's target. */
  readonly predicted: { readonly target: string; readonly tokensPerSecond: readonly PairSpeed[] };
  readonly draft: {
    readonly plan: string;
    readonly model: string;
    readonly rounds: number;
    readonly drafted: number;
    readonly accepted: number;
    readonly acceptance: number | null;
    /** Of both plans together: see drafting.ts. */
    readonly predicted: readonly PairSpeed[];
  } | null;
}

const REASONS: Readonly<Record<RunResult['reason'], string>> = {
  'max-tokens': 'as many as were asked for',
  stop: 'stopped by the model or a stop text',
  context: 'the context is full',
  interrupted: 'interrupted',
};

/** How many tokens per second after the first; null where there is only one. */
export const speedOf = (ids: readonly number[], rest: number): number | null =>
  ids.length > 1 && rest > 0 ? (ids.length - 1) / rest : null;

/** What was generated, and how fast this machine was. */
function measuredRows({ executor, prompt, generated, reason, measured }: Measured): [string, string][] {
  const tokens = generated.ids.length;
  const speed = measured.tokensPerSecond === null ? 'too few tokens' : rate(measured.tokensPerSecond);
  return [
    [
      'generated',
      `${tokens} token${tokens === 1 ? '' : 's'} after a prompt of ${prompt.ids.length}: ${REASONS[reason]}`,
    ],
    [
      'measured',
      `${speed} on this machine, ${executor} executor; first after ${measured.secondsToFirstToken.toFixed(3)} s`,
    ],
  ];
}
type Measured = Pick<RunResult, 'prompt' | 'generated' | 'reason' | 'measured'> & { readonly executor: string };

export const renderMeasured = (result: Measured): string => `\n${pairs(measuredRows(result))}`;

const rate = (n: number): string => `${n < 100 ? n.toPrecision(3) : formatInteger(Math.round(n))} tokens/s`;

export function renderRun(result: RunResult): string {
  const { predicted, draft } = result;
  const speeds = (list: readonly PairSpeed[]): string =>
    list.map(({ clockGHz, calibrated }) => `${rate(calibrated)} at ${clockGHz} GHz`).join(', ');
  const rows = measuredRows(result);
  if (predicted.tokensPerSecond.length > 0)
    rows.push([
      'predicted',
      `${speeds(predicted.tokensPerSecond)} on ${predicted.target}, calibrated estimate; no wafer was used`,
    ]);
  if (draft !== null) {
    const share = draft.acceptance === null ? 'nothing drafted' : `${(draft.acceptance * 100).toFixed(1)} %`;
    rows.push(['accepted', `${share} of ${draft.drafted} drafted tokens, in ${draft.rounds} rounds`]);
    if (draft.predicted.length > 0)
      rows.push(['with draft', `${speeds(draft.predicted)}, calibrated estimate of both plans in turn`]);
  }
  return `\n${pairs(rows)}`;
}
