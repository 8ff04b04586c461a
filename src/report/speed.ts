/**
 * How fast a plan is: latency of a token, pace of the pipeline, time to first token, and what bounds each. Calibrated
 * estimates and physical bounds side by side, never mixed; seconds only at a named clock.
 */
import { isCalibrated } from '../cost/calibration.ts';
import { hostCycles } from '../cost/transport.ts';
import { isCollective } from '../ir/program.ts';
import type { Target } from '../ir/target.ts';
import type { Plan } from '../plan/types.ts';

/** Of cycles: the estimate, and what the machine cannot beat. Of rates: the estimate, and what it cannot pass. */
export interface Pair {
  readonly calibrated: number;
  readonly bound: number;
}
export type AtClock = Pair & { readonly clockGHz: number };

/** The physical bound by cause; the parts add up to it. */
export interface BoundTerms {
  /** Multiplications and vector instructions at the SIMD rates. */
  readonly compute: number;
  /** Bytes through the read port. */
  readonly sram: number;
  /** Distance over the mesh. */
  readonly latency: number;
  /** Wavelets through the busiest link. */
  readonly bandwidth: number;
}

interface Bounded {
  readonly cyclesPerToken: Pair;
  /** Estimate / bound. */
  readonly ratio: number;
  readonly boundTerms: BoundTerms;
  readonly largestBound: keyof BoundTerms;
}

/** The region that every token waits for when the pipeline is full. */
export interface PipelineFigures {
  readonly cyclesPerToken: Pair;
  /** Index of the busiest region. */
  readonly region: number;
  /** What most of its cycles go to. */
  readonly boundBy: string;
  /** Sequences in flight that keep every region busy. */
  readonly sequencesToFill: number;
}

export interface DecodeFigures extends Bounded {
  /** One sequence, the host's transfers included. */
  readonly tokensPerSecond: readonly AtClock[];
  /** Over all users: a sequence in every region of every copy. */
  readonly pipelineTokensPerSecond: readonly AtClock[];
  /** Over all users: the sequences that the plan has state for, in every copy. */
  readonly batchTokensPerSecond: readonly AtClock[];
  readonly pipeline: PipelineFigures;
  /** What most cycles of a token go to. */
  readonly boundBy: string;
}

export interface PrefillFigures {
  /** Of the busiest region: prompts stream through the regions of decode, a token behind the other. */
  readonly cyclesPerToken: Pair;
  readonly region: number;
  readonly boundBy: string;
  /** The host's transfers included. */
  readonly timeToFirstToken: readonly {
    readonly promptTokens: number;
    readonly clockGHz: number;
    readonly milliseconds: number;
  }[];
}

export interface EncodeFigures {
  readonly cyclesPerSequence: Pair;
  readonly ratio: number;
  readonly boundTerms: BoundTerms;
  readonly largestBound: keyof BoundTerms;
  readonly sequencesPerSecond: readonly AtClock[];
}

/** How far the calibrated figures can be trusted. */
export interface Accuracy {
  /** Whether the plan is outside of what the constants were fitted on. */
  readonly extrapolation: boolean;
  /** Each way in which it is. */
  readonly reasons: readonly string[];
  /** Of the calibrated cycles, where the plan is inside; null where nobody knows. */
  readonly uncertaintyPercent: number | null;
}

/** Prompts that are reported when nobody asks for others. */
const PROMPTS = [128, 1024];

export function decodeFigures(plan: Plan): DecodeFigures {
  const { schedule, target, mode, replicas } = plan;
  const step = schedule.cyclesPerStep;
  const busiest = busiestRegion(plan);
  const copies = 1 + replicas.length;
  const io = (clock: number): number =>
    hostCycles(schedule.host.bytesIn, clock, target) + hostCycles(schedule.host.bytesOut, clock, target);
  const alone = (clock: number): Pair => ({ calibrated: step.calibrated + io(clock), bound: step.bound });
  // All copies share the host's link.
  const bits = copies * (schedule.host.bytesIn + schedule.host.bytesOut) * 8;
  const pace = (clock: number): Pair => {
    const link = (bits * clock) / target.host.gigabitsPerSecond;
    const { calibrated, bound } = busiest.cyclesPerToken;
    return { calibrated: Math.max(calibrated, link), bound: Math.max(bound, link) };
  };
  return {
    ...boundedBy(plan),
    tokensPerSecond: atClocks(target, 1, alone),
    pipelineTokensPerSecond: atClocks(target, copies, pace),
    // Sequences follow each other; each waits for its own token, and all for the busiest region.
    batchTokensPerSecond: atClocks(target, copies, (clock) => ({
      calibrated: Math.max(pace(clock).calibrated, alone(clock).calibrated / mode.batch),
      bound: Math.max(pace(clock).bound, step.bound / mode.batch),
    })),
    pipeline: { ...busiest, sequencesToFill: plan.regions.length },
    boundBy: mostOf(plan, plan.stages.keys()),
  };
}

/** Tokens of the prompt follow each other through the regions: the first fills the pipeline, the others leave it at its pace. */
export function prefillFigures(plan: Plan): PrefillFigures {
  const { schedule, target, mode, options } = plan;
  const { cyclesPerToken, region, boundBy } = busiestRegion(plan);
  const asked = Array.isArray(options.promptTokens) ? options.promptTokens : [...PROMPTS, mode.context];
  const prompts = [...new Set(asked)].filter((n): n is number => typeof n === 'number' && n >= 1 && n <= mode.context);
  return {
    cyclesPerToken,
    region,
    boundBy,
    timeToFirstToken: prompts.flatMap((promptTokens) =>
      target.clocksGHz.map((clockGHz) => {
        const io =
          hostCycles(promptTokens * schedule.host.bytesIn, clockGHz, target) +
          hostCycles(schedule.host.bytesOut, clockGHz, target);
        const cycles = (promptTokens - 1) * cyclesPerToken.calibrated + schedule.cyclesPerStep.calibrated + io;
        return { promptTokens, clockGHz, milliseconds: cycles / (clockGHz * 1e6) };
      }),
    ),
  };
}

export function encodeFigures(plan: Plan): EncodeFigures {
  const { cyclesPerToken: cyclesPerSequence, ...bounded } = boundedBy(plan);
  const copies = 1 + plan.replicas.length;
  return { cyclesPerSequence, ...bounded, sequencesPerSecond: atClocks(plan.target, copies, () => cyclesPerSequence) };
}

/** The bound of a step, by cause. Sends are distance. */
function boundedBy({ schedule, stages }: Plan): Bounded {
  const terms = { compute: 0, sram: 0, latency: 0, bandwidth: 0 };
  for (const { template } of stages)
    for (const { bound, boundBy } of schedule.perTemplate[template]) terms[boundBy] += bound;
  for (const { bound } of schedule.sends) terms.latency += bound;
  const { calibrated, bound } = schedule.cyclesPerStep;
  const order = ['latency', 'compute', 'sram', 'bandwidth'] as const;
  const largestBound = order.reduce((a, b) => (terms[b] > terms[a] ? b : a));
  return {
    cyclesPerToken: { calibrated, bound },
    ratio: bound === 0 ? 0 : calibrated / bound,
    boundTerms: terms,
    largestBound,
  };
}

/** The region that is busy longest per step, its sends included. */
function busiestRegion(plan: Plan): Omit<PipelineFigures, 'sequencesToFill'> {
  const { regions, schedule, stages } = plan;
  const busy = regions.map((r, i): Pair => {
    const ops = r.stages.flatMap((s) => schedule.perTemplate[stages[s].template].map((o) => [o.cycles, o.bound]));
    const sends = schedule.sends.filter(({ from }) => from === i).map((s) => [s.cycles, s.bound]);
    const sum = (k: number): number => [...ops, ...sends].reduce((n, pair) => n + pair[k], 0);
    const joined = r.stages.reduce((n, s) => n + schedule.joined[s], 0);
    return { calibrated: sum(0) - joined, bound: sum(1) };
  });
  const calibrated = busy.reduce((n, p) => Math.max(n, p.calibrated), 0);
  const bound = busy.reduce((n, p) => Math.max(n, p.bound), 0);
  const region = busy.findIndex((p) => p.calibrated === calibrated);
  return { cyclesPerToken: { calibrated, bound }, region, boundBy: mostOf(plan, regions[region].stages) };
}

/** What most calibrated cycles of some stages go to: `compute`, or what collectives wait for. */
function mostOf({ schedule, stages, templates }: Plan, of: Iterable<number>): string {
  const by = new Map<string, number>();
  for (const s of of) {
    const { template } = stages[s];
    for (const { op, cycles, boundBy } of schedule.perTemplate[template]) {
      const kind = isCollective(templates[template].program.ops[op]) ? boundBy : 'compute';
      by.set(kind, (by.get(kind) ?? 0) + cycles);
    }
  }
  const [[most]] = [...by].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  return most;
}

/** `copies` times what one of them makes at each clock. */
const atClocks = (target: Target, copies: number, cycles: (clockGHz: number) => Pair): AtClock[] =>
  target.clocksGHz.map((clockGHz) => {
    const { calibrated, bound } = cycles(clockGHz);
    const rate = (n: number): number => (n === 0 ? 0 : (copies * clockGHz * 1e9) / n);
    return { clockGHz, calibrated: rate(calibrated), bound: rate(bound) };
  });

/** The fit: WSE-2, dense decoders, sides 360 to 660, contexts about 4K. */
export function accuracyOf({ target, regions, mode }: Plan): Accuracy {
  const sides = regions.flatMap(({ width, height }) => [width, height]);
  const reasons = [
    ...(target.name === 'wse2' ? [] : [`the constants were fitted on the WSE-2, not on ${target.name}`]),
    ...(mode.kind === 'stream' ? [] : ['they were fitted on decoders']),
    ...(sides.every((grid) => isCalibrated({ grid, seq: 4096 })) ? [] : ['sides of regions outside of 360 to 660']),
    ...(mode.kind !== 'stream' || isCalibrated({ grid: 420, seq: mode.context })
      ? []
      : [`a context of ${mode.context}, not of about 4K`]),
  ];
  return { extrapolation: reasons.length > 0, reasons, uncertaintyPercent: reasons.length > 0 ? null : 5 };
}
