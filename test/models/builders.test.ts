/** The builders are functions of their config: bytes, names, sizes. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { buildModel, CONFIGS, type ModelConfig, parameterCount } from '../../models/configs.ts';
import { normalWeights } from '../../models/weights.ts';
import { openModel, openModelBytes } from '../../src/onnx/reader.ts';
import { encodeModelBytes } from '../../src/onnx/writer.ts';
import { unpack } from '../../src/tensor/pack.ts';
import { temporaryFolder } from '../onnx/support.ts';

const folder = temporaryFolder();
const sha = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex').slice(0, 16);
const named = (name: string): ModelConfig => {
  const config = CONFIGS.get(name);
  if (config === undefined) throw new Error(name);
  return config;
};
const tiny = [...CONFIGS.keys()].filter((name) => name.startsWith('tiny-'));

describe('weights', () => {
  test('any range is the same as that range of the whole', () => {
    for (const dtype of ['f32', 'f16', 'bf16'] as const) {
      const source = normalWeights('w', dtype, 1000, { seed: 5, std: 0.1 });
      const whole = new Uint8Array(source.byteLength);
      source.read(0, whole);
      for (const [at, length] of [
        [0, 4],
        [3, 1],
        [801, 77],
        [1996, 4],
      ]) {
        const part = new Uint8Array(length + 1).subarray(1);
        source.read(at, part);
        expect([...part]).toEqual([...whole.subarray(at, at + length)]);
      }
      expect(() => source.read(source.byteLength - 1, new Uint8Array(2))).toThrow(RangeError);
    }
  });

  test('roughly normal, and independent of each other', () => {
    const values = (name: string, seed: number): ArrayLike<number> => {
      const source = normalWeights(name, 'f32', 40_000, { seed, std: 2, mean: 1 });
      const bytes = new Uint8Array(source.byteLength);
      source.read(0, bytes);
      return unpack('f32', bytes, 40_000);
    };
    const [a, b, c] = [values('a', 1), values('b', 1), values('a', 2)];
    const mean = (v: ArrayLike<number>): number => Array.from(v).reduce((x, y) => x + y, 0) / v.length;
    const correlation = (x: ArrayLike<number>, y: ArrayLike<number>): number =>
      mean(Array.from(x, (v, i) => (v - 1) * (y[i] - 1))) / 4;
    expect(Math.abs(mean(a) - 1)).toBeLessThan(0.04);
    expect(Math.abs(correlation(a, a) - 1)).toBeLessThan(0.03);
    for (const other of [b, c]) expect(Math.abs(correlation(a, other))).toBeLessThan(0.02);
    const tail = Array.from(a).filter((v) => Math.abs(v - 1) > 4).length / a.length;
    expect(tail).toBeGreaterThan(0.03); // 4.6 % beyond two standard deviations, were it normal
    expect(tail).toBeLessThan(0.055);
  });
});

describe('builders', () => {
  test('bytes are pinned', () => {
    // A change here changes every figure measured on these models.
    expect(
      Object.fromEntries(tiny.map((name) => [name, sha(encodeModelBytes(buildModel(named(name))))])),
    ).toMatchSnapshot();
  });

  test.each(tiny)('%s: every input of a node exists before it', (name) => {
    const { graph } = openModelBytes(encodeModelBytes(buildModel(named(name))));
    const known = new Set(['', ...graph.inputs.map((v) => v.name), ...graph.initializers.map((t) => t.name)]);
    const nodes = new Set<string>();
    for (const node of graph.nodes) {
      for (const input of node.inputs) expect(known.has(input), `${node.name}: ${input}`).toBe(true);
      for (const output of node.outputs) {
        expect(known.has(output), `${output}`).toBe(false);
        known.add(output);
      }
      expect(nodes.has(node.name)).toBe(false);
      nodes.add(node.name);
    }
    for (const output of graph.outputs) expect(known.has(output.name)).toBe(true);
  });

  test('names are those of Hugging Face exports', () => {
    const names = buildModel(named('tiny-llama')).graph.nodes.map((n) => n.name);
    expect(names).toContain('/model/layers.0/self_attn/q_proj/MatMul');
    expect(names).toContain('/model/layers.1/mlp/act_fn/Sigmoid');
    expect(names).toContain('/lm_head/MatMul');
    expect(buildModel(named('tiny-gpt2')).graph.nodes.map((n) => n.name)).toContain(
      '/transformer/h.0/attn/c_attn/Gemm',
    );
  });

  test('published sizes', () => {
    const count = (name: string): number => parameterCount(buildModel(named(name)));
    expect(count('llama-1b')).toBe(1_235_814_400);
    expect(count('llama-8b')).toBe(8_030_261_248);
    expect(count('gpt2-124m')).toBe(124_439_808);
    expect(count('bert-base')).toBe(109_482_240);
  });

  test('numbers that do not fit are refused', () => {
    const base = named('tiny-llama');
    for (const change of [{ kvHeads: 3 }, { headDim: 7 }, { layers: 0 }, { opset: 18 }, { hidden: 1.5 }])
      expect(() => buildModel({ ...base, ...change } as ModelConfig)).toThrow(RangeError);
    expect(() => buildModel({ ...named('tiny-bert'), heads: 5 } as ModelConfig)).toThrow(RangeError);
  });
});

describe('build.ts', () => {
  const run = (...args: string[]): string =>
    execFileSync(process.execPath, ['--import', 'tsx', 'models/build.ts', ...args], {
      encoding: 'utf8',
      stdio: 'pipe',
    });

  test('writes a model with changed numbers, without weights', () => {
    const path = join(folder, 'new', 'm.onnx');
    const said = run('tiny-llama', '--layers', '3', '--kv-heads', '4', '--no-cache', '--no-weights', '-o', path);
    expect(said).toContain(path);
    expect(existsSync(`${path}.data`)).toBe(false);
    const model = openModel(path);
    expect(model.graph.inputs.map((v) => v.name)).toEqual(['input_ids', 'attention_mask', 'position_ids']);
    expect(model.graph.nodes.filter((n) => n.name.endsWith('o_proj/MatMul'))).toHaveLength(3);
    model.close();
  });

  test('refuses what it does not know', () => {
    expect(() => run('tiny-bert', '--kv-heads', '2', '-o', join(folder, 'x.onnx'))).toThrow(
      /bert model has no --kv-heads/,
    );
    expect(() => run('no-such', '-o', join(folder, 'x.onnx'))).toThrow(/is no configuration/);
    expect(existsSync(join(folder, 'x.onnx'))).toBe(false);
  });

  test('inline and external files hold the same tensors', () => {
    const [a, b] = [join(folder, 'a.onnx'), join(folder, 'b.onnx')];
    run('tiny-gpt2', '-o', a);
    run('tiny-gpt2', '--external', '-o', b);
    expect(readFileSync(a).length).toBeGreaterThan(readFileSync(b).length);
    const [x, y] = [openModel(a), openModel(b)];
    for (const [i, t] of x.graph.initializers.entries()) {
      const [left, right] = [new Uint8Array(t.source.byteLength), new Uint8Array(t.source.byteLength)];
      t.source.read(0, left);
      y.graph.initializers[i].source.read(0, right);
      expect(left).toEqual(right);
    }
    x.close();
    y.close();
  });
});
