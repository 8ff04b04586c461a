/**
 * report.json: the figures of a plan, computed from the plan and its target alone (design.md section 9). A key that
 * does not apply is null; nothing is left out.
 */
import { hostCycles } from '../cost/transport.ts';
import { elementCount } from '../ir/constant.ts';
import type { Buffer } from '../ir/facts.ts';
import { isCollective, type RegionProgram } from '../ir/program.ts';
import type { Target } from '../ir/target.ts';
import { codingName } from '../ir/storage.ts';
import type { Plan } from '../plan/types.ts';
import { usableCores } from '../target/cores.ts';
import { type CollectiveCounts, countCollectives } from './collectives.ts';
import { type RoutingFigures, routingFigures } from './routing.ts';
import { type Histogram, maxContextOf, sramHistogram } from './sram.ts';

export const REPORT_SCHEMA = 'wafc.report/1';

type AtClock = { readonly clockGHz: number; readonly calibrated: number; readonly bound: number };

export interface Report {
  readonly schema: typeof REPORT_SCHEMA;
  readonly model: Plan['model'];
  readonly target: {
    readonly name: string;
    readonly width: number;
    readonly height: number;
    readonly usableCores: number;
  };
  readonly options: Plan['options'];
  readonly fits: boolean;
  readonly context: number;
  readonly batch: number;
  readonly mode: Plan['mode']['kind'];
  readonly objective: unknown;
  readonly sram: {
    readonly limitBytes: number;
    readonly peakBytes: number;
    readonly weightBytes: number;
    readonly kvBytes: number;
    readonly activationBytes: number;
    readonly bufferBytes: number;
    readonly codeBytes: number;
    readonly stackBytes: number;
    readonly totalWeightBytes: number;
    readonly coresUsed: number;
    readonly maxContext: number | null;
    /** Cores by share of the limit used, in tenths. */
    readonly histogram: Histogram;
  };
  readonly regions: readonly {
    readonly stages: readonly string[];
    readonly template: string;
    readonly x: number;
    readonly y: number;
    readonly width: number;
    readonly height: number;
    readonly wafer: number;
  }[];
  readonly stages: number;
  readonly templates: number;
  readonly collectives: CollectiveCounts;
  readonly routing: RoutingFigures;
  readonly decode: {
    readonly cyclesPerToken: { readonly calibrated: number; readonly bound: number };
    readonly tokensPerSecond: readonly AtClock[];
    readonly pipelineTokensPerSecond: readonly AtClock[];
    readonly boundBy: string;
  } | null;
  readonly prefill: {
    readonly cyclesPerToken: { readonly calibrated: number; readonly bound: number };
    readonly timeToFirstToken: readonly {
      readonly promptTokens: number;
      readonly clockGHz: number;
      readonly milliseconds: number;
    }[];
  } | null;
  readonly encode: {
    readonly cyclesPerSequence: { readonly calibrated: number; readonly bound: number };
    readonly sequencesPerSecond: readonly AtClock[];
  } | null;
  readonly compression: {
    readonly weights: string;
    readonly kv: string | null;
    readonly sparsity: number;
    readonly bitsPerWeight: number;
    readonly sqnrDb: null;
    readonly perplexity: null;
  };
  readonly shortfall: null;
}

/** The report of a plan. Deterministic: no clock, no paths. */
export function buildReport(plan: Plan): Report {
  const { target, mode, schedule, templates, stages, regions } = plan;
  const programs = templates.map((t) => t.program);
  const peak = plan.memory.reduce((best, m) => (m.peakBytes > best.peakBytes ? m : best), plan.memory[0]);
  const perStage = stages.map((s) => sumOps(schedule.perTemplate[s.template]));
  const stream = mode.kind === 'stream';
  return {
    schema: REPORT_SCHEMA,
    model: plan.model,
    target: { name: target.name, width: target.width, height: target.height, usableCores: usableCores(target) },
    options: plan.options,
    fits: true,
    context: mode.context,
    batch: mode.batch,
    mode: mode.kind,
    objective: plan.options.objective ?? null,
    sram: {
      limitBytes: target.sramBytes,
      peakBytes: peak.peakBytes,
      ...bytesByKind(peak.buffers, peak.peakBytes),
      totalWeightBytes: stages.reduce((n, s) => n + s.weights.reduce((m, w) => m + w.bytes, 0), 0),
      coresUsed: regions.reduce((n, r) => n + r.width * r.height, 0),
      maxContext: maxContextOf(plan),
      histogram: sramHistogram(plan),
    },
    regions: regions.map((r) => ({
      stages: r.stages.map((s) => stages[s].name),
      template: templates[stages[r.stages[0]].template].name,
      x: r.x,
      y: r.y,
      width: r.width,
      height: r.height,
      wafer: 0,
    })),
    stages: stages.length,
    templates: templates.length,
    collectives: countCollectives(plan),
    routing: routingFigures(plan),
    decode: stream ? decodeFigures(plan, perStage) : null,
    prefill: stream ? prefillFigures(plan, perStage) : null,
    encode: stream ? null : encodeFigures(plan),
    compression: {
      weights: weightFormats(plan),
      kv: kvType(programs),
      sparsity: 0,
      bitsPerWeight: bitsPerWeight(plan),
      sqnrDb: null,
      perplexity: null,
    },
    shortfall: null,
  };
}

const sumOps = (ops: readonly { cycles: number; bound: number }[]): { calibrated: number; bound: number } =>
  ops.reduce((n, o) => ({ calibrated: n.calibrated + o.cycles, bound: n.bound + o.bound }), {
    calibrated: 0,
    bound: 0,
  });

function bytesByKind(
  buffers: readonly Buffer[],
  peakBytes: number,
): Pick<Report['sram'], 'weightBytes' | 'kvBytes' | 'activationBytes' | 'bufferBytes' | 'codeBytes' | 'stackBytes'> {
  const sum = (kind: Buffer['kind']): number => buffers.reduce((n, b) => n + (b.kind === kind ? b.bytes : 0), 0);
  const resident = sum('weight') + sum('kv') + sum('code') + sum('stack');
  // Activations and receive buffers share space over time; at the peak they take what is not resident.
  const receive = Math.max(0, ...buffers.filter((b) => b.kind === 'receive').map((b) => b.bytes));
  const scratch = Math.max(0, peakBytes - resident);
  return {
    weightBytes: sum('weight'),
    kvBytes: sum('kv'),
    activationBytes: Math.max(0, scratch - Math.min(receive, scratch)),
    bufferBytes: Math.min(receive, scratch),
    codeBytes: sum('code'),
    stackBytes: sum('stack'),
  };
}

/** Step, its host transfer at each clock, and the slowest stage for many sequences in the pipeline. */
function decodeFigures(
  plan: Plan,
  perStage: readonly { calibrated: number; bound: number }[],
): NonNullable<Report['decode']> {
  const { schedule, target, templates, stages } = plan;
  const { calibrated, bound } = schedule.cyclesPerStep;
  const slowest = slowestRegion(plan, perStage);
  const by = new Map<string, number>();
  for (const s of stages)
    for (const o of schedule.perTemplate[s.template])
      by.set(
        kindOf(templates[s.template].program, o.op, o.boundBy),
        (by.get(kindOf(templates[s.template].program, o.op, o.boundBy)) ?? 0) + o.cycles,
      );
  const [[boundBy]] = [...by].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  return {
    cyclesPerToken: { calibrated, bound },
    tokensPerSecond: atClocks(target, (clock) => {
      const io = hostCycles(schedule.host.bytesIn, clock, target) + hostCycles(schedule.host.bytesOut, clock, target);
      return { calibrated: calibrated + io, bound };
    }),
    pipelineTokensPerSecond: atClocks(target, () => slowest),
    boundBy,
  };
}

const kindOf = (program: RegionProgram, op: number, boundBy: string): string =>
  isCollective(program.ops[op]) ? boundBy : 'compute';

/** The region that is busy longest per step, its outgoing send included: what many sequences in flight wait for. */
function slowestRegion(
  { regions, schedule }: Plan,
  perStage: readonly { calibrated: number; bound: number }[],
): { calibrated: number; bound: number } {
  return regions.reduce(
    (worst, r, i) => {
      const send = schedule.sends.find((s) => s.from === i);
      const own = r.stages.reduce(
        (n, s) => ({ calibrated: n.calibrated + perStage[s].calibrated, bound: n.bound + perStage[s].bound }),
        { calibrated: send?.cycles ?? 0, bound: send?.bound ?? 0 },
      );
      return own.calibrated > worst.calibrated ? own : worst;
    },
    { calibrated: 0, bound: 0 },
  );
}

/** Tokens of the prompt follow each other through the regions: the first fills the pipeline, the others leave it at its pace. */
function prefillFigures(
  plan: Plan,
  perStage: readonly { calibrated: number; bound: number }[],
): NonNullable<Report['prefill']> {
  const slowest = slowestRegion(plan, perStage);
  const { calibrated } = plan.schedule.cyclesPerStep;
  const prompts = [...new Set([128, 1024, plan.mode.context].filter((n) => n <= plan.mode.context))];
  return {
    cyclesPerToken: slowest,
    timeToFirstToken: prompts.flatMap((promptTokens) =>
      plan.target.clocksGHz.map((clockGHz) => ({
        promptTokens,
        clockGHz,
        milliseconds: ((promptTokens - 1) * slowest.calibrated + calibrated) / (clockGHz * 1e6),
      })),
    ),
  };
}

function encodeFigures({ schedule, target }: Plan): NonNullable<Report['encode']> {
  const { cyclesPerStep } = schedule;
  return { cyclesPerSequence: cyclesPerStep, sequencesPerSecond: atClocks(target, () => cyclesPerStep) };
}

const atClocks = (target: Target, cycles: (clockGHz: number) => { calibrated: number; bound: number }): AtClock[] =>
  target.clocksGHz.map((clockGHz) => {
    const { calibrated, bound } = cycles(clockGHz);
    const rate = (n: number): number => (n === 0 ? 0 : (clockGHz * 1e9) / n);
    return { clockGHz, calibrated: rate(calibrated), bound: rate(bound) };
  });

function kvType(programs: readonly RegionProgram[]): string | null {
  const types = programs.flatMap((p) => p.caches.map((c) => p.tensors[c.state].dtype));
  return types.length === 0 ? null : [...new Set(types)].sort().join('+');
}

/** Formats of the weights in the order of names: `f32+int4:g32`. */
function weightFormats({ stages, templates }: Plan): string {
  const formats = stages.flatMap(({ template, weights }) => {
    const { program } = templates[template];
    return weights.map((_, w) => codingName(program.tensors[program.weights[w]]));
  });
  return [...new Set(formats)].sort().join('+');
}

/** Bits of weights.bin an element: codes, scales, zero points and what fills them up to whole words. */
function bitsPerWeight({ stages }: Plan): number {
  const weights = stages.flatMap((s) => s.weights);
  const elements = weights.reduce((n, w) => n + elementCount(w.shape), 0);
  return elements === 0 ? 0 : weights.reduce((n, w) => n + w.bytes * 8, 0) / elements;
}
