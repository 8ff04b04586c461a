/**
 * `npm run bench:executor`: the reference executor beside onnxruntime-node and onnxruntime-web, one thread each, on the models
 * of ../shared/models that are marked `bench`, tokens in a row, and the placed executor on a 16x16 mesh. Figures are medians of CPU time per
 * call (user and system, of this process), so that other load on the machine disturbs them less than a clock. The runtimes
 * take turns, a few calls each, so that all see the same machine. Ends with 1 when a bar is missed.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compile } from '../../src/index.ts';
import { placedDecoder, sessionDecoder } from '../../src/generate/decoder.ts';
import { generateGreedy } from '../../src/generate/generate.ts';
import { PlacedModel } from '../../src/exec/placed/model.ts';
import { Session } from '../../src/exec/session/session.ts';
import { importModel } from '../../src/frontend/import.ts';
import type { ValueId } from '../../src/ir/ids.ts';
import { readPlan } from '../../src/plan/read.ts';
import { readNpy } from '../../src/tensor/npy.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { goldenCases } from '../conformance/golden-suite.ts';

const root = join(import.meta.dirname, '../..');
const shared = join(root, '../shared/models');

interface OrtSession {
  run(feeds: Record<string, object>): Promise<object>;
}
interface Ort {
  readonly Tensor: new (type: string, data: unknown, dims: readonly number[]) => object;
  readonly InferenceSession: { create(model: string | Uint8Array, options: object): Promise<OrtSession> };
  readonly env: { readonly wasm: { numThreads: number } };
}

/** A run of a model, as a caller waits for it. */
type Run = () => unknown;

/** CPU milliseconds of each run in turn: medians of `rounds`, after a quarter as many that do not count. */
async function medians(runs: Readonly<Record<string, Run>>, rounds: number): Promise<Record<string, number>> {
  const times = new Map(Object.keys(runs).map((name): [string, number[]] => [name, []]));
  for (let round = -rounds / 4; round < rounds; round++) {
    for (const [name, run] of Object.entries(runs)) {
      await run(); // caches hold the others' data
      const start = process.cpuUsage();
      for (let i = 0; i < CALLS; i++) await run();
      const { user, system } = process.cpuUsage(start);
      if (round >= 0) times.get(name)?.push((user + system) / 1000 / CALLS);
    }
  }
  return Object.fromEntries([...times].map(([name, list]) => [name, list.sort((a, b) => a - b)[list.length >> 1]]));
}
const CALLS = 5;

/** onnxruntime on `path`, one thread, its default optimizations. */
async function onnxruntime(name: 'node' | 'web', path: string, feeds: ReadonlyMap<string, Tensor>): Promise<Run> {
  const ort: Ort = createRequire(join(root, 'test/ort/package.json'))(`onnxruntime-${name}`);
  const options = { intraOpNumThreads: 1, interOpNumThreads: 1, graphOptimizationLevel: 'all', logSeverityLevel: 3 };
  if (name === 'web') ort.env.wasm.numThreads = 1;
  const session = await ort.InferenceSession.create(name === 'web' ? new Uint8Array(readFileSync(path)) : path, {
    ...options,
    executionProviders: [name === 'web' ? 'wasm' : 'cpu'],
  });
  const given: Record<string, object> = {};
  for (const [input, { dtype, shape, data }] of feeds) {
    given[input] =
      dtype === 'i64'
        ? new ort.Tensor('int64', BigInt64Array.from(Array.from(data, BigInt)), shape)
        : new ort.Tensor('float32', data, shape);
  }
  return () => session.run(given);
}

/** Tokens a second of CPU time of the placed executor, keys and values resident. */
async function placedSpeed(model: string, tokens: number): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'wafc-bench-'));
  try {
    const plan = join(folder, 'plan');
    await compile({ model, target: 'mesh-16x16', output: plan, context: 256 });
    const decoder = placedDecoder(new PlacedModel(readPlan(plan), plan));
    await generateGreedy(decoder, [1, 5, 9], 4);
    const start = process.cpuUsage();
    await generateGreedy(decoder, [7], tokens);
    const { user, system } = process.cpuUsage(start);
    return tokens / ((user + system) / 1e6);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/**
 * Tokens a second of CPU time of a session that generates, keys and values resident: of the first `count`, while the engine still compiles
 * what plans a step of another length, and of as many after them.
 */
async function generationSpeed(model: string, count: number): Promise<[number, number]> {
  const { graph, roles } = importModel(model);
  const io = (values: readonly ValueId[]) =>
    values.map((v) => ({
      name: graph.names[v],
      ...graph.types[v],
      role: roles.byName.get(graph.names[v]) ?? { kind: 'plain' as const },
    }));
  const decoder = sessionDecoder({ inputs: io(graph.inputs), outputs: io(graph.outputs), context: 4096 }, graph);
  const speed = async (): Promise<number> => {
    const start = process.cpuUsage();
    for (let i = 0; i < count; i++) await decoder.extend([7]);
    const { user, system } = process.cpuUsage(start);
    return count / ((user + system) / 1e6);
  };
  return [await speed(), await speed()];
}

const write = (line: string): void => void process.stdout.write(`${line}\n`);
let missed = false;
function bar(text: string, held: boolean): void {
  write(`  ${held ? 'holds ' : 'MISSED'}  ${text}`);
  missed ||= !held;
}

if (existsSync(join(shared, 'index.json'))) {
  const index: readonly { model: string; bench?: string }[] = JSON.parse(
    readFileSync(join(shared, 'index.json'), 'utf8'),
  );
  const marked = new Map(index.flatMap(({ model, bench }) => (bench === undefined ? [] : [[model, bench] as const])));
  for (const golden of goldenCases(shared)) {
    const kind = marked.get(golden.model);
    if (kind === undefined) continue;
    const path = join(shared, golden.model);
    const feeds = new Map(
      Object.entries(golden.inputs).map(([name, { file }]) => [name, readNpy(join(shared, golden.dir, file))]),
    );
    const session = new Session(importModel(path).graph);
    const times = await medians(
      {
        wafc: () => session.run(feeds),
        node: await onnxruntime('node', path, feeds),
        web: await onnxruntime('web', path, feeds),
      },
      60,
    );
    const ms = (name: string): string => `${times[name].toFixed(3)} ms`;
    write(`${kind} ${golden.id}, ${golden.case}`);
    write(`  reference ${ms('wafc')}, onnxruntime-node ${ms('node')}, onnxruntime-web ${ms('web')}`);
    bar(`at least as fast as onnxruntime-web (${(times.web / times.wafc).toFixed(2)}x)`, times.wafc <= times.web);
    bar(`within 4x of onnxruntime-node (${(times.wafc / times.node).toFixed(2)}x)`, times.wafc <= 4 * times.node);
  }
} else write('reference executor beside onnxruntime: NOT RUN, no ../shared/models');

const pico = join(root, 'models/pico/decoder_with_past.onnx');
const stories = join(shared, 'models/exports/stories260K/decoder_with_past_model.ts17.onnx');
for (const [name, model] of [
  ['pico', pico],
  ['stories260K', stories],
]) {
  if (!existsSync(model)) continue;
  const [first, later] = await generationSpeed(model, 200);
  write(`reference executor, ${name}: ${first.toFixed(0)} tokens/s over the first 200, ${later.toFixed(0)} then`);
  const speed = await placedSpeed(model, 40);
  write(`placed executor, ${name} on mesh-16x16`);
  bar(`at least 20 tokens/s (${speed.toFixed(1)})`, speed >= 20);
}
process.exitCode = missed ? 1 : 0;
