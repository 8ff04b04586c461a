/**
 * report.json: the figures of a plan, computed from the plan and its target alone (design.md section 9). A key that
 * does not apply is null; nothing is left out.
 */
import type { Buffer } from '../ir/facts.ts';
import type { Plan } from '../plan/types.ts';
import { usableCores } from '../target/cores.ts';
import { type CollectiveCounts, countCollectives } from './collectives.ts';
import { type CompressionFigures, compressionFigures } from './compression.ts';
import { type RoutingFigures, routingFigures } from './routing.ts';
import {
  type Accuracy,
  accuracyOf,
  type DecodeFigures,
  decodeFigures,
  type EncodeFigures,
  encodeFigures,
  type PrefillFigures,
  prefillFigures,
} from './speed.ts';
import { type Histogram, maxContextOf, sramHistogram } from './sram.ts';

export const REPORT_SCHEMA = 'wafc.report/1';

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
  /** Cores of all copies of the model, and what regions of these shapes leave empty. */
  readonly fabric: {
    /** Copies of the model: one, and its replicas. */
    readonly copies: number;
    readonly coresUsed: number;
    readonly unusedCores: number;
    /** Of the usable cores. */
    readonly unusedShare: number;
  };
  readonly decode: DecodeFigures | null;
  readonly prefill: PrefillFigures | null;
  readonly encode: EncodeFigures | null;
  readonly accuracy: Accuracy;
  readonly compression: CompressionFigures;
  readonly shortfall: null;
}

/** The report of a plan. Deterministic: no clock, no paths. */
export function buildReport(plan: Plan): Report {
  const { target, mode, templates, stages, regions } = plan;
  const peak = plan.memory.reduce((best, m) => (m.peakBytes > best.peakBytes ? m : best), plan.memory[0]);
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
    fabric: fabricFigures(plan),
    decode: stream ? decodeFigures(plan) : null,
    prefill: stream ? prefillFigures(plan) : null,
    encode: stream ? null : encodeFigures(plan),
    accuracy: accuracyOf(plan),
    compression: compressionFigures(plan),
    shortfall: null,
  };
}

function fabricFigures({ regions, replicas, target }: Plan): Report['fabric'] {
  const copies = 1 + replicas.length;
  const coresUsed = copies * regions.reduce((n, r) => n + r.width * r.height, 0);
  const usable = usableCores(target);
  return { copies, coresUsed, unusedCores: usable - coresUsed, unusedShare: 1 - coresUsed / usable };
}

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
