/** `wafc bench`: the cost model against published measurements. Figures of the two kinds stand in columns of their own. */
import {
  CALIBRATION_ROWS,
  fitDecode,
  fitPrefill,
  isCalibrated,
  PREFILL_ROWS,
  prefillCycles,
  predictedToken,
} from '../cost/calibration.ts';
import { FITTED_CYCLES_PER_MAC, FITTED_LAYER_OVERHEAD } from '../cost/constants.ts';
import { publishedCycles, type PublishedRow } from '../cost/published.ts';
import type { Target } from '../ir/target.ts';
import {
  type BenchRow,
  type CalibrateBench,
  renderCalibrate,
  renderWaferllm,
  type WaferllmBench,
} from '../report/bench.ts';
import { loadTarget } from '../target/load.ts';
import { ownPlans } from './bench-own.ts';
import { readPublishedRows } from './bench-rows.ts';
import type { Answer, BenchArguments } from './contract.ts';

/** The machine that the rows were measured on. */
const MACHINE = 'wse2';

export function bench({ what, csv, own }: BenchArguments): Answer {
  return what === 'calibrate' ? calibrate() : waferllm(csv, own);
}

/** The published plan, predicted and measured: calibration rows, and those of the file. */
function waferllm(csv: string | undefined, own: boolean): Answer {
  const target = loadTarget(MACHINE);
  const row = (source: BenchRow['source']) => (r: PublishedRow) => benchRow(r, source, target);
  const found: WaferllmBench = {
    schema: 'wafc.bench.waferllm/1',
    target: MACHINE,
    calibration: summary(CALIBRATION_ROWS.map(row('calibration'))),
    own: own ? ownPlans(CALIBRATION_ROWS[0], target) : [],
    file: csv === undefined ? null : summary(readPublishedRows(csv).map(row('file'))),
  };
  return { exitCode: 0, diagnostics: [], text: () => renderWaferllm(found), json: () => found };
}

function benchRow(row: PublishedRow, source: BenchRow['source'], target: Target): BenchRow {
  const published = publishedCycles(row);
  const predicted = predictedToken(row, target);
  return {
    ...row,
    source,
    extrapolation: !isCalibrated(row),
    publishedCycles: published,
    predictedCycles: predicted,
    errorPercent: 100 * (predicted / published - 1),
  };
}

function summary(rows: readonly BenchRow[]): NonNullable<WaferllmBench['file']> {
  const errors = rows.map((r) => Math.abs(r.errorPercent));
  const meanPercent = errors.reduce((a, b) => a + b, 0) / errors.length;
  return { rows, meanPercent, worstPercent: errors.reduce((a, b) => Math.max(a, b), 0) };
}

/** The fits again, from the rows. */
function calibrate(): Answer {
  const decode = fitDecode(CALIBRATION_ROWS, loadTarget(MACHINE));
  const prefill = fitPrefill(PREFILL_ROWS);
  const found: CalibrateBench = {
    schema: 'wafc.bench.calibrate/1',
    target: MACHINE,
    decode: {
      cyclesPerMac: { fitted: decode.slope, used: FITTED_CYCLES_PER_MAC },
      layerOverhead: { fitted: decode.offset, used: FITTED_LAYER_OVERHEAD },
      rows: CALIBRATION_ROWS.map(({ model, grid, ...row }, i) => ({
        model,
        grid,
        measuredCyclesPerLayer: publishedCycles({ model, grid, ...row }) / row.layers,
        residualPercent: 100 * decode.residuals[i],
      })),
    },
    prefill: {
      cyclesPerMac: prefill.slope,
      cyclesPerStep: prefill.offset,
      rows: PREFILL_ROWS.map((row, i) => ({
        model: row.model,
        grid: row.grid,
        measuredCyclesPerLayer: prefillCycles(row),
        residualPercent: 100 * prefill.residuals[i],
      })),
    },
  };
  return { exitCode: 0, diagnostics: [], text: () => renderCalibrate(found), json: () => found };
}
