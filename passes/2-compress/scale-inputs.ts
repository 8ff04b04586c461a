/**
 * scale-inputs: input channels of linear layers scaled, so that rounding does less harm; the model stays the same function.
 *
 * Before  linear layers that are not quantized yet, and calibration windows.
 * After   weights times scales by input channel; what computes those inputs (a norm's gain, a linear layer's outputs) divided by them.
 *         `awq`: the scales of least error of the outputs under the weights' formats. `smooth`: scales that share the range of activations
 *         between them and the weights, for 8-bit activations (SmoothQuant; inputs that come from norms only).
 * Skips   inputs that something else reads, too; inputs that nothing could take scales in for (values shared between heads); layers whose
 *         format is no integer one (awq).
 */
import { formatsFor, readFormat } from '../../src/compress/assign.ts';
import { searchScales } from '../../src/compress/awq.ts';
import { matrixOf } from '../../src/compress/constant.ts';
import { foldInto, foldTargetOf, scaleInputs } from '../../src/compress/fold.ts';
import { smoothingScales } from '../../src/compress/smooth.ts';
import { fail } from '../../src/diag/diagnostic.ts';
import { linearsOf, usersOf } from '../../src/eval/linears.ts';
import type { InputStatistics } from '../../src/eval/statistics.ts';
import { type Wave, walkModel, wavesOf } from '../../src/eval/walk.ts';
import { isQuantized } from '../../src/ir/constant.ts';
import { definePass } from '../../src/pass/pass.ts';

const OPTIONS: {
  readonly method: string;
  readonly alpha: number;
  readonly format: string;
  readonly head: string;
  readonly overrides: readonly string[];
  readonly exclude: readonly string[];
} = { method: 'awq', alpha: 0.5, format: 'int4', head: 'int8', overrides: [], exclude: [] };

export default definePass({
  name: 'scale-inputs',
  summary: 'scale inputs of linear layers so that rounding does less harm',
  requires: [],
  provides: [],
  preserves: [],
  numerics: 'reassociates',
  options: OPTIONS,
  run(program, { options, edit: begin, count }) {
    const { graph, calibration } = program;
    const { method, alpha } = options;
    if (method !== 'awq' && method !== 'smooth')
      fail({ code: 'compress/algorithm', message: `'${method}' is neither awq nor smooth` });
    if (calibration === undefined)
      return fail({
        code: 'compress/no-calibration',
        message: `${method} needs inputs to look at`,
        notes: ['give a text with --calib'],
      });
    const linears = linearsOf(graph);
    const uses = usersOf(graph);
    const formats = formatsFor(linears, {
      ...options,
      format: readFormat(options.format),
      head: readFormat(options.head),
    });
    const edit = begin(graph);
    const targets = new Map(
      wavesOf(graph).flatMap((wave) => {
        const target = foldTargetOf(graph, wave, uses, linears);
        const isFree = wave.linears.every(({ constant }) => !isQuantized(constant));
        return target === undefined || !isFree || (method === 'smooth' && target.kind !== 'norm')
          ? []
          : [[wave.x, target]];
      }),
    );
    const scalesFor = ({ linears: layers }: Wave, statistics: InputStatistics): Float32Array | undefined => {
      if (method === 'smooth')
        return smoothingScales(
          layers.map((l) => matrixOf(l.constant)),
          statistics.absMax,
          alpha,
        );
      const searched = layers.flatMap((layer) => {
        const format = formats.get(layer.op);
        return format?.kind === 'integer' ? [{ matrix: matrixOf(layer.constant), format }] : [];
      });
      if (searched.length === 0) return undefined;
      const meanAbs = statistics.absSum.map((s) => s / statistics.count);
      const found = searchScales(searched, { meanAbs, sample: statistics.sample });
      return found.exponent === 0 ? undefined : found.scales;
    };
    walkModel(program, calibration, {
      wanted: (wave) => (targets.has(wave.x) ? { moments: false, sample: method === 'awq' } : undefined),
      visit: (wave, statistics) => {
        const target = targets.get(wave.x);
        const scales = scalesFor(wave, statistics);
        if (target !== undefined && scales !== undefined) {
          foldInto(edit, graph, target, scales);
          for (const layer of wave.linears) scaleInputs(edit, graph, layer, scales);
          count('inputs scaled');
        }
        return new Map(); // the same function: what follows sees the same inputs
      },
    });
    return { ...program, graph: edit.finish() };
  },
});
