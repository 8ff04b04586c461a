/** What end-to-end tests share: the models of the issue, plans in temporary folders, golden cases, other node orders. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { compare } from '../../src/exec/compare.ts';
import { hasOnnxruntime } from '../../src/exec/onnxruntime.ts';
import { compile, type CompileOptions, type Report, verify } from '../../src/index.ts';
import type { OnnxGraph, OnnxNode } from '../../src/onnx/model.ts';
import { openModel } from '../../src/onnx/reader.ts';
import { writeModel } from '../../src/onnx/writer.ts';
import { loadTarget } from '../../src/target/load.ts';
import { readNpy } from '../../src/tensor/npy.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { type Random, randomBelow, randomStream } from '../../src/util/rng.ts';
import type { VerifyResult } from '../../src/report/verify-result.ts';

export const PICO = join(import.meta.dirname, '../../models/pico');
export const SHARED = join(import.meta.dirname, '../../../shared/models');

/** Whether the real models are beside the checkout; says so when they are not. */
export const hasShared = existsSync(join(SHARED, 'index.json'));
if (!hasShared) {
  // oxlint-disable-next-line no-console -- skipped tests must be seen
  console.warn('skipped: no ../shared/models, so only the models of the repository are compiled');
}

/** Whether onnxruntime-node can be asked; WAFC_REQUIRE_ORT=1 makes its absence a failure. */
export const hasOrt = hasOnnxruntime();
if (!hasOrt) {
  if (process.env.WAFC_REQUIRE_ORT === '1') throw new Error('onnxruntime-node is not in test/ort');
  // oxlint-disable-next-line no-console -- a skipped oracle must be seen
  console.warn('skipped: onnxruntime-node is not in test/ort, so nothing is compared with it');
}

const STORIES = 'models/exports/stories260K';
const ZOO = 'models/exports/hfzoo';

/** Every fp32 export of the decoders, with a small mesh that it fits; one of each kind goes to a wafer, too. */
export const MUST_SHOW: readonly { readonly model: string; readonly mesh: string; readonly wafer?: true }[] = [
  { model: `${STORIES}/decoder_model.dynamo18.onnx`, mesh: 'mesh-8x8', wafer: true },
  { model: `${STORIES}/decoder_model.dynamo23.onnx`, mesh: 'mesh-16x16' },
  { model: `${STORIES}/decoder_model.ts17.onnx`, mesh: 'mesh-8x8' },
  { model: `${STORIES}/decoder_model_merged.ts17.onnx`, mesh: 'mesh-8x8', wafer: true },
  { model: `${STORIES}/decoder_with_past_model.dynamo23.onnx`, mesh: 'mesh-8x8' }, // external data
  { model: `${STORIES}/decoder_with_past_model.ts14.onnx`, mesh: 'mesh-16x16' },
  { model: `${STORIES}/decoder_with_past_model.ts17.onnx`, mesh: 'mesh-8x8', wafer: true },
  { model: `${STORIES}/karpathy_all.ts17.onnx`, mesh: 'mesh-8x8', wafer: true },
  { model: `${ZOO}/llama_tied.dynamo18.onnx`, mesh: 'mesh-8x8' },
  { model: `${ZOO}/llama_tied.dynamo23.onnx`, mesh: 'mesh-16x16', wafer: true },
  { model: `${ZOO}/llama_tied.ts17.onnx`, mesh: 'mesh-8x8' },
  { model: `${ZOO}/gpt2.dynamo18.onnx`, mesh: 'mesh-8x8' },
  { model: `${ZOO}/gpt2.dynamo23.onnx`, mesh: 'mesh-16x16' },
  { model: `${ZOO}/gpt2.ts17.onnx`, mesh: 'mesh-8x8', wafer: true },
  { model: `${ZOO}/qwen2.dynamo18.onnx`, mesh: 'mesh-8x8', wafer: true },
  { model: `${ZOO}/qwen2.dynamo23.onnx`, mesh: 'mesh-16x16' },
  { model: `${ZOO}/qwen2.ts17.onnx`, mesh: 'mesh-8x8' },
];

/** Compiles; a plan that does not fit fails the test with its diagnostics. */
export async function compiled(options: CompileOptions): Promise<Report> {
  const answer = await compile(options);
  expect({ exitCode: answer.exitCode, errors: answer.diagnostics.filter((d) => d.severity === 'error') }).toEqual({
    exitCode: 0,
    errors: [],
  });
  const report = answer.json() as Report;
  const { colors, queues } = loadTarget(options.target);
  const { routing } = report;
  expect(routing?.colorsMax).toBeLessThanOrEqual(colors.usable.length);
  expect(routing?.inputQueuesMax).toBeLessThanOrEqual(queues.input);
  expect(routing?.outputQueuesMax).toBeLessThanOrEqual(queues.output);
  return report;
}

/** `wafc verify`: passes, has compared something, and is within what the issue asks of f32. */
export async function verified(options: Parameters<typeof verify>[0], withOps = true): Promise<VerifyResult> {
  const answer = await verify(options);
  const result = answer.json() as VerifyResult;
  const { passed, checks, firstOut, ops, outputs } = result;
  expect({ passed, firstOut, exitCode: answer.exitCode }).toEqual({ passed: true, firstOut: null, exitCode: 0 });
  expect(checks).toEqual([]);
  if (withOps) expect(ops.length).toBeGreaterThan(10);
  const placed = outputs.filter((o) => o.of === 'placed vs reference');
  expect(placed.length).toBeGreaterThan(0);
  for (const { case: name, output, maxRel } of placed) within(`${name}, ${output}`, maxRel, 1e-5);
  return result;
}

export function within(what: string, found: number, bound: number): void {
  if (!(found <= bound)) throw new Error(`${what}: relative error ${found.toExponential(2)}, more than ${bound}`);
}

/** Tensors as the outputs of a golden case: within `bound`, relative to the larger of element and RMS. */
export function expectClose(
  found: ReadonlyMap<string, Tensor>,
  expected: ReadonlyMap<string, Tensor>,
  what: string,
  bound: number,
): void {
  expect(expected.size).toBeGreaterThan(0);
  for (const [name, tensor] of expected) {
    const mine = found.get(name);
    expect({ name, shape: mine?.shape }).toEqual({ name, shape: tensor.shape });
    within(`${what}, ${name}`, compare(mine as Tensor, tensor).maxRel, bound);
  }
}

export interface Golden {
  readonly name: string;
  readonly inputs: ReadonlyMap<string, Tensor>;
  readonly outputs: ReadonlyMap<string, Tensor>;
}

interface GoldenEntry {
  readonly case: string;
  readonly model: string;
  readonly dir: string;
  readonly inputs: Readonly<Record<string, { readonly file: string }>>;
  readonly outputs: Readonly<Record<string, { readonly file: string }>>;
}

/** The golden cases of a model of ../shared/models, by onnxruntime; none where there is no such folder. */
export function goldenOf(model: string): readonly Golden[] {
  if (!hasShared) return [];
  const entries: readonly GoldenEntry[] = JSON.parse(readFileSync(join(SHARED, 'cases.json'), 'utf8'));
  const found = entries.filter((e) => e.model === model);
  if (found.length === 0) throw new Error(`cases.json has no case of ${model}`);
  return found.map((e) => {
    const load = (files: GoldenEntry['inputs']): Map<string, Tensor> =>
      new Map(Object.entries(files).map(([name, { file }]) => [name, readNpy(join(SHARED, e.dir, file))]));
    return { name: e.case, inputs: load(e.inputs), outputs: load(e.outputs) };
  });
}

/** SHA-256 of every file of a folder, by name. */
export function digests(folder: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(folder)
      .sort()
      .map((file) => [
        file,
        createHash('sha256')
          .update(readFileSync(join(folder, file)))
          .digest('hex'),
      ]),
  );
}

/** Writes `from` to `to` with the nodes of every graph in another topological order, initializers shuffled, too. */
export function permuteModel(from: string, to: string, seed: number): void {
  const model = openModel(from);
  const random = randomStream(seed, 'permute');
  writeModel(to, { ...model, graph: permuted(model.graph, random) }, { external: model.path.includes('dynamo23') });
  model.close();
}

function permuted(graph: OnnxGraph, random: Random): OnnxGraph {
  const nodes = graph.nodes.map((node): OnnxNode => {
    const attributes = new Map(
      [...node.attributes].map(([name, a]) => [
        name,
        a.kind === 'graph' ? { ...a, value: permuted(a.value, random) } : a,
      ]),
    );
    return { ...node, attributes };
  });
  return { ...graph, nodes: anotherOrder(nodes, random), initializers: shuffled(graph.initializers, random) };
}

/** Any of the nodes whose operands are there may be next. */
function anotherOrder(nodes: readonly OnnxNode[], random: Random): OnnxNode[] {
  const made = new Set(nodes.flatMap((n) => n.outputs));
  const waiting = new Map(nodes.map((n) => [n, new Set(namesRead(n).filter((name) => made.has(name)))]));
  const order: OnnxNode[] = [];
  while (waiting.size > 0) {
    const ready = [...waiting].filter(([, needs]) => needs.size === 0).map(([n]) => n);
    if (ready.length === 0) throw new Error('the nodes have no topological order');
    const next = ready[randomBelow(random, ready.length)];
    waiting.delete(next);
    order.push(next);
    for (const needs of waiting.values()) for (const name of next.outputs) needs.delete(name);
  }
  return order;
}

/** Operands, and what bodies take from outside. */
const namesRead = (node: OnnxNode): string[] => [
  ...node.inputs,
  ...[...node.attributes.values()].flatMap((a) => (a.kind === 'graph' ? freeNames(a.value) : [])),
];

function freeNames({ nodes, inputs, outputs, initializers }: OnnxGraph): string[] {
  const own = new Set([...inputs.map((i) => i.name), ...initializers.map((t) => t.name)]);
  for (const { outputs: made } of nodes) for (const name of made) own.add(name);
  return [...nodes.flatMap(namesRead), ...outputs.map((o) => o.name)].filter((name) => !own.has(name));
}

function shuffled<T>(items: readonly T[], random: Random): T[] {
  const out = [...items];
  for (let i = out.length - 1; i > 0; i--) {
    const j = randomBelow(random, i + 1);
    [out[i], out[j]] = [out[j], out[i]];
  }
  return out;
}
