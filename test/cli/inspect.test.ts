import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildModel, CONFIGS, parameterCount } from '../../models/configs.ts';
import { runCli } from '../../src/cli/main.ts';
import { recognise } from '../../src/driver/structure.ts';
import type { OnnxModel } from '../../src/onnx/model.ts';
import { openModel } from '../../src/onnx/reader.ts';
import { writeModel } from '../../src/onnx/writer.ts';
import { NO_PROGRESS } from '../../src/util/progress.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'wafc-inspect-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function inspect(argv: readonly string[], knowsOp = (_kind: string) => true, recognises = false) {
  const seen = { code: 0, out: '', err: '' };
  const out = (text: string): void => {
    seen.out += text;
  };
  const err = (text: string): void => {
    seen.err += text;
  };
  const io = { out, err, color: false, progress: NO_PROGRESS, now: () => 0 };
  const recognition = recognises ? { recognise: async (model: OnnxModel) => recognise(model) } : {};
  seen.code = await runCli(['inspect', ...argv], { version: '0', openModel, knowsOp, ...recognition }, io);
  return seen;
}

function write(name: string, options: Parameters<typeof writeModel>[2]) {
  const config = CONFIGS.get(name);
  if (config === undefined) throw new Error(`no config ${name}`);
  const model = buildModel(config);
  const path = join(folder, `${name}.onnx`);
  writeModel(path, model, options);
  return { path, model };
}

describe('inspect', () => {
  test('a small model', async () => {
    const { path, model } = write('tiny-gpt2', {});
    const { code, out, err } = await inspect([path, '--largest', '2'], (kind) => kind !== 'Softmax');
    expect(code).toBe(0);
    expect(err).toMatch(/^warning\[onnx\/unsupported-op\]: wafc has no op Softmax \(\d+ in this model\)\n$/);
    expect(out).toMatch(/^Softmax +\d+ {2}not supported$/m);
    expect(out).toMatch(/^ {2}input_ids: i64\[/m);
    const found = JSON.parse((await inspect([path, '--json', '--largest', '2'])).out);
    expect(found).toMatchObject({ schema: 'wafc.inspect/1', nodes: model.graph.nodes.length, externalFiles: [] });
    expect(found.parameters).toBe(parameterCount(model));
    expect(found.largest).toHaveLength(2);
    expect(found.largest[0].bytes).toBeGreaterThanOrEqual(found.largest[1].bytes);
  });

  test('a large model without its weights: fast, and says what is missing', async () => {
    const { path, model } = write('llama-8b', { external: true, data: false });
    const began = performance.now();
    const { code, out, err } = await inspect([path]);
    expect(performance.now() - began).toBeLessThan(5000);
    expect(code).toBe(0);
    expect(err).toMatch(
      /^warning\[onnx\/external-missing\]: llama-8b\.onnx\.data is not beside the model; it holds 15\.\d GiB/,
    );
    expect(out).toContain('(8.03G)');
    expect(parameterCount(model)).toBeGreaterThan(8e9);
  });

  test('the architecture, for people and for programs', async () => {
    const { path } = write('tiny-llama', {});
    const { code, out, err } = await inspect([path], undefined, true);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toMatch(/^architecture +decoder of 2 identical layers, 27.3k parameters$/m);
    expect(out).toMatch(/^attention +4 heads of 8, 2 KV heads, with a cache$/m);
    expect(out).toMatch(/^widths +hidden 32, FFN 88, vocabulary 64$/m);
    expect(out).toMatch(/^layers +RMSNorm, activation SiLU, gated, positions rotary$/m);
    expect(out).toMatch(/^head +untied$/m);
    const { architecture } = JSON.parse((await inspect([path, '--json'], undefined, true)).out);
    expect(architecture).toMatchObject({ kind: 'decoder', layers: 2, heads: 4, kvHeads: 2, head: 'untied' });
  });

  test('a model that is no transformer: the facts, and a remark', async () => {
    const path = join(folder, 'relu.onnx');
    const x = { name: 'x', kind: 'tensor', dtype: 'f32', shape: [2, 3] } as const;
    const relu = { name: 'the relu', opType: 'Relu', inputs: ['x'], outputs: ['y'] };
    const graph = { name: 'g', nodes: [relu], initializers: [], inputs: [x], outputs: [{ ...x, name: 'y' }] };
    const metadata = new Map([['author', 'someone\nelse']]);
    writeModel(path, { irVersion: 8, producer: 'test', opsets: new Map([['', 17]]), metadata, graph }, {});
    const { code, out, err } = await inspect([path], undefined, true);
    expect(code).toBe(0);
    expect(out).toMatch(/^metadata +author: someone else$/m);
    expect(out).not.toMatch(/^architecture/m);
    expect(err).toBe(
      'remark[inspect/no-architecture]: the architecture of the model is not recognised: ' +
        'g has nothing to place: no op multiplies, normalises or attends to activations (node the relu)\n' +
        '  note: map/no-stages: `wafc explain map/no-stages`\n',
    );
    const found = JSON.parse((await inspect([path, '--json'], undefined, true)).out);
    expect(found).toMatchObject({ architecture: null, metadata: { author: 'someone\nelse' } });
  });

  test('a model that cannot be imported: the facts, and the reason', async () => {
    const path = join(folder, 'unknown.onnx');
    const x = { name: 'x', kind: 'tensor', dtype: 'f32', shape: [2, 3] } as const;
    const odd = { name: 'the odd one', opType: 'Oddity', inputs: ['x'], outputs: ['y'] };
    const graph = { name: 'g', nodes: [odd], initializers: [], inputs: [x], outputs: [{ ...x, name: 'y' }] };
    writeModel(path, { irVersion: 8, producer: 'test', opsets: new Map([['', 17]]), graph }, {});
    const { code, out, err } = await inspect([path], (kind) => kind !== 'Oddity', true);
    expect(code).toBe(0);
    expect(out).toMatch(/^Oddity +1 {2}not supported$/m);
    expect(err).toContain('not recognised: Oddity (opset 17) is not supported (node the odd one)');
    expect(err).toContain('onnx/unsupported-op: `wafc explain onnx/unsupported-op`');
  });
});
