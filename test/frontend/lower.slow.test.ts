/** Token graphs written back as plain ONNX: the same function as the model they were lifted from, here and in onnxruntime. */
import { existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { loadModel } from '../../src/driver/compile.ts';
import { GRAPH_STEPS } from '../../src/driver/pipeline.ts';
import { compare } from '../../src/exec/compare.ts';
import { randomFeeds } from '../../src/exec/feeds-for.ts';
import { hasOnnxruntime, openOnnxruntime } from '../../src/exec/onnxruntime.ts';
import { runGraph } from '../../src/exec/reference.ts';
import { exportModel } from '../../src/frontend/export.ts';
import { lowerGraph } from '../../src/frontend/lower.ts';
import { writeModel } from '../../src/onnx/writer.ts';
import { QUIET, runPasses } from '../../src/pass/manager.ts';
import { loadTarget } from '../../src/target/load.ts';

const models = join(import.meta.dirname, '../../../shared/models');
const present = existsSync(models) && hasOnnxruntime();
const folder = mkdtempSync(join(tmpdir(), 'wafc-lower-'));

describe.skipIf(!present)(
  `lowered token graphs${present ? '' : ': NOT RUN, no ../shared/models or no onnxruntime'}`,
  () => {
    test.each([
      ['pico/decoder_with_past.onnx', 3],
      ['models/exports/stories260K/decoder_with_past_model.ts17.onnx', 3],
      ['models/exports/stories260K/decoder_model.dynamo18.onnx', 0],
      ['models/exports/gptnano/gpt_nano_sort.ts11.onnx', 0],
      ['models/exports/hfzoo/bert_seqcls.ts17.onnx', 0],
      ['models/exports/hfzoo/gpt2.dynamo23.onnx', 0],
      ['models/exports/hfzoo/opt.ts17.onnx', 0],
      ['models/exports/hfzoo/phi.dynamo18.onnx', 0],
      ['models/exports/hfzoo/qwen2.ts17.onnx', 0],
      ['models/exports/hfzoo/roberta.dynamo18.onnx', 0],
      ['models/exports/hfzoo/vit.ts17.onnx', 0],
    ])('%s', async (file, past) => {
      const { graph, roles } = loadModel(join(models, file), 1, {});
      const mode = { kind: 'stream', batch: 1, context: 0 } as const;
      const start = { graph, roles, mode, target: loadTarget('mesh-8x8') };
      const { graph: lifted } = runPasses(start, GRAPH_STEPS, QUIET);
      const lowered = lowerGraph(lifted);
      expect(lowered.ops.filter(({ kind }) => kind.startsWith('wafc.'))).toEqual([]);
      const inputs = graph.inputs.map((v) => ({
        name: graph.names[v],
        ...graph.types[v],
        role: roles.get(graph.names[v]) ?? { kind: 'plain' as const },
      }));
      const feeds = randomFeeds(inputs, { batch: 1, sequence: 6, past, vocabulary: 3, seed: 1 });
      const path = join(folder, `${file.replaceAll('/', '-')}`);
      writeModel(path, exportModel(lowered, 'test'));
      const outside = await (await openOnnxruntime(path)).run(feeds);
      const again = runGraph(lowered, feeds);
      for (const [name, expected] of runGraph(graph, feeds)) {
        const found = again.get(name);
        const there = outside.get(name);
        if (found === undefined || there === undefined) throw new Error(name);
        expect(compare(found, expected).maxRel, name).toBeLessThan(2e-5);
        expect(compare(there, expected).maxRel, name).toBeLessThan(1e-4);
      }
    });
  },
);
