/**
 * What a wafer would make of a drafter and a reviewer, from how often drafts were accepted here. Per token of output:
 *
 *     (drafted x d + rounds x r + drafted x p) / tokens
 *
 * d: seconds a token of the drafter, r: of the reviewer, both one user with host I/O; p: what a further token costs the reviewer's
 * pipeline, as in a prompt. Drafting and reviewing take turns; both plans are resident.
 */
import type { Report } from './report.ts';

export interface DraftCounts {
  readonly rounds: number;
  readonly drafted: number;
  /** Tokens of output. */
  readonly tokens: number;
}

export interface PairSpeed {
  readonly clockGHz: number;
  /** Tokens a second. */
  readonly calibrated: number;
  readonly bound: number;
}

/** At the clocks that both targets name. Empty when one of them is no decoder, or nothing was generated. */
export function pairSpeed(reviewer: Report, drafter: Report, { rounds, drafted, tokens }: DraftCounts): PairSpeed[] {
  const [own, prefill, other] = [reviewer.decode, reviewer.prefill, drafter.decode];
  if (own === null || prefill === null || other === null || tokens === 0) return [];
  return own.tokensPerSecond.flatMap(({ clockGHz, ...r }) => {
    const d = other.tokensPerSecond.find((at) => at.clockGHz === clockGHz);
    if (d === undefined) return [];
    const speed = (kind: 'calibrated' | 'bound'): number => {
      const further = prefill.cyclesPerToken[kind] / (clockGHz * 1e9);
      return tokens / (drafted / d[kind] + rounds / r[kind] + drafted * further);
    };
    return [{ clockGHz, calibrated: speed('calibrated'), bound: speed('bound') }];
  });
}
