/** onnxruntime loads what the builders write, and its cached decoding equals its full forward pass. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { buildModel, CONFIGS, type ModelConfig } from '../../models/configs.ts';
import { writeModel } from '../../src/onnx/writer.ts';
import { seeded, temporaryFolder } from '../onnx/support.ts';

interface OrtTensor {
  readonly data: Float32Array | Uint16Array | BigInt64Array;
  readonly dims: readonly number[];
}
interface Ort {
  readonly Tensor: new (type: string, data: unknown, dims: readonly number[]) => OrtTensor;
  readonly InferenceSession: {
    create(
      path: string,
      options: { intraOpNumThreads: number },
    ): Promise<{ run(feeds: Record<string, OrtTensor>): Promise<Record<string, OrtTensor>> }>;
  };
}

const home = fileURLToPath(new URL('../ort/', import.meta.url));
const absent = !existsSync(join(home, 'node_modules/onnxruntime-node'));
if (absent) {
  if (process.env.WAFC_REQUIRE_ORT === '1') throw new Error('onnxruntime-node is not in test/ort');
  // oxlint-disable-next-line no-console -- a skipped oracle must be seen
  console.warn('skipped: onnxruntime-node is not in test/ort, so models/ are not run');
}
const ort: Ort = absent ? (undefined as never) : createRequire(join(home, 'package.json'))('onnxruntime-node');

const folder = temporaryFolder();
const BATCH = 2;

async function open(name: string, config: ModelConfig) {
  const path = join(folder, `${name}.onnx`);
  writeModel(path, buildModel(config), { external: name.endsWith('external') });
  return ort.InferenceSession.create(path, { intraOpNumThreads: 1 });
}

const longs = (rows: number[][]): OrtTensor =>
  new ort.Tensor('int64', BigInt64Array.from(rows.flat(), BigInt), [rows.length, rows[0].length]);

/** f16 outputs come as codes in Node 20. */
function floats(t: OrtTensor): Float32Array {
  if (t.data instanceof Float32Array) return t.data;
  return Float32Array.from(t.data as Uint16Array, (h) => {
    const value = (h & 0x7c00) === 0 ? (h & 1023) * 2 ** -24 : ((h & 1023) + 1024) * 2 ** (((h >> 10) & 31) - 25);
    return (h & 0x8000 ? -1 : 1) * ((h & 0x7c00) === 0x7c00 ? Number.POSITIVE_INFINITY : value);
  });
}

const finite = (values: Float32Array): boolean => values.every(Number.isFinite);
const span = (from: number, to: number): number[][] =>
  Array.from({ length: BATCH }, () => Array.from({ length: to - from }, (_, i) => from + i));

/** Logits of every step: a prompt at once, then token by token through the cache. */
async function decodeCached(config: ModelConfig, ids: number[][], prompt: number): Promise<number[][]> {
  const session = await open(`${config.kind}-${config.dtype}-cached`, { ...config, cache: true } as ModelConfig);
  const heads = config.kind === 'llama' ? config.kvHeads : config.heads;
  const headDim = config.kind === 'llama' ? config.headDim : config.hidden / config.heads;
  const empty = new ort.Tensor('float32', new Float32Array(0), [BATCH, heads, 0, headDim]);
  let past: Record<string, OrtTensor> = {};
  for (let n = 0; n < config.layers; n++)
    for (const what of ['key', 'value']) past[`past_key_values.${n}.${what}`] = empty;
  const steps: number[][] = [];
  for (let from = 0; from < ids[0].length; ) {
    const to = from === 0 ? prompt : from + 1;
    const out = await session.run({
      input_ids: longs(ids.map((row) => row.slice(from, to))),
      attention_mask: longs(span(0, to).map((row) => row.map(() => 1))),
      position_ids: longs(span(from, to)),
      ...past,
    });
    const rows = BATCH * (to - from);
    const width = out.logits.data.length / rows;
    for (let t = 0; t < to - from; t++)
      steps.push(
        Array.from({ length: BATCH }, (_, b) => {
          const row = b * (to - from) + t;
          return Array.from(floats(out.logits).slice(row * width, (row + 1) * width));
        }).flat(),
      );
    past = Object.fromEntries(
      Object.entries(out).flatMap(([key, value]) =>
        key.startsWith('present.') ? [[key.replace('present.', 'past_key_values.'), value]] : [],
      ),
    );
    from = to;
  }
  return steps;
}

describe.skipIf(absent)('onnxruntime', () => {
  const random = seeded(11);
  const ids = Array.from({ length: BATCH }, () => Array.from({ length: 9 }, () => random() % 64));

  for (const name of ['tiny-llama', 'tiny-llama-tied', 'tiny-gpt2'])
    for (const opset of [14, 17])
      test(`${name}, opset ${opset}: cached decoding equals the full forward pass`, async () => {
        const config = { ...CONFIGS.get(name), opset } as ModelConfig;
        const session = await open(`${name}-full-external`, { ...config, cache: false } as ModelConfig);
        const feeds = {
          input_ids: longs(ids),
          attention_mask: longs(ids.map((r) => r.map(() => 1))),
          position_ids: longs(span(0, 9)),
        };
        const { logits } = await session.run(feeds);
        expect(logits.dims).toEqual([BATCH, 9, 64]);
        const full = floats(logits);
        expect(finite(full)).toBe(true);
        const steps = await decodeCached(config, ids, 4);
        expect(steps).toHaveLength(9);
        let worst = 0;
        let largest = 0;
        for (const [t, step] of steps.entries())
          for (const [i, value] of step.entries()) {
            const wanted = full[(Math.floor(i / 64) * 9 + t) * 64 + (i % 64)];
            worst = Math.max(worst, Math.abs(value - wanted));
            largest = Math.max(largest, Math.abs(wanted));
          }
        expect(worst).toBeLessThan(1e-4);
        expect(largest).toBeGreaterThan(0.5); // the comparison is about something
        expect(largest).toBeLessThan(50);
      });

  test('llama: padding on the left changes nothing for the rest', async () => {
    const config = { ...CONFIGS.get('tiny-llama'), cache: false } as ModelConfig;
    const session = await open('padded', config);
    const mask = [Array(9).fill(1), [0, 0, 1, 1, 1, 1, 1, 1, 1]];
    const places = [span(0, 9)[0], [0, 0, 0, 1, 2, 3, 4, 5, 6]];
    const a = await session.run({ input_ids: longs(ids), attention_mask: longs(mask), position_ids: longs(places) });
    const short = {
      input_ids: longs([ids[1].slice(2)]),
      attention_mask: longs([Array(7).fill(1)]),
      position_ids: longs([span(0, 7)[0]]),
    };
    const b = floats((await session.run(short)).logits);
    const padded = floats(a.logits).slice((9 + 2) * 64);
    for (let i = 0; i < b.length; i++) expect(Math.abs(b[i] - padded[i])).toBeLessThan(1e-4);
  });

  for (const rsqrt of ['div', 'reciprocal'] as const)
    test(`llama in f16, ${rsqrt}: finite and near f32`, async () => {
      const base = { ...CONFIGS.get('tiny-llama'), cache: false, rsqrt } as ModelConfig;
      const feeds = {
        input_ids: longs(ids),
        attention_mask: longs(ids.map((r) => r.map(() => 1))),
        position_ids: longs(span(0, 9)),
      };
      const exact = floats((await (await open(`${rsqrt}32`, base)).run(feeds)).logits);
      const half = floats((await (await open(`${rsqrt}16`, { ...base, dtype: 'f16' })).run(feeds)).logits);
      expect(finite(half)).toBe(true);
      for (let i = 0; i < half.length; i++) expect(Math.abs(half[i] - exact[i])).toBeLessThan(0.05);
    });

  for (const dtype of ['f32', 'f16'] as const)
    for (const opset of [14, 17])
      test(`tiny-bert ${dtype}, opset ${opset}: finite, and padding is not seen`, async () => {
        const session = await open(`bert${dtype}${opset}`, {
          ...CONFIGS.get('tiny-bert'),
          dtype,
          opset,
        } as ModelConfig);
        const ones = ids.map((r) => r.map(() => 1));
        const types = ids.map((r) => r.map((_, i) => (i < 4 ? 0 : 1)));
        const whole = await session.run({
          input_ids: longs(ids),
          attention_mask: longs(ones),
          token_type_ids: longs(types),
        });
        expect(whole.last_hidden_state.dims).toEqual([BATCH, 9, 32]);
        expect(whole.pooler_output.dims).toEqual([BATCH, 32]);
        expect(finite(floats(whole.last_hidden_state)) && finite(floats(whole.pooler_output))).toBe(true);
        const masked = ones.map((r) => r.map((_, i) => (i < 6 ? 1 : 0)));
        const changed = ids.map((r) => r.map((v, i) => (i < 6 ? v : 63 - v)));
        const run = (x: number[][]) =>
          session.run({ input_ids: longs(x), attention_mask: longs(masked), token_type_ids: longs(types) });
        const [p, q] = [floats((await run(ids)).pooler_output), floats((await run(changed)).pooler_output)];
        for (let i = 0; i < p.length; i++) expect(Math.abs(p[i] - q[i])).toBeLessThan(1e-5);
      });

  test('WaferLLM shapes in small: one head as wide as the model', async () => {
    const config = {
      ...CONFIGS.get('llama8b-p240'),
      layers: 1,
      hidden: 48,
      headDim: 48,
      ffn: 96,
      vocab: 64,
      cache: false,
    } as ModelConfig;
    const session = await open('one-head', config);
    const feeds = {
      input_ids: longs(ids),
      attention_mask: longs(ids.map((r) => r.map(() => 1))),
      position_ids: longs(span(0, 9)),
    };
    expect(finite(floats((await session.run(feeds)).logits))).toBe(true);
  });
});
