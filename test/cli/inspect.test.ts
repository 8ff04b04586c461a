import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildModel, CONFIGS, parameterCount } from '../../models/configs.ts';
import { runCli } from '../../src/cli/main.ts';
import { openModel } from '../../src/onnx/reader.ts';
import { writeModel } from '../../src/onnx/writer.ts';
import { NO_PROGRESS } from '../../src/util/progress.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'wafc-inspect-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function inspect(argv: readonly string[], knowsOp = (_kind: string) => true) {
  const seen = { code: 0, out: '', err: '' };
  const out = (text: string): void => {
    seen.out += text;
  };
  const err = (text: string): void => {
    seen.err += text;
  };
  const io = { out, err, color: false, progress: NO_PROGRESS, now: () => 0 };
  seen.code = await runCli(['inspect', ...argv], { version: '0', openModel, knowsOp }, io);
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
});
