/** Weights that are NaN or infinite: a warning that names them, when they are written. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { buildModel, CONFIGS } from '../../models/configs.ts';
import { compile } from '../../src/index.ts';
import { bytesSource } from '../../src/ir/constant.ts';
import type { DType } from '../../src/ir/types.ts';
import { type WritableTensor, writeModel } from '../../src/onnx/writer.ts';
import { hasNotFinite } from '../../src/plan/finite.ts';
import { pack } from '../../src/tensor/pack.ts';
import { fromNumbers } from '../../src/tensor/tensor.ts';
import { temporaryFolder } from '../onnx/support.ts';

const folder = temporaryFolder();

describe('bytes', () => {
  const holds = (dtype: DType, values: readonly number[]): boolean =>
    hasNotFinite(dtype, pack(dtype, fromNumbers(dtype, [values.length], values).data));
  test.each(['f32', 'f16', 'bf16'] as const)('%s', (dtype) => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      for (const length of [1, 2, 3, 8]) {
        for (let at = 0; at < length; at++) {
          const values = Array.from({ length }, (_, i) => (i === at ? bad : -1.5));
          expect({ bad, length, at, found: holds(dtype, values) }).toEqual({ bad, length, at, found: true });
        }
      }
    }
    expect(holds(dtype, [0, -0, 1, -60000, 1e-8])).toBe(false);
    expect(holds(dtype, [])).toBe(false);
  });
  test('an odd place in memory', () => {
    const bytes = new Uint8Array(13).subarray(1);
    bytes.set(pack('f32', Float32Array.of(1, Number.NaN, 2)));
    expect(hasNotFinite('f32', bytes)).toBe(true);
    bytes.set(pack('f32', Float32Array.of(1, 3, 2)));
    expect(hasNotFinite('f32', bytes)).toBe(false);
  });
  test('integers are always numbers', () => expect(holds('i8', [-1, 127])).toBe(false));
});

test('compile names the weight, and goes on', async () => {
  const config = CONFIGS.get('tiny-llama');
  if (config === undefined) throw new Error('no tiny-llama');
  const model = buildModel(config);
  const bad = 'model.layers.1.mlp.up_proj.MatMul.weight';
  const spoil = (tensor: WritableTensor): WritableTensor => {
    if (tensor.name !== bad) return tensor;
    const data = new Float32Array(tensor.shape.reduce((a, b) => a * b, 1)).fill(0.5);
    data[17] = Number.NaN;
    return { ...tensor, source: bytesSource(tensor.name, new Uint8Array(data.buffer)) };
  };
  const path = join(folder, 'nan.onnx');
  writeModel(path, { ...model, graph: { ...model.graph, initializers: model.graph.initializers.map(spoil) } });
  const of = async (options: object): Promise<unknown> => {
    const { exitCode, diagnostics } = await compile({ model: path, target: 'mesh-8x8', context: 32, ...options });
    expect(exitCode).toBe(0);
    return diagnostics.filter((d) => d.severity === 'warning');
  };
  expect(await of({ output: join(folder, 'plan') })).toEqual([
    {
      code: 'compile/not-finite',
      severity: 'warning',
      message: `weight ${bad}: expected finite numbers, found NaN or infinity`,
    },
  ]);
  // Shapes only: no weight is read.
  expect(await of({ output: join(folder, 'shapes'), weights: false })).toEqual([]);
});
