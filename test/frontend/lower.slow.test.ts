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
import type { Graph } from '../../src/ir/graph.ts';
import { printGraph } from '../../src/ir/print.ts';
import { writeModel } from '../../src/onnx/writer.ts';
import { QUIET, runPasses } from '../../src/pass/manager.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
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
      ['models/exports/gptnano/gpt_nano_sort.dynamo23.onnx', 0],
      ['models/exports/hfzoo/bert_seqcls.ts17.onnx', 0],
      ['models/exports/hfzoo/gpt2.dynamo23.onnx', 0],
      ['models/exports/hfzoo/phi.dynamo18.onnx', 0],
      ['models/exports/hfzoo/qwen2.ts17.onnx', 0],
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
      const expected = runGraph(graph, feeds);
      const path = join(folder, `${file.replaceAll('/', '-')}`);
      const isSame = (results: ReadonlyMap<string, Tensor>, bound: number): void => {
        for (const [name, value] of expected) {
          const found = results.get(name);
          if (found === undefined) throw new Error(name);
          expect(compare(found, value).maxRel).toBeLessThan(bound);
        }
      };
      isSame(runGraph(lowered, feeds), 2e-5);
      writeModel(path, exportModel(lowered, 'test'));
      isSame(await (await openOnnxruntime(path)).run(feeds), 1e-4);
      // As functions: the same in onnxruntime, and the same graph when it is read again.
      writeModel(path, exportModel(lifted, 'test'));
      isSame(await (await openOnnxruntime(path)).run(feeds), 1e-4);
      const read = loadModel(path, 1, {});
      const again = runPasses({ ...start, ...read }, GRAPH_STEPS, QUIET).graph;
      expect(structureOf(again)).toBe(structureOf(lifted));
    });
  },
);

/** The text of a graph without opsets, where it came from, and how its weights lie in the file. */
const structureOf = (graph: Graph): string =>
  printGraph(graph)
    .replaceAll(/opset \d+ |@\d+(?= )/g, '')
    .replaceAll(/ +\/\/ .*| @".*/g, '');
