/**
 * round-activations: inputs of linear layers as 8-bit codes.
 *
 * Before  linear layers; calibration windows for `int8:static`.
 * After   layers that read one value read it rounded (wafc.round): with a scale for each token (`int8:token`), or with one from the sizes that the
 *         calibration text has, cut off at their largest (`int8:static:max`), a percentile (`:p99.99`), or where the squared error (`:mse`) or the
 *         divergence of the histogram (`:entropy`) is least.
 * Skips   the layer that gives the logits; layers of `exclude`; inputs that are rounded already.
 */
import { type Clip, clipOf, parseClip, SizeHistogram } from '../../src/compress/activations.ts';
import { formatsFor } from '../../src/compress/assign.ts';
import { unknownConstant } from '../../src/compress/unknown.ts';
import { fail, type Report } from '../../src/diag/diagnostic.ts';
import { runValues } from '../../src/eval/sequence.ts';
import { type Wave, wavesOf } from '../../src/eval/walk.ts';
import { bytesSource, type Constant, denseConstant } from '../../src/ir/constant.ts';
import type { Program } from '../../src/ir/facts.ts';
import { definePass } from '../../src/pass/pass.ts';
import { pack } from '../../src/tensor/pack.ts';

const OPTIONS: { readonly format: string; readonly exclude: readonly string[]; readonly shapesOnly: boolean } = {
  format: 'int8:token',
  exclude: [],
  shapesOnly: false,
};
const LEVELS = 127;
const DEFAULT_CLIP = 'p99.99';
/** A clip that cuts off more than this is named. */
const MUCH = 0.01;

export default definePass({
  name: 'round-activations',
  summary: 'round inputs of linear layers to 8 bits',
  requires: [],
  provides: [],
  preserves: [],
  numerics: 'lossy',
  options: OPTIONS,
  run(program, { options: { format, exclude, shapesOnly }, edit: begin, count, report }) {
    const { graph } = program;
    const clip = readFormat(format);
    const waves = wavesOf(graph);
    const linears = waves.flatMap((wave) => wave.linears);
    const [all, none] = [{ kind: 'half' } as const, { kind: 'keep' } as const];
    const chosen = formatsFor(linears, { format: all, head: none, overrides: [], exclude });
    const makers = new Map(graph.ops.flatMap((op) => op.outputs.map((v) => [v, op.kind])));
    const wanted = waves.flatMap(({ x, linears: layers }): Wave[] => {
      const rounded = layers.filter(({ op }) => chosen.get(op)?.kind === 'half');
      return rounded.length === 0 || makers.get(x) === 'wafc.round' ? [] : [{ x, linears: rounded }];
    });
    const scales = clip === null ? undefined : scalesFor(program, wanted, clip, shapesOnly, report);
    const edit = begin(graph);
    for (const { x, linears: layers } of wanted) {
      const name = graph.names[x];
      const scale = scales?.get(x);
      const [out] = edit.addOp({
        kind: 'wafc.round',
        version: 1,
        inputs: scale === undefined ? [x] : [x, edit.addConstant(`${name}.scale`, scale)],
        attrs: { format: clip === null ? 'int8:token' : 'int8:static' },
        outputs: [{ name: `${name}.rounded`, type: graph.types[x] }],
        origin: { node: layers[0].node, by: [] },
      });
      for (const { op } of layers) {
        const { inputs } = graph.ops[op];
        edit.rewriteOp(op, { inputs: [out, ...inputs.slice(1)] });
      }
      count('inputs rounded');
    }
    return { ...program, graph: edit.finish() };
  },
});

/** Null for a scale each token. */
function readFormat(word: string): Clip | null {
  if (word === 'int8:token') return null;
  const clip = word === 'int8:static' ? DEFAULT_CLIP : /^int8:static:(.+)$/.exec(word)?.[1];
  const parsed = clip === undefined ? undefined : parseClip(clip);
  return (
    parsed ??
    fail({
      code: 'compress/activations',
      message: `'${word}' is no format of activations`,
      notes: ['formats are int8:token and int8:static[:max|p99.99|mse|entropy]'],
    })
  );
}

function scalesFor(
  program: Program,
  waves: readonly Wave[],
  clip: Clip,
  shapesOnly: boolean,
  report: Report,
): ReadonlyMap<Wave['x'], Constant> {
  const { graph, calibration } = program;
  if (shapesOnly) return new Map(waves.map(({ x }) => [x, unknownConstant(`${graph.names[x]}.scale`, 'f32', [1])]));
  if (calibration === undefined)
    return fail({
      code: 'compress/no-calibration',
      message: 'fixed scales of activations need inputs to look at',
      notes: ['give a text with --calib, or take --act int8:token'],
    });
  const histograms = new Map(waves.map(({ x }) => [x, new SizeHistogram()]));
  runValues(program, calibration, [...histograms.keys()], (x, { data }) => histograms.get(x)?.add(data));
  let [beyond, total] = [0, 0];
  const much: string[] = [];
  const scales = waves.map(({ x, linears: [layer] }) => {
    const histogram = histograms.get(x) ?? new SizeHistogram();
    const most = clipOf(histogram, clip);
    const share = histogram.beyond(most);
    beyond += share * histogram.total;
    total += histogram.total;
    if (share > MUCH) much.push(`${layer.node}: ${(100 * share).toFixed(2)} %`);
    const scale = Math.fround(most / LEVELS) || 1;
    const name = `${graph.names[x]}.scale`;
    return [x, denseConstant('f32', [1], bytesSource(name, pack('f32', Float32Array.of(scale))))] as const;
  });
  report({
    code: 'compress/clipped',
    severity: 'remark',
    message: `${((100 * beyond) / Math.max(1, total)).toFixed(4)} % of the calibration text's activations are beyond the largest code`,
    ...(much.length === 0 ? {} : { notes: [`more than 1 % at ${much.join(', ')}`] }),
  });
  return new Map(scales);
}
