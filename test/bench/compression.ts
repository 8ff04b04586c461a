/**
 * `npm run bench:compression`: the bars of compression.md section 1.19 on stories260K (protocol of its section 5.2), then pico: quality against
 * predicted speed and SRAM for a list of settings, the Pareto front marked. `-- --windows 8` takes fewer windows of text, `-- --only pico` one part.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import quantizeWeights from '../../passes/2-compress/quantize-weights.ts';
import scaleInputs from '../../passes/2-compress/scale-inputs.ts';
import { loadModel } from '../../src/driver/compile.ts';
import { BIND_STEP, GRAPH_STEPS, PLAN_STEPS } from '../../src/driver/pipeline.ts';
import { textCorpus, windowsOf } from '../../src/eval/corpus.ts';
import { type Comparison, Evaluator } from '../../src/eval/evaluate.ts';
import type { Program } from '../../src/ir/facts.ts';
import { QUIET, runPasses } from '../../src/pass/manager.ts';
import { type Step, step } from '../../src/pass/pass.ts';
import { buildPlan, type Planned } from '../../src/plan/build.ts';
import { buildReport } from '../../src/report/report.ts';
import { loadTarget } from '../../src/target/load.ts';
import { openTokenizer } from '../../src/tokenizer/open.ts';
import { table } from '../../src/util/table.ts';
import { MIXED_BARS } from './mixed-bars.ts';
import { outlierTwin } from './outlier-twin.ts';
import { PRUNING_BARS } from './pruning-bars.ts';
import { VALUE_BARS } from './value-bars.ts';

const root = join(import.meta.dirname, '../..');
const shared = join(root, '../shared/models');
const option = (name: string): string | undefined => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? undefined : process.argv[at + 1];
};
const only = option('only');
const windows = Number(option('windows') ?? 32);
/** Only bars whose name begins so, and B1. */
const named = option('bars') ?? '';
const print = (text: string): void => void process.stdout.write(text);

/** The protocol: EVAL is the text from this character on, CAL ends at that one. */
const EVAL_FROM = 2_017_152;
const CAL_TO = 140_000;

interface Bar {
  readonly name: string;
  readonly what: string;
  readonly steps: readonly Step[];
  readonly isTwin?: boolean;
  /** Steps that depend on the model. */
  choose?(dense: Program): readonly Step[];
  /** What the page asks for. */
  readonly asked: string;
  holds(found: Comparison, of: (name: string) => Comparison): boolean;
}

/** Layers alone: the head stays as it is. */
const quantize = (format: string, algorithm = 'rtn', more: Partial<typeof quantizeWeights.options> = {}): Step =>
  step(quantizeWeights, { head: 'keep', format, algorithm, ...more });
const scale = (format: string): Step => step(scaleInputs, { head: 'keep', format });
const under =
  (limit: number) =>
  ({ perplexity }: Comparison): boolean =>
    perplexity <= limit;
const near =
  (value: number, share: number) =>
  ({ perplexity }: Comparison): boolean =>
    Math.abs(perplexity / value - 1) <= share;
/** ln(PPL_RTN / PPL) / ln(PPL_RTN / PPL_dense). */
const recovery = (rtn: Comparison, { perplexity, dense }: Comparison): number =>
  Math.log(rtn.perplexity / perplexity) / Math.log(rtn.perplexity / dense.perplexity);

const BARS: readonly Bar[] = [
  {
    name: 'B1',
    what: 'dense',
    steps: [],
    asked: '4.81719 +- 1e-3',
    holds: ({ perplexity }) => Math.abs(perplexity - 4.81719) < 1e-3,
  },
  { name: 'B2', what: 'fp16', steps: [quantize('fp16')], asked: 'KL < 1e-4', holds: ({ klMean }) => klMean < 1e-4 },
  { name: 'B3', what: 'int8:row', steps: [quantize('int8')], asked: 'KL < 1e-3', holds: ({ klMean }) => klMean < 1e-3 },
  {
    name: 'B4',
    what: 'int4:row:sym',
    steps: [quantize('int4:row:sym')],
    asked: '5.55 .. 5.85',
    holds: ({ perplexity: p }) => p >= 5.55 && p <= 5.85,
  },
  { name: 'B5 sym', what: 'int4:g32:sym', steps: [quantize('int4:g32:sym')], asked: '> signed', holds: () => true },
  {
    name: 'B5 signed',
    what: 'int4:g32:signed',
    steps: [quantize('int4:g32:signed')],
    asked: '<= 5.47, < sym',
    holds: (c, of) => under(5.47)(c) && c.perplexity < of('B5 sym').perplexity,
  },
  {
    name: 'B5 asym',
    what: 'int4:g32:asym',
    steps: [quantize('int4:g32:asym')],
    asked: '< signed',
    holds: (c, of) => c.perplexity < of('B5 signed').perplexity,
  },
  {
    name: 'B6',
    what: 'int4:g32:signed mse',
    steps: [quantize('int4:g32:signed', 'mse')],
    asked: '< B5 signed',
    holds: (c, of) => c.perplexity < of('B5 signed').perplexity,
  },
  { name: 'B7', what: 'int4:g32 hqq', steps: [quantize('int4', 'hqq')], asked: '<= 5.22', holds: under(5.22) },
  {
    name: 'B8',
    what: 'int4:g32 awq, no clip',
    steps: [scale('int4'), quantize('int4')],
    asked: '<= 5.26, rho >= 0.20',
    holds: (c, of) => under(5.26)(c) && recovery(of('B5 asym'), c) >= 0.2,
  },
  {
    name: 'B8 clip',
    what: 'int4:g32 awq',
    steps: [scale('int4'), quantize('int4', 'awq')],
    asked: '<= 5.24',
    holds: under(5.24),
  },
  { name: 'B9 rtn', what: 'int4:row', steps: [quantize('int4:row')], asked: '-', holds: () => true },
  {
    name: 'B9',
    what: 'int4:row gptq',
    steps: [quantize('int4:row', 'gptq', { actOrder: false })],
    asked: 'rho >= 0.25',
    holds: (c, of) => recovery(of('B9 rtn'), c) >= 0.25,
  },
  {
    name: 'B10 no act',
    what: 'int4:g32 gptq, in order',
    steps: [quantize('int4', 'gptq', { actOrder: false })],
    asked: '<= 5.16, rho >= 0.30',
    holds: (c, of) => under(5.16)(c) && recovery(of('B5 asym'), c) >= 0.3,
  },
  {
    name: 'B10',
    what: 'int4:g32 gptq, act-order',
    steps: [quantize('int4', 'gptq')],
    asked: '<= 5.16, rho >= 0.30',
    holds: (c, of) => under(5.16)(c) && recovery(of('B5 asym'), c) >= 0.3,
  },
  { name: 'B11', what: 'int3:g32 gptq', steps: [quantize('int3', 'gptq')], asked: '<= 7.2', holds: under(7.2) },
  {
    name: 'B12 .001',
    what: 'gptq, damp 0.001',
    steps: [quantize('int4', 'gptq', { damp: 0.001 })],
    asked: '<= 5.18',
    holds: under(5.18),
  },
  {
    name: 'B12 .1',
    what: 'gptq, damp 0.1',
    steps: [quantize('int4', 'gptq', { damp: 0.1 })],
    asked: '<= 5.18',
    holds: under(5.18),
  },
  {
    name: 'B19',
    what: 'twin, int4:g32 awq',
    isTwin: true,
    steps: [scale('int4'), quantize('int4', 'awq')],
    asked: '<= 5.40',
    holds: under(5.4),
  },
  {
    name: 'B20',
    what: 'twin, int4:row:sym awq',
    isTwin: true,
    steps: [scale('int4:row:sym'), quantize('int4:row:sym', 'awq')],
    asked: '<= 6.2',
    holds: under(6.2),
  },
  {
    name: 'B24',
    what: 'int4:g32 rtn, biases',
    steps: [quantize('int4', 'rtn', { correctBias: true })],
    asked: '< B5 asym',
    holds: (c, of) => c.perplexity < of('B5 asym').perplexity,
  },
  { name: 'B26 e4m3', what: 'fp8:e4m3:row', steps: [quantize('fp8')], asked: '4.838 +- 2 %', holds: near(4.838, 0.02) },
  { name: 'B26 mxint8', what: 'mxint8', steps: [quantize('mxint8')], asked: '4.825 +- 2 %', holds: near(4.825, 0.02) },
  { name: 'B26 mxfp8', what: 'mxfp8', steps: [quantize('mxfp8')], asked: '4.860 +- 2 %', holds: near(4.86, 0.02) },
  { name: 'B26 nvfp4', what: 'nvfp4', steps: [quantize('nvfp4')], asked: '5.383 +- 2 %', holds: near(5.383, 0.02) },
  { name: 'B26 mxfp4', what: 'mxfp4', steps: [quantize('mxfp4')], asked: '5.982 +- 2 %', holds: near(5.982, 0.02) },
];
/** Bars of section 1.19 that nothing here measures. */
const ABSENT = 'B21, B22 (rotations), B25 (FFN width)';

function lifted(path: string, calibration: readonly Int32Array[], context: number): Program {
  const { graph, roles } = loadModel(path, 1, {});
  const mode = { kind: 'stream', batch: 1, context } as const;
  return runPasses({ graph, roles, mode, target: loadTarget('wse3'), calibration }, GRAPH_STEPS, QUIET);
}

/** The first row is the head; words go left, numbers right. */
const renderTable = ([head, ...rows]: readonly (readonly string[])[], words: number): string =>
  table(
    head.map((text, i) => ({ head: text, align: i < words ? 'left' : 'right' })),
    rows,
  );

const percent = (c: Comparison): string => `${((c.perplexity / c.dense.perplexity - 1) * 100).toFixed(2)} %`;

function stories(): void {
  const model = join(shared, 'models/exports/stories260K/decoder_with_past_model.ts17.onnx');
  if (!existsSync(model)) return print('stories260K: NOT RUN, no ../shared/models\n');
  const tokenizer = openTokenizer(join(shared, 'models/tinyllamas-stories260K/data/tok512.bin'));
  const text = readFileSync(join(shared, 'text/tinystories_sample_2MB.txt'), 'utf8');
  const calibration = windowsOf(textCorpus(text.slice(0, CAL_TO), tokenizer, 'CAL'), 512, 48);
  const evaluated = windowsOf(textCorpus(text.slice(EVAL_FROM), tokenizer, 'EVAL'), 512, windows);
  print(
    `stories260K: ${evaluated.length} windows of 512 predictions, ${calibration.length} of calibration, tok512.bin; head and embedding dense\n\n`,
  );
  const dense = lifted(model, calibration, 512);
  const evaluator = new Evaluator(dense, evaluated);
  const twin = outlierTwin(dense);
  const found = new Map<string, Comparison>();
  const of = (name: string): Comparison => {
    const known = found.get(name);
    if (known === undefined) throw new Error(`${name} was not measured`);
    return known;
  };
  const rows = [['bar', 'what', 'perplexity', 'rise', 'KL', 'top-1', 'asked', '']];
  const bars: readonly Bar[] = [...BARS, ...VALUE_BARS, ...MIXED_BARS, ...PRUNING_BARS];
  for (const bar of bars.filter(({ name }) => name === 'B1' || name.startsWith(named))) {
    const comparison = evaluator.compare(
      runPasses(bar.isTwin === true ? twin : dense, bar.choose?.(dense) ?? bar.steps, QUIET),
    );
    found.set(bar.name, comparison);
    const { perplexity, klMean, agreement } = comparison;
    const verdict = bar.holds(comparison, of) ? 'pass' : 'FAIL';
    rows.push([
      bar.name,
      bar.what,
      perplexity.toFixed(4),
      percent(comparison),
      klMean.toExponential(2),
      agreement.toFixed(4),
      bar.asked,
      verdict,
    ]);
    process.stderr.write(`${bar.name} ${perplexity.toFixed(4)} ${verdict}\n`);
  }
  print(`${renderTable(rows, 2)}\nNot measured: ${ABSENT}.\n\n`);
}

/** Quality against what a plan for wse3 predicts. */
const SETTINGS: readonly (readonly [string, readonly Step[]])[] = [
  ['keep', []],
  ['fp16', [step(quantizeWeights, { format: 'fp16', head: 'fp16' })]],
  ['int8:row', [step(quantizeWeights, { format: 'int8' })]],
  ['int8:g32', [step(quantizeWeights, { format: 'int8:g32' })]],
  ['fp8:e4m3', [step(quantizeWeights, { format: 'fp8', head: 'fp8' })]],
  ['mxfp8', [step(quantizeWeights, { format: 'mxfp8', head: 'mxfp8' })]],
  ['int6:g32', [step(quantizeWeights, { format: 'int6' })]],
  ['int4:g32:signed rtn', [step(quantizeWeights, { format: 'int4:g32:signed' })]],
  ['int4:g32 rtn', [step(quantizeWeights, { format: 'int4' })]],
  ['int4:g32 hqq', [step(quantizeWeights, { format: 'int4', algorithm: 'hqq' })]],
  [
    'int4:g32 awq',
    [step(scaleInputs, { format: 'int4' }), step(quantizeWeights, { format: 'int4', algorithm: 'awq' })],
  ],
  ['int4:g32 gptq', [step(quantizeWeights, { format: 'int4', algorithm: 'gptq' })]],
  ['int4:g16 gptq', [step(quantizeWeights, { format: 'int4:g16', algorithm: 'gptq' })]],
  ['int4:row gptq', [step(quantizeWeights, { format: 'int4:row', algorithm: 'gptq' })]],
  ['nvfp4', [step(quantizeWeights, { format: 'nvfp4' })]],
  ['mxfp4', [step(quantizeWeights, { format: 'mxfp4' })]],
  ['int2:g16:signed gptq', [step(quantizeWeights, { format: 'int2:g16:signed', algorithm: 'gptq' })]],
];
const PICO_WINDOW = 128;
const PICO_CONTEXT = 256;

function pico(): void {
  const folder = join(root, 'models/pico');
  const tokenizer = openTokenizer('bytes', 128);
  const read = (name: string): Int32Array[] =>
    windowsOf(textCorpus(readFileSync(join(folder, name), 'utf8'), tokenizer, name), PICO_WINDOW, 156);
  const dense = lifted(join(folder, 'decoder_with_past.onnx'), read('calib.txt'), PICO_CONTEXT);
  const evaluator = new Evaluator(dense, read('eval.txt'));
  const results = SETTINGS.map(([name, steps]) => {
    const compressed = runPasses(dense, steps, QUIET);
    const quality = evaluator.compare(compressed);
    const planned = runPasses(compressed, [BIND_STEP, ...PLAN_STEPS], QUIET);
    const { plan } = buildPlan(planned as Planned, { generator: 'bench', imported: dense.graph, options: {} });
    const { sram, decode, compression } = buildReport(plan);
    process.stderr.write(`${name} ${quality.perplexity.toFixed(4)}\n`);
    const speed = decode?.tokensPerSecond.find(({ clockGHz }) => clockGHz === 1) ?? decode?.tokensPerSecond[0];
    return {
      name,
      quality,
      bytes: sram.totalWeightBytes,
      peak: sram.peakBytes,
      bits: compression.bitsPerWeight,
      speed: speed?.calibrated ?? 0,
    };
  });
  const beats = (a: (typeof results)[number], b: (typeof results)[number]): boolean =>
    a.quality.klMean <= b.quality.klMean && a.bytes <= b.bytes && a.speed >= b.speed;
  const rows = [['setting', 'perplexity', 'rise', 'KL', 'bits', 'weight bytes', 'fullest core', 'tokens/s', 'front']];
  for (const r of results) {
    const isBeaten = results.some((other) => other !== r && beats(other, r) && !beats(r, other));
    const { perplexity, klMean } = r.quality;
    rows.push([
      r.name,
      perplexity.toFixed(4),
      percent(r.quality),
      klMean.toExponential(2),
      r.bits.toFixed(2),
      `${r.bytes}`,
      `${r.peak}`,
      `${Math.round(r.speed)}`,
      isBeaten ? '' : '*',
    ]);
  }
  print(
    `pico on wse3, context ${PICO_CONTEXT}: windows of ${PICO_WINDOW} bytes; tokens/s is predicted (calibrated, 1 GHz), not measured\n\n${renderTable(rows, 1)}\n`,
  );
  print('* Pareto front of KL, weight bytes and tokens/s\n');
}

if (only !== 'pico') stories();
if (only !== 'stories260K') pico();
