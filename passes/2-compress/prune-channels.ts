/**
 * prune-channels: channels of feed-forward blocks that do least are taken out; shapes become smaller.
 *
 * Before  a token graph, and calibration windows.
 * After   every feed-forward block has the same share of channels less: outputs of the layers that give them, inputs of the layer that reads
 *         them. The layer that reads them makes up for what is gone (least squares on the inputs seen), unless `repair` is `none`.
 * Skips   blocks with quantized or shared weights, or whose channels something else reads; layers of `exclude`.
 *
 * The calibration windows are walked once; each block sees what the smaller blocks before it give. Equal blocks lose equally many channels, so
 * that they stay equal.
 */
import { formatsFor } from '../../src/compress/assign.ts';
import { denseWeight, matrixOf } from '../../src/compress/constant.ts';
import { type Ffn, ffnsOf } from '../../src/compress/ffn.ts';
import { KEEP } from '../../src/compress/format.ts';
import { channelScores, leastChannels, thinInputs, type Thinned } from '../../src/compress/prune/channels.ts';
import type { Matrix } from '../../src/compress/matrix.ts';
import { Moments } from '../../src/compress/weights.ts';
import { fail } from '../../src/diag/diagnostic.ts';
import { type Linear, linearsOf } from '../../src/eval/linears.ts';
import type { InputStatistics } from '../../src/eval/statistics.ts';
import { walkModel } from '../../src/eval/walk.ts';
import { inferTypes } from '../../src/frontend/infer.ts';
import { bytesSource, type Constant, denseConstant } from '../../src/ir/constant.ts';
import { definePass } from '../../src/pass/pass.ts';
import { pack } from '../../src/tensor/pack.ts';
import { readConstant } from '../../src/tensor/read.ts';

export default definePass({
  name: 'prune-channels',
  summary: 'take channels of feed-forward blocks out that do least',
  requires: [],
  provides: [],
  preserves: [],
  numerics: 'lossy',
  // repair: none; squares (least squares); greedy (one channel after another, the cheapest by then).
  options: { share: 0.25, repair: 'squares', exclude: [] as readonly string[], damp: 0.01 },
  run(program, { options, edit: begin, count }) {
    const { graph, calibration } = program;
    const { share, repair, exclude, damp } = options;
    if (!['none', 'squares', 'greedy'].includes(repair))
      fail({ code: 'compress/prune', message: `repair '${repair}' is none of none, squares, greedy` });
    if (!(share >= 0 && share < 1)) fail({ code: 'compress/prune', message: `a share of ${share} of the channels` });
    if (calibration === undefined)
      return fail({
        code: 'compress/no-calibration',
        message: 'taking channels out needs inputs to look at',
        notes: ['give a text with --calib'],
      });
    const linears = linearsOf(graph);
    const kept = formatsFor(linears, { format: { kind: 'half' }, head: KEEP, overrides: [], exclude });
    const isLeft = ({ op }: Linear): boolean => kept.get(op)?.kind === 'keep';
    const ffns = new Map(
      ffnsOf(graph, linears)
        .filter(({ ups, downs }) => ![...ups, ...downs].some(isLeft))
        .map((ffn) => [ffn.x, ffn]),
    );
    if (ffns.size === 0)
      fail({
        code: 'compress/no-channels',
        message: 'the model has no feed-forward block whose channels can be taken out',
        notes: ['single weights can: --prune wanda:0.5'],
      });
    const edit = begin(graph);
    walkModel(program, calibration, {
      wanted: ({ x }) => (ffns.has(x) ? { moments: repair !== 'none', sample: false } : undefined),
      visit: ({ x }, statistics) => {
        const ffn = ffns.get(x);
        const replaced = new Map<Constant, Constant>();
        if (ffn === undefined) return replaced;
        const thinned = thin(ffn, Math.floor(ffn.channels * share), repair, damp, statistics);
        count('channels', ffn.channels);
        count('taken out', thinned.gone.length);
        const gone = new Set(thinned.gone);
        const stay = Array.from({ length: ffn.channels }, (_, j) => j).filter((j) => !gone.has(j));
        for (const { weight, bias } of ffn.ups) {
          edit.setConstant(weight, picked(edit.constantOf(weight), stay, graph.names[weight]));
          if (bias !== null) edit.setConstant(bias, picked(edit.constantOf(bias), stay, graph.names[bias]));
        }
        for (const v of ffn.vectors) edit.setConstant(v, picked(edit.constantOf(v), stay, graph.names[v]));
        let row = 0;
        for (const { weight, constant } of ffn.downs) {
          const [columns, rows] = constant.shape;
          const values = thinned.values.subarray(row * columns, (row + rows) * columns);
          row += rows;
          const store = (m: Matrix): Constant => ({
            ...denseWeight(graph.names[weight], m, constant.stored),
            dtype: constant.dtype,
          });
          // What follows in the walk sees the same function, at the old width.
          replaced.set(constant, store({ rows, columns, values }));
          const narrow = new Float32Array(rows * stay.length);
          for (let r = 0; r < rows; r++)
            for (const [n, j] of stay.entries()) narrow[r * stay.length + n] = values[r * columns + j];
          edit.setConstant(weight, store({ rows, columns: stay.length, values: narrow }));
        }
        return replaced;
      },
    });
    return { ...program, graph: inferTypes(edit.finish()) };
  },
});

/** The layers that read the channels, one under the other, with some of those taken out. */
function thin(
  { downs, channels }: Ffn,
  count: number,
  repair: string,
  damp: number,
  { squares, moments }: InputStatistics,
): Thinned {
  const matrices = downs.map(({ constant }) => matrixOf(constant));
  const rows = matrices.reduce((n, m) => n + m.rows, 0);
  const values = new Float32Array(rows * channels);
  let at = 0;
  for (const m of matrices) {
    values.set(m.values, at);
    at += m.values.length;
  }
  const matrix = { rows, columns: channels, values };
  const gone = leastChannels(channelScores(matrix, squares), count);
  if (moments === undefined) {
    for (let row = 0; row < rows; row++) for (const j of gone) values[row * channels + j] = 0;
    return { gone, values };
  }
  const prepared = new Moments(moments, channels, { actOrder: false, damp, block: channels }).prepared();
  return thinInputs(matrix, prepared, repair === 'greedy' ? count : gone);
}

/** Some indices of the last dim of a dense constant. */
function picked(constant: Constant | undefined, stay: readonly number[], name: string): Constant {
  if (constant === undefined) throw new Error(`${name} is no constant`);
  const { data, shape } = readConstant(constant);
  const width = shape[shape.length - 1];
  const rows = data.length / width;
  const out = new Float32Array(rows * stay.length);
  for (let r = 0; r < rows; r++)
    for (const [n, j] of stay.entries()) out[r * stay.length + n] = Number(data[r * width + j]);
  const extents = [...shape.slice(0, -1), stay.length];
  const stored = denseConstant(constant.stored, extents, bytesSource(name, pack(constant.stored, out)));
  return { ...stored, dtype: constant.dtype };
}
