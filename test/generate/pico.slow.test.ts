/** Real models: drafting changes no token, and `wafc run` as a process, interrupted and whole. */
import { spawn } from 'node:child_process';
import { cpSync } from 'node:fs';
import { join, resolve } from 'node:path';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { importModel } from '../../src/frontend/import.ts';
import { type Decoder, sessionDecoder } from '../../src/generate/decoder.ts';
import { generate, type GenerateOptions, speculate } from '../../src/generate/generate.ts';
import { GREEDY } from '../../src/generate/sampling.ts';
import type { RunResult } from '../../src/report/run-text.ts';
import { compiled, PICO } from '../e2e/support.ts';
import { temporaryFolder } from '../onnx/support.ts';

const folder = temporaryFolder();
const root = resolve(import.meta.dirname, '../..');

/** The decoder of a model file, empty each time it is asked for. */
function decoders(file: string): () => Decoder {
  const { graph, roles } = importModel(join(PICO, file));
  const io = (values: typeof graph.inputs) =>
    values.map((v) => ({
      name: graph.names[v],
      ...graph.types[v],
      role: roles.byName.get(graph.names[v]) ?? { kind: 'plain' as const },
    }));
  const both = { inputs: io(graph.inputs), outputs: io(graph.outputs), context: 4096 };
  const decoder = sessionDecoder(both, graph);
  return () => {
    decoder.rewind(0);
    return decoder;
  };
}

test('the drafts of pico change no greedy token of its reviewer', async () => {
  const [reviewer, drafter] = ['reviewer_with_past.onnx', 'decoder_with_past.onnx'].map(decoders);
  const words = ['const ', 'x', ' = ', '[1, 2]', ';\n', 'function f(a) {\n', 'if (', 'return ', '@#~'];
  const prompts = fc.array(fc.constantFrom(...words), { minLength: 1, maxLength: 5 }).map((parts) => parts.join(''));
  let accepted = 0;
  await fc.assert(
    fc.asyncProperty(prompts, fc.integer({ min: 1, max: 5 }), async (prompt, count) => {
      const ids = [...Buffer.from(prompt)];
      const options: GenerateOptions = {
        prompt: ids,
        maxTokens: 24,
        sampling: GREEDY,
        seed: 0,
        onToken: () => 'go on',
      };
      const alone = await generate(reviewer(), options);
      const both = await speculate(reviewer(), drafter(), count, options);
      expect(both.ids).toEqual(alone.ids);
      accepted += both.drafting.accepted;
    }),
    { numRuns: 12 },
  );
  expect(accepted).toBeGreaterThan(40); // a drafter that is never right would show nothing
});

describe('wafc run', () => {
  const plan = (name: string): string => join(folder, name);
  beforeAll(async () => {
    for (const name of ['decoder', 'reviewer'])
      await compiled({
        model: join(PICO, `${name}_with_past.onnx`),
        target: 'mesh-64x64',
        output: plan(name),
        context: 512,
      });
  });

  interface Result {
    readonly code: number | null;
    readonly out: string;
    readonly err: string;
  }
  /** Interrupted as soon as `interruptAt` bytes of text have come. */
  const run = (args: readonly string[], interruptAt = Number.POSITIVE_INFINITY): Promise<Result> => {
    const child = spawn(process.execPath, ['--import', 'tsx', join(root, 'src/cli.ts'), 'run', ...args], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let [out, err] = ['', ''];
    child.stdout.on('data', (data: Buffer) => {
      out += data.toString();
      if (out.length >= interruptAt) child.kill('SIGINT');
    });
    child.stderr.on('data', (data: Buffer) => (err += data.toString()));
    return new Promise((done, failed) => {
      child.on('error', failed);
      child.on('close', (code) => done({ code, out, err }));
    });
  };

  test('Ctrl-C ends it after a token, with what there is and its figures', async () => {
    const prompt = 'const x = [';
    const { code, out, err } = await run([plan('decoder'), '--prompt', prompt, '--max-tokens', '400'], 20);
    expect(code).toBe(130);
    expect(out.startsWith(prompt)).toBe(true);
    expect(out.endsWith('\n')).toBe(true);
    const tokens = out.length - prompt.length - 1;
    expect(err).toContain(`generated  ${tokens} tokens after a prompt of ${prompt.length}: interrupted\n`);
    expect(err).toMatch(/\nmeasured {3}[\d.,]+ tokens\/s on this machine, reference executor; first after [\d.]+ s\n/);
    expect(err).toMatch(
      /\npredicted {2}[\d.,]+ tokens\/s at 0.875 GHz, .* on mesh-64x64, calibrated estimate; no wafer was used\n/,
    );
  });

  test('the model of another plan is refused', async () => {
    const mixed = plan('mixed');
    cpSync(plan('decoder'), mixed, { recursive: true });
    cpSync(join(plan('reviewer'), 'model.onnx'), join(mixed, 'model.onnx'));
    const { code, out, err } = await run([mixed, '--prompt', 'x']);
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toContain('is not the model of the plan: input past_key_values.0.key: f32[1,2,P,16] in the plan');
  });

  test('a drafter, in one JSON document', async () => {
    const prompt = ['--tokenizer', 'bytes', '--prompt', 'if (x > ', '--max-tokens', '12'];
    const { code, out } = await run([plan('reviewer'), '--draft', plan('decoder'), ...prompt, '--json']);
    const found = JSON.parse(out) as RunResult;
    expect(code).toBe(0);
    expect(found).toMatchObject({ schema: 'wafc.run/1', reason: 'max-tokens', executor: 'reference' });
    expect(found.generated.ids).toHaveLength(12);
    const { draft } = found;
    expect(draft?.acceptance).toBe((draft?.accepted ?? 0) / (draft?.drafted ?? 0));
    // Both take turns: the pair cannot be faster than a reviewer whose drafts cost nothing.
    const alone = found.predicted.tokensPerSecond[0].calibrated;
    expect(draft?.predicted[0].calibrated).toBeLessThan((alone * 12) / (draft?.rounds ?? 0));
  });
});
