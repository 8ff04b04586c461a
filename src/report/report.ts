/**
 * report.json: the figures of a plan, computed from the plan and its target alone (design.md section 9). A key that
 * does not apply is null; nothing is left out.
 */
import { elementCount } from '../ir/constant.ts';
import type { Buffer } from '../ir/facts.ts';
import type { RegionProgram } from '../ir/program.ts';
import { codingName } from '../ir/storage.ts';
import type { Plan } from '../plan/types.ts';
import { usableCores } from '../target/cores.ts';
import { type CollectiveCounts, countCollectives } from './collectives.ts';
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
  readonly compression: {
    readonly weights: string;
    readonly kv: string | null;
    /** Share of the weights that are zero; null in a plan made without weights. */
    readonly sparsity: number | null;
    readonly bitsPerWeight: number;
    readonly sqnrDb: null;
    /** As --eval measured it when the plan was made; null without. */
    readonly perplexity: { readonly dense: number; readonly compressed: number; readonly text: string } | null;
  };
  readonly shortfall: null;
}

/** The report of a plan. Deterministic: no clock, no paths. */
export function buildReport(plan: Plan): Report {
  const { target, mode, templates, stages, regions } = plan;
  const programs = templates.map((t) => t.program);
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
    compression: {
      weights: weightFormats(plan),
      kv: kvType(programs),
      sparsity: sparsityOf(plan),
      bitsPerWeight: bitsPerWeight(plan),
      sqnrDb: null,
      perplexity: measuredPerplexity(plan),
    },
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

function kvType(programs: readonly RegionProgram[]): string | null {
  const types = programs.flatMap((p) =>
    p.caches.map(({ state, scales }) => (scales === undefined ? p.tensors[state].dtype : 'int8')),
  );
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

function sparsityOf({ stages, weights: { zeros } }: Plan): number | null {
  if (zeros === null) return null;
  const elements = stages.reduce((n, s) => n + s.weights.reduce((m, w) => m + elementCount(w.shape), 0), 0);
  return elements === 0 ? 0 : zeros / elements;
}

/** Bits of weights.bin an element: codes, scales, zero points and what fills them up to whole words. */
function bitsPerWeight({ stages }: Plan): number {
  const weights = stages.flatMap((s) => s.weights);
  const elements = weights.reduce((n, w) => n + elementCount(w.shape), 0);
  return elements === 0 ? 0 : weights.reduce((n, w) => n + w.bytes * 8, 0) / elements;
}

/** What the plan's options say of a measurement at compile time. */
function measuredPerplexity({ options }: Plan): Report['compression']['perplexity'] {
  const { compression } = options;
  if (typeof compression !== 'object' || compression === null || !('measured' in compression)) return null;
  const { measured } = compression;
  if (typeof measured !== 'object' || measured === null) return null;
  if (!('dense' in measured && 'compressed' in measured && 'text' in measured)) return null;
  const { dense, compressed, text } = measured;
  if (typeof dense !== 'number' || typeof compressed !== 'number' || typeof text !== 'string') return null;
  return { dense, compressed, text };
}
