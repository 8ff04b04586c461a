/** pico compressed: plans that verify against onnxruntime, plain ONNX of every style, and the gate on perplexity. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { NO_COMPRESSION } from '../../src/driver/contract.ts';
import { compare } from '../../src/exec/compare.ts';
import { randomFeeds } from '../../src/exec/feeds-for.ts';
import { hasOnnxruntime, openOnnxruntime } from '../../src/exec/onnxruntime.ts';
import { runGraph } from '../../src/exec/reference.ts';
import { compile, loadModel, verify } from '../../src/index.ts';

const pico = join(import.meta.dirname, '../../models/pico');
const model = join(pico, 'decoder_with_past.onnx');
const folder = mkdtempSync(join(tmpdir(), 'wafc-compressed-'));
const against = hasOnnxruntime() ? { against: 'onnxruntime' as const } : {};
// oxlint-disable-next-line no-console -- what is not compared must be seen
if (!hasOnnxruntime()) console.warn('compressed plans are not compared with onnxruntime: it is not installed');

const short = { model, target: 'wse3', context: 64 };

describe('pico, compressed', () => {
  // hqq has zero points between codes, which are MatMulNBits in the plan's model; the others are DequantizeLinear.
  test.each([
    ['int4', undefined],
    ['int8:g16:signed', 'mse'],
  ])('a plan of %s verifies', async (quantize, algo) => {
    const output = join(folder, quantize.replaceAll(':', '-'));
    const compression = { ...NO_COMPRESSION, quantize, ...(algo === undefined ? {} : { algo }) };
    expect((await compile({ ...short, output, compression })).exitCode).toBe(0);
    expect((await verify({ plan: output, ...against })).exitCode).toBe(0);
  });

  test.skipIf(!hasOnnxruntime()).each(['matmulnbits', 'qdq', 'float'] as const)(
    'plain ONNX as %s',
    async (onnxStyle) => {
      const exportOnnx = join(folder, `${onnxStyle}.onnx`);
      const compression = { ...NO_COMPRESSION, quantize: 'int4', algo: 'rtn', exportOnnx, onnxStyle };
      await compile({ ...short, compression });
      const bytes = readFileSync(exportOnnx).toString('latin1');
      expect([bytes.includes('MatMulNBits'), bytes.includes('DequantizeLinear')]).toEqual(
        { matmulnbits: [true, true], qdq: [false, true], float: [false, false] }[onnxStyle],
      );
      const { graph, roles } = loadModel(exportOnnx, 1, {});
      const inputs = graph.inputs.map((v) => {
        const name = graph.names[v];
        return { name, ...graph.types[v], role: roles.get(name) ?? { kind: 'plain' as const } };
      });
      const feeds = randomFeeds(inputs, { batch: 1, sequence: 5, past: 3, vocabulary: 128, seed: 0 });
      const outside = await (await openOnnxruntime(exportOnnx)).run(feeds);
      for (const [name, expected] of runGraph(graph, feeds)) {
        const found = outside.get(name);
        if (found === undefined) throw new Error(name);
        expect(compare(found, expected).maxAbs).toBeLessThan(1e-4);
      }
    },
  );

  test('the gate, as a process: a rise of perplexity beyond --max-ppl is exit 1, with codes of weights, activations, keys and values', () => {
    const report = join(folder, 'gate.json');
    const text = { eval: join(pico, 'eval.txt'), calib: join(pico, 'calib.txt'), tokenizer: 'bytes' };
    const words = {
      ...text,
      target: 'mesh-16x16',
      context: '64',
      quantize: 'int2:row:signed',
      algo: 'rtn',
      kv: 'int8',
      act: 'int8:token',
    };
    const options = Object.entries(words).flatMap(([name, value]) => [`--${name}`, value]);
    const script = join(import.meta.dirname, '../../src/cli.ts');
    const { status, stderr } = spawnSync(
      process.execPath,
      ['--import', 'tsx', script, 'compile', model, ...options, '--max-ppl', '+2%', '--report', report],
      { encoding: 'utf8' },
    );
    expect(status).toBe(1);
    expect(stderr).toMatch(/perplexity rises by \d+\.\d\d %, from 1\.\d+ to \d+\.\d+; at most 2 % is allowed/);
    expect(stderr).toContain('measured on eval.txt: 2048 predictions in windows of 64, tokenizer bytes (128 words)');
    expect(stderr).toContain('mesh-16x16 multiplies no 8-bit integers');
    const { compression } = JSON.parse(readFileSync(report, 'utf8')) as { compression: Record<string, unknown> };
    expect(compression).toMatchObject({ kv: 'int8', divergence: { predictions: 2048 } });
    expect(compression.matrices).toHaveLength(29);
  });

  test('auto: where f16 does not fit, a mixed plan that does, nearer to the model than 4 bits everywhere', async () => {
    const measured = { evaluate: join(pico, 'eval.txt'), calib: join(pico, 'calib.txt'), tokenizer: 'bytes' };
    const at = async (quantize: string): Promise<{ code: number; kl: number; perplexity: number; said: string }> => {
      const compression = { ...NO_COMPRESSION, ...measured, quantize, algo: 'rtn' };
      const { exitCode, diagnostics, json } = await compile({ model, target: 'mesh-4x4', context: 64, compression });
      const report = JSON.stringify(json());
      return {
        code: exitCode,
        kl: Number(/"klMean":([-\d.e]+)/.exec(report)?.[1] ?? Number.NaN),
        perplexity: Number(/"compressed":([-\d.e]+)/.exec(report)?.[1] ?? Number.NaN),
        said: diagnostics
          .map(({ code, message, notes = [] }) => [`${code}: ${message}`, ...notes].join('\n'))
          .join('\n'),
      };
    };
    const [half, auto, int4] = [await at('fp16'), await at('auto'), await at('int4')];
    expect([half.code, auto.code, int4.code]).toEqual([1, 0, 0]);
    expect(auto.said).toMatch(/compress\/auto: formats were chosen so that the plan fits: \d+ layers/);
    expect(auto.said).toContain('formats are compared by divergence on the calibration text');
    expect(auto.kl).toBeLessThan(int4.kl);
    expect(auto.perplexity).toBeLessThan(int4.perplexity);
  });
});
