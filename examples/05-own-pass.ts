/** A pass of one's own, put into the pipeline: weights are stored as f16. What does that cost, and what does it save? */
import { resolve } from 'node:path';
import {
  bytesSource,
  definePass,
  denseConstant,
  GRAPH_STEPS,
  loadModel,
  loadTarget,
  pack,
  PIPELINE,
} from '../src/index.ts';
import { type Program, QUIET, readConstant, runPasses, type Step, step } from '../src/index.ts';

const storeAsF16 = definePass({
  name: 'store-as-f16',
  summary: 'store float matrices as f16',
  requires: [],
  provides: [],
  preserves: [],
  numerics: 'lossy', // each weight is rounded to 11 bits
  options: { minElements: 1024 },
  run(program, { options, edit: begin, count }) {
    const { graph } = program;
    const edit = begin(graph);
    for (const [value, constant] of graph.constants) {
      const { dtype, shape } = constant;
      if (dtype !== 'f32' || shape.length !== 2 || shape[0] * shape[1] < options.minElements) continue;
      const bytes = pack('f16', readConstant(constant).data);
      const rounded = denseConstant('f16', shape, bytesSource(graph.names[value], bytes));
      // The value stays f32 for the ops that read it; only what is stored changes.
      edit.setConstant(value, { ...rounded, dtype: 'f32' });
      count('matrices');
    }
    return { ...program, graph: edit.finish() };
  },
});

const model = resolve(import.meta.dirname, '../models/pico/decoder_with_past.onnx');
const { graph, roles } = loadModel(model, 1, {});
const mode = { kind: 'stream', batch: 1, context: 512 } as const;
const start: Program = { graph, roles, target: loadTarget('mesh-8x8'), mode };

function show(what: string, steps: readonly Step[]): void {
  const { memory, schedule, mapping } = runPasses(start, steps, QUIET);
  const peak = Math.max(...(memory?.maps ?? []).map((m) => m.peakBytes));
  const cycles = schedule?.cyclesPerStep.calibrated;
  process.stdout.write(
    `${what}: ${peak} bytes on the fullest core, ${mapping?.groups.length} regions, ${cycles} cycles a token\n`,
  );
}

const at = GRAPH_STEPS.length; // after the graph passes, before stages are cut
show('as exported', PIPELINE);
show('stored as f16', [...PIPELINE.slice(0, at), step(storeAsF16, {}), ...PIPELINE.slice(at)]);
