/**
 * prune-weights: weights of linear layers that do least become zero.
 *
 * Before  wafc.linear with dense weights.
 * After   the same ops and shapes; a share of the weights of each layer are exact zeros, which every later pass keeps. `sparsegpt` changes
 *         the weights that stay, so that they make up for the others; with an integer `format` it rounds them in the same sweep.
 * Skips   quantized weights (prune before quantizing); the layer that gives the logits; layers of `exclude`.
 *
 * Methods that look at inputs walk the calibration windows through the model once; each layer sees what the pruned layers before it give.
 * With `owl`, a first walk over the dense model measures the outliers of every block of layers, and blocks that have more keep more.
 */
import { formatsFor, readFormat } from '../../src/compress/assign.ts';
import { denseWeight, matrixOf, weightFrom } from '../../src/compress/constant.ts';
import { KEEP } from '../../src/compress/format.ts';
import { dequantizeMatrix } from '../../src/compress/matrix.ts';
import { sparseCodes } from '../../src/compress/prune/joint.ts';
import {
  isPruner,
  type InputsSeen,
  PRUNERS,
  type Pruning,
  pruneMatrix,
  structureFor,
  type GridDim,
  type TileGrid,
} from '../../src/compress/prune/method.ts';
import { countOutliers, type OutlierCount, owlSparsities, wandaScores } from '../../src/compress/prune/scores.ts';
import { Moments } from '../../src/compress/weights.ts';
import { fail } from '../../src/diag/diagnostic.ts';
import { type Linear, linearsOf } from '../../src/eval/linears.ts';
import type { InputStatistics } from '../../src/eval/statistics.ts';
import { walkModel, type Wave, wavesOf } from '../../src/eval/walk.ts';
import { type Constant, isQuantized } from '../../src/ir/constant.ts';
import type { Graph } from '../../src/ir/graph.ts';
import type { OpId } from '../../src/ir/ids.ts';
import type { Program } from '../../src/ir/facts.ts';
import { definePass } from '../../src/pass/pass.ts';

const OPTIONS: {
  readonly method: string;
  readonly structure: 'layer' | 'row' | 'tile' | 'n:m';
  readonly sparsity: number;
  readonly keep: number;
  readonly of: number;
  readonly tile: number;
  readonly exclude: readonly string[];
  readonly grids: readonly string[];
  readonly format: string;
  readonly head: string;
  readonly overrides: readonly string[];
  readonly owl: boolean;
  readonly owlThreshold: number;
  readonly owlSpread: number;
  readonly damp: number;
  readonly block: number;
} = {
  method: 'wanda',
  structure: 'row',
  sparsity: 0.5,
  keep: 2,
  of: 4,
  tile: 16,
  exclude: [],
  // 'layer=4.8x16': outputs cut by axes of 4 and 8 cores, inputs by one of 16; for `tile`.
  grids: [],
  // Formats that sparsegpt rounds to as it prunes; quantize-weights does what is left.
  format: 'keep',
  head: 'keep',
  overrides: [],
  owl: false,
  owlThreshold: 5,
  owlSpread: 0.08,
  damp: 0.01,
  block: 128,
};

export default definePass({
  name: 'prune-weights',
  summary: 'make the weights of linear layers zero that do least',
  requires: [],
  provides: [],
  preserves: [],
  numerics: 'lossy',
  options: OPTIONS,
  run(program, { options, edit: begin, count }) {
    const { graph, calibration } = program;
    const { method, damp, block, owl } = options;
    if (!isPruner(method))
      return fail({ code: 'compress/algorithm', message: `'${method}' is none of ${PRUNERS.join(', ')}` });
    if (calibration === undefined && (method !== 'magnitude' || owl))
      return fail({
        code: 'compress/no-calibration',
        message: `${owl ? 'owl' : method} needs inputs to look at`,
        notes: ['give a text with --calib, or prune by magnitude'],
      });
    const pruning: Pruning = { ...options, method };
    const left = leftAlone(graph, options.exclude);
    const wanted = (linear: Linear): boolean => !left.has(linear.op);
    const sparsities = owl && calibration !== undefined ? owlByOp(program, calibration, options, wanted) : undefined;
    const grids = readGrids(options.grids);
    const formats = formatsFor(linearsOf(graph), {
      ...options,
      format: readFormat(options.format),
      head: readFormat(options.head),
    });
    const edit = begin(graph);
    const done = new Map<Constant, Constant>();
    const prune = ({ op, name, constant, weight }: Linear, inputs: InputsSeen | undefined): void => {
      if (done.has(constant)) return;
      const matrix = matrixOf(constant);
      const sets = structureFor(pruning, sparsities?.get(op) ?? options.sparsity, matrix, grids.get(name));
      const format = formats.get(op);
      const label = graph.names[weight];
      let made: Constant;
      let values: Float32Array;
      if (method === 'sparsegpt' && format?.kind === 'integer' && inputs?.moments !== undefined) {
        const codes = sparseCodes(matrix, format, inputs.moments.prepared(), sets);
        made = weightFrom(label, codes, constant.dtype);
        values = dequantizeMatrix(codes);
      } else {
        values = pruneMatrix(matrix, method, sets, inputs);
        // What was stored in 16 bits stays so.
        made = { ...denseWeight(label, { ...matrix, values }, constant.stored), dtype: constant.dtype };
      }
      edit.setConstant(weight, made);
      done.set(constant, made);
      count('matrices');
      count('weights', values.length);
      count(
        'zeros',
        values.reduce((n, w) => n + (w === 0 ? 1 : 0), 0),
      );
    };
    if (method === 'magnitude' || calibration === undefined) {
      for (const linear of linearsOf(graph)) if (wanted(linear)) prune(linear, undefined);
      return { ...program, graph: edit.finish() };
    }
    // From left to right, as SparseGPT does; by falling moment it was behind Wanda on stories260K at 30 % (5.910 against 5.895).
    const order = { actOrder: false, damp, block };
    walkModel(program, calibration, {
      wanted: ({ linears }) => (linears.some(wanted) ? { moments: method === 'sparsegpt', sample: false } : undefined),
      visit: ({ linears }, { squares, moments, columns }) => {
        const inputs = { squares, moments: moments && new Moments(moments, columns, order) };
        for (const linear of linears) if (wanted(linear)) prune(linear, inputs);
        return done;
      },
    });
    return { ...program, graph: edit.finish() };
  },
});

/** `layer=4.8x16`, or `layer=4.8~2.4x16` for outputs that are woven from 2 runs of 4 lanes, by layer. */
function readGrids(rules: readonly string[]): Map<string, TileGrid> {
  const dim = (text: string): GridDim | undefined => {
    const [, cuts, runs = '1', lanes = '1'] = /^(\d+(?:\.\d+)*)(?:~(\d+)\.(\d+))?$/.exec(text) ?? [];
    const found = cuts && { cuts: cuts.split('.').map(Number), runs: Number(runs), lanes: Number(lanes) };
    return found && ![...found.cuts, found.runs, found.lanes].includes(0) ? found : undefined;
  };
  return new Map(
    rules.map((rule) => {
      const equals = rule.lastIndexOf('=');
      const [rows, cols] = rule
        .slice(equals + 1)
        .split('x')
        .map(dim);
      if (equals < 1 || rows === undefined || cols === undefined)
        fail({ code: 'compress/pattern', message: `'${rule}' is not of the form layer=4.8x16` });
      return [rule.slice(0, equals), { rows, cols }];
    }),
  );
}

/** Layers that stay dense: quantized ones, the one that gives the logits, and those that the user names. */
function leftAlone(graph: Graph, exclude: readonly string[]): Set<OpId> {
  const linears = linearsOf(graph);
  const half = { kind: 'half' } as const;
  const formats = formatsFor(linears, { format: half, head: KEEP, overrides: [], exclude });
  return new Set(
    linears.filter((l) => isQuantized(l.constant) || formats.get(l.op)?.kind === 'keep').map(({ op }) => op),
  );
}

/** Waves by block of layers: queries and keys begin one. */
function blocksOf(graph: Graph): Map<Wave['x'], number> {
  let block = 0;
  return new Map(
    wavesOf(graph).map(({ x, linears }, i) => {
      if (i > 0 && linears.some(({ feedsScores }) => feedsScores)) block++;
      return [x, block];
    }),
  );
}

/** Sparsity by layer, from the outliers of each block in the dense model (OWL). */
function owlByOp(
  program: Program,
  calibration: readonly Int32Array[],
  { sparsity, owlThreshold, owlSpread }: typeof OPTIONS,
  wanted: (linear: Linear) => boolean,
): Map<OpId, number> {
  const blocks = blocksOf(program.graph);
  const counts: { above: number; of: number }[] = [];
  const ops = new Map<OpId, number>();
  walkModel(program, calibration, {
    wanted: ({ linears }) => (linears.some(wanted) ? { moments: false, sample: false } : undefined),
    visit: ({ x, linears }, { squares }: InputStatistics) => {
      const block = blocks.get(x) ?? 0;
      const norms = Array.from(squares, Math.sqrt);
      for (const { op, constant } of linears.filter(wanted)) {
        const { values, rows, columns } = matrixOf(constant);
        const scores = wandaScores(values, { rows, cols: columns }, norms);
        const { above, of } = countOutliers([scores], owlThreshold);
        counts[block] ??= { above: 0, of: 0 };
        counts[block].above += above;
        counts[block].of += of;
        ops.set(op, block);
      }
      return new Map();
    },
  });
  const layers: OutlierCount[] = [...counts.keys()].map((b) => counts[b] ?? { above: 0, of: 0 });
  const found = owlSparsities(layers, sparsity, owlSpread);
  return new Map([...ops].map(([op, block]) => [op, found[block]]));
}
