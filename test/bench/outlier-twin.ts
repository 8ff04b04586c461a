/** The outlier twin of stories260K (compression.md section 1.19): three gains of each norm times 40, the layers behind it divided: the same function. */
import { foldInto, scaleInputs } from '../../src/compress/fold.ts';
import { wavesOf } from '../../src/eval/walk.ts';
import { editGraph } from '../../src/ir/edit.ts';
import type { Program } from '../../src/ir/facts.ts';
import type { OpId } from '../../src/ir/ids.ts';

const FACTOR = 40;
/** Channels by norm: before attention and before the FFN, layer by layer. */
const CHANNELS = [
  [32, 40, 52],
  [1, 2, 4],
  [32, 40, 57],
  [34, 39, 45],
  [17, 42, 51],
  [2, 34, 53],
  [5, 11, 52],
  [5, 19, 33],
  [0, 1, 25],
  [33, 41, 63],
];

export function outlierTwin(program: Program): Program {
  const { graph } = program;
  const edit = editGraph(graph, 'outlier-twin');
  const waves = wavesOf(graph).flatMap((wave) => {
    const op = graph.ops.findIndex(({ kind, outputs }) => kind === 'wafc.rmsnorm' && outputs[0] === wave.x);
    return op < 0 ? [] : [{ wave, op: op as OpId }];
  });
  for (const [i, channels] of CHANNELS.entries()) {
    const { wave, op } = waves[i];
    const [linear] = wave.linears;
    const scales = new Float32Array(linear.constant.shape[0]).fill(1);
    for (const channel of channels) scales[channel] = 1 / FACTOR;
    foldInto(edit, graph, { kind: 'norm', op }, scales);
    for (const layer of wave.linears) scaleInputs(edit, graph, layer, scales);
  }
  return { ...program, graph: edit.finish() };
}
