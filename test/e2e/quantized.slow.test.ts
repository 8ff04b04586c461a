/**
 * Quantized weights from the file to the core: a model of each storage format is compiled and verified; what the cores unpack
 * from weights.bin is what the graph decodes, bit for bit; onnxruntime runs model.onnx.
 */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { buildModel, CONFIGS } from '../../models/configs.ts';
import { matrixOf, weightFrom } from '../../src/compress/constant.ts';
import { quantizeFloat8, quantizeMicro, quantizeNvfp4 } from '../../src/compress/floats.ts';
import { type Format, isRefusal, parseFormat } from '../../src/compress/format.ts';
import type { Matrix, QuantizedMatrix } from '../../src/compress/matrix.ts';
import { roundToNearest } from '../../src/compress/rtn.ts';
import { loadModel } from '../../src/driver/compile.ts';
import { GRAPH_STEPS } from '../../src/driver/pipeline.ts';
import { PlacedModel } from '../../src/exec/placed/model.ts';
import { take } from '../../src/exec/placed/region.ts';
import { exportModel } from '../../src/frontend/export.ts';
import { importOnnx } from '../../src/frontend/import.ts';
import { isQuantized } from '../../src/ir/constant.ts';
import { editGraph } from '../../src/ir/edit.ts';
import { openModelBytes } from '../../src/onnx/reader.ts';
import { encodeModelBytes, writeModel } from '../../src/onnx/writer.ts';
import { QUIET, runPasses } from '../../src/pass/manager.ts';
import { readPlan } from '../../src/plan/read.ts';
import { readConstant } from '../../src/tensor/read.ts';
import { temporaryFolder } from '../onnx/support.ts';
import { compiled, hasOrt, hasShared, SHARED, verified } from './support.ts';

const folder = temporaryFolder();

function quantize(matrix: Matrix, format: Format): QuantizedMatrix {
  if (format.kind === 'integer') return roundToNearest(matrix, format);
  if (format.kind === 'float') return quantizeFloat8(matrix, format);
  if (format.kind === 'micro') return quantizeMicro(matrix, format);
  return format.kind === 'nvfp4' ? quantizeNvfp4(matrix) : expect.unreachable('a format of codes');
}

/** tiny-llama with the weights of all its products in the format. */
function writeQuantized(word: string, path: string): void {
  const config = CONFIGS.get('tiny-llama');
  const format = parseFormat(word);
  if (config === undefined || isRefusal(format)) throw new Error(`no model of ${word}`);
  const { graph } = importOnnx(openModelBytes(encodeModelBytes(buildModel(config))));
  const edit = editGraph(graph, 'test');
  const weights = graph.ops.flatMap((op) => (op.kind === 'MatMul' && op.inputs[1] !== null ? [op.inputs[1]] : []));
  for (const v of weights) {
    const weight = graph.constants.get(v);
    if (weight?.shape.length !== 2) continue;
    edit.setConstant(v, weightFrom(graph.names[v], quantize(matrixOf(weight), format), 'f32'));
  }
  writeModel(path, exportModel(edit.finish(), 'test'));
}

/** Compiles and verifies; compares every tile of every core with the model's constant. Returns the formats of the report. */
async function placedAsDecoded(model: string, plan: string, against: boolean): Promise<string> {
  const report = await compiled({ model, target: 'mesh-16x16', output: plan, context: 32 });
  await verified({ plan, tokens: 4, ...(against ? { against: 'onnxruntime' as const } : {}) });
  const placed = new PlacedModel(readPlan(plan), plan);
  const { graph: imported, roles } = loadModel(join(plan, 'model.onnx'), 1, {});
  const { mode, target } = readPlan(plan);
  const { graph } = runPasses({ graph: imported, roles, target, mode }, GRAPH_STEPS, QUIET);
  const constants = new Map([...graph.constants].map(([v, c]) => [graph.names[v], c]));
  let coded = 0;
  for (const [s, { weights, workspace }] of placed.stages.entries())
    for (const [w, t] of workspace.program.weights.entries()) {
      const [constant, tiles] = [constants.get(placed.plan.stages[s].weights[w].name), weights.get(t)];
      if (constant === undefined || tiles === undefined || !isQuantized(constant)) continue;
      expect(take(workspace.cores, tiles).data).toEqual(readConstant(constant).data);
      coded++;
    }
  expect(coded).toBeGreaterThan(10);
  return report.compression.weights;
}

describe('tiny-llama in every format', () => {
  test.each([
    ['int8:row', 'f32+int8:row', hasOrt],
    ['int4:g32:asym', 'f32+int4:g32:asym+int4:row:asym', hasOrt],
    ['int4:g16:signed', 'f32+int4:g16', hasOrt],
    ['int4:g12:asym', 'f32+int4:g12:asym', hasOrt], // opset 21, of which ReduceMean is another op
    ['fp8:e4m3', 'f32+fp8:e4m3:row', hasOrt],
    ['mxfp4', 'f32+mxfp4', false], // onnxruntime has no kernels for 4-bit floats and powers of two
    ['mxint8', 'f32+mxint8', false],
    ['nvfp4', 'f32+nvfp4', false],
  ])('%s', async (word, formats, against) => {
    const model = join(folder, `${word.replaceAll(':', '-')}.onnx`);
    writeQuantized(word, model);
    expect(await placedAsDecoded(model, join(folder, 'plan'), against)).toBe(formats);
  });
});

describe.skipIf(!hasShared)('exports of onnxruntime', () => {
  test.each([
    ['decoder_with_past_model.ts17.q4', 'f32+int4:g32'],
    ['decoder_with_past_model.ts17.int8dyn', 'f32+int8:row:asym+int8:tensor:asym'],
    ['decoder_model.dynamo18.qdq_s8s8_pc', 'f32+int8:row:asym+int8:tensor:asym'],
    ['decoder_model.dynamo18.qop', 'f32+int8:tensor:asym'],
  ])('%s', async (name, formats) => {
    const model = join(SHARED, 'models/exports/stories260K', `${name}.onnx`);
    expect(await placedAsDecoded(model, join(folder, 'plan'), hasOrt)).toBe(formats);
  });
});
