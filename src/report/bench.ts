/** What `wafc bench` found: its documents, and their text. */
import type { PublishedRow } from '../cost/published.ts';
import { type OwnPlan, renderOwn } from './bench-own.ts';
import { formatInteger } from '../util/format.ts';
import { type Column, table } from '../util/table.ts';

/** A row that was measured, and what the cost model makes of the plan that was measured. Cycles are those of a token. */
export interface BenchRow extends PublishedRow {
  /** The rows that the constants were fitted on, or those of a file. */
  readonly source: 'calibration' | 'file';
  /** The region is smaller or larger than those of the fit. */
  readonly extrapolation: boolean;
  readonly publishedCycles: number;
  readonly predictedCycles: number;
  /** (predicted - published) / published. */
  readonly errorPercent: number;
}

interface Scored {
  readonly rows: readonly BenchRow[];
  /** Of absolute errors. */
  readonly meanPercent: number;
  readonly worstPercent: number;
}

export interface WaferllmBench {
  readonly schema: 'wafc.bench.waferllm/1';
  readonly target: string;
  readonly calibration: Scored;
  readonly own: readonly OwnPlan[];
  /** The rows of `--csv`; null without one. */
  readonly file: Scored | null;
}

interface FittedRow {
  readonly model: string;
  readonly grid: number;
  readonly measuredCyclesPerLayer: number;
  readonly residualPercent: number;
}

export interface CalibrateBench {
  readonly schema: 'wafc.bench.calibrate/1';
  readonly target: string;
  readonly decode: {
    /** `used`: what src/cost/constants.ts has. */
    readonly cyclesPerMac: { readonly fitted: number; readonly used: number };
    readonly layerOverhead: { readonly fitted: number; readonly used: number };
    readonly rows: readonly FittedRow[];
  };
  readonly prefill: {
    readonly cyclesPerMac: number;
    readonly cyclesPerStep: number;
    readonly rows: readonly FittedRow[];
  };
}

export function renderWaferllm({ target, calibration, own, file }: WaferllmBench): string {
  return [
    `The published plan (WaferLLM, OSDI 2025) on ${target}: cycles per token, kernels only\n`,
    scored('Rows that the constants were fitted on', calibration),
    ...(own.length === 0 ? [] : [renderOwn(own)]),
    ...(file === null ? [] : [scored('Rows of the file', file)]),
    'published: 1e9 x clock / tokens per second. predicted: the cost model on the published operations.\n' +
      'Within the fit (sides 360-660, dense decoders, 4K context, this machine) expect 5 %; what is marked extrapolates.\n',
  ].join('\n');
}

const columns = (heads: readonly string[], left: number): Column[] =>
  heads.map((head, i) => ({ head, align: i < left ? 'left' : 'right' }));

const percent = (n: number): string => `${n < 0 ? '-' : '+'}${Math.abs(n).toFixed(1)} %`;

function scored(title: string, { rows, meanPercent, worstPercent }: Scored): string {
  const text = table(
    [
      ...columns(['model', 'layers', 'dim', 'ffn', 'seq', 'grid', 'groups', 'published', 'predicted', 'error'], 1),
      { head: '', align: 'left' },
    ],
    rows.map((r) => [
      r.model,
      ...[r.layers, r.dim, r.ffn, r.seq].map(String),
      `${r.grid}x${r.grid}`,
      String(r.groups),
      formatInteger(Math.round(r.publishedCycles)),
      formatInteger(Math.round(r.predictedCycles)),
      percent(r.errorPercent),
      r.extrapolation ? 'extrapolation' : '',
    ]),
  );
  const count = rows.length === 1 ? '1 row' : `${rows.length} rows`;
  return `${title}\n${indent(text)}  ${count}: mean error ${meanPercent.toFixed(1)} %, worst ${worstPercent.toFixed(1)} %\n`;
}

export function renderCalibrate({ target, decode, prefill }: CalibrateBench): string {
  const rows = (list: readonly FittedRow[]): string =>
    indent(
      table(
        columns(['model', 'grid', 'measured cycles per layer', 'residual'], 1),
        list.map((r) => [
          r.model,
          `${r.grid}x${r.grid}`,
          formatInteger(Math.round(r.measuredCyclesPerLayer)),
          percent(r.residualPercent),
        ]),
      ),
    );
  const { cyclesPerMac, layerOverhead } = decode;
  return [
    `Constants of the calibrated estimate, fitted on ${target} by least squares of relative errors\n`,
    `Decode: ${cyclesPerMac.fitted.toFixed(3)} cycles per multiply-accumulate (${cyclesPerMac.used} is used), ` +
      `${formatInteger(Math.round(layerOverhead.fitted))} cycles of overhead per layer (${formatInteger(layerOverhead.used)} is used)\n${rows(decode.rows)}`,
    `Prefill as published (MeshGEMM; no plan of ours runs it): ${prefill.cyclesPerMac.toFixed(2)} cycles per multiply-accumulate, ` +
      `${Math.round(prefill.cyclesPerStep)} cycles per step of a product\n${rows(prefill.rows)}`,
    'The overhead is spread evenly over 10 collectives, 7 products and 8 vector operations: an assumption (src/cost/constants.ts).\n',
  ].join('\n');
}

const indent = (text: string): string => text.replace(/^(?=.)/gm, '  ');
