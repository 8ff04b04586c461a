/** One model in many export forms lowers to one graph. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { loadModel } from '../../src/driver/compile.ts';
import { GRAPH_STEPS } from '../../src/driver/pipeline.ts';
import type { Graph } from '../../src/ir/graph.ts';
import type { ValueId } from '../../src/ir/ids.ts';
import { HOST_KINDS } from '../../src/ops/wafc-host.ts';
import { printType } from '../../src/ir/types.ts';
import { QUIET, runPasses } from '../../src/pass/manager.ts';
import { loadTarget } from '../../src/target/load.ts';
import splitStages from '../../passes/3-partition/split-stages.ts';
import { step } from '../../src/pass/pass.ts';
import { hasOrt, ORT_HOME } from '../conformance/single-op.ts';
import { temporaryFolder } from '../onnx/support.ts';

const EXPORTS = join(import.meta.dirname, '../../../shared/models/models/exports');
const absent = !existsSync(EXPORTS);
// oxlint-disable-next-line no-console -- skipped tests must be seen
if (absent) console.warn('skipped: no ../shared/models, so no real exports are lifted');

const WITHOUT_CACHE = ['decoder_model.dynamo18', 'decoder_model.dynamo23', 'decoder_model.ts17'];
const WITH_CACHE = [
  'decoder_with_past_model.ts17',
  'decoder_with_past_model.ts14',
  'decoder_with_past_model.dynamo23',
  'decoder_model_merged.ts17',
];
const HALF = ['decoder_model.dynamo18.fp16', 'decoder_with_past_model.ts17.fp16'];
const QUANTIZED = [
  'decoder_model.dynamo18.qdq_s8s8_pc',
  'decoder_model.dynamo18.qop',
  'decoder_with_past_model.ts17.q4',
  'decoder_with_past_model.ts17.int8dyn',
];

const stories = (name: string): string => join(EXPORTS, 'stories260K', `${name}.onnx`);

function lowered(path: string): { graph: Graph; templates: number; stages: number } {
  const { graph, roles } = loadModel(path, 1, {});
  const start = {
    graph,
    roles,
    target: loadTarget('mesh-8x8'),
    mode: { kind: 'stream', batch: 1, context: 64 } as const,
  };
  const program = runPasses(start, [...GRAPH_STEPS, step(splitStages, {})], QUIET);
  return {
    graph: program.graph,
    templates: program.stages?.templates.length ?? 0,
    stages: program.stages?.stages.length ?? 0,
  };
}

/** Ops, attributes, types and structure; no names, no contents of weights. */
function canonicalText(graph: Graph): string {
  const name = (v: ValueId | null): string =>
    v === null ? '_' : graph.constants.has(v) ? `const ${printType(graph.types[v])}` : `%${v - graph.constants.size}`;
  const number = new Map<ValueId, number>();
  for (const v of graph.inputs) number.set(v, number.size);
  for (const op of graph.ops) for (const v of op.outputs) if (v !== null) number.set(v, number.size);
  const refer = (v: ValueId | null): string => (v !== null && number.has(v) ? `%${number.get(v)}` : name(v));
  return graph.ops
    .map((op) => `${op.outputs.map(refer)} = ${op.kind} ${op.inputs.map(refer)} ${JSON.stringify(op.attrs)}`)
    .join('\n');
}

/** The canonical text of what is placed: without operands that the host feeds to attention, and the host's own ops. */
function coreText(graph: Graph): string {
  const number = new Map<ValueId, number>();
  const refer = (v: ValueId | null): string => {
    if (v === null) return '_';
    if (graph.constants.has(v)) return `const ${printType({ ...graph.types[v], dtype: 'f32' })}`;
    return number.has(v) ? `%${number.get(v)}` : 'host';
  };
  return graph.ops
    .flatMap((op) => {
      const isHost = HOST_KINDS.has(op.kind) || VIEWS.has(op.kind);
      if (isHost || !(op.kind.startsWith('wafc.') || op.inputs.some((v) => v !== null && number.has(v)))) return [];
      const inputs = op.kind === 'wafc.attention' ? op.inputs.slice(0, 3) : op.inputs;
      const operands = inputs.map(refer);
      number.set(op.outputs[0] as ValueId, number.size);
      // An epsilon is what the file's float type makes of it.
      const attrs = JSON.stringify(op.attrs, (_, x) => (typeof x === 'number' ? Number(x.toPrecision(3)) : x));
      return [`%${number.get(op.outputs[0] as ValueId)} = ${op.kind} ${operands} ${attrs}`];
    })
    .join('\n');
}

/** What only brings results into the shape of the interface. */
const VIEWS = new Set(['Reshape', 'Transpose', 'Identity']);

function histogram(graph: Graph): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { kind } of graph.ops) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}

describe.skipIf(absent)('stories260K in its export forms', () => {
  const forms = absent
    ? new Map<string, ReturnType<typeof lowered>>()
    : new Map(
        [...WITHOUT_CACHE, ...WITH_CACHE, ...QUANTIZED, ...HALF, 'karpathy_all.ts17'].map((name) => [
          name,
          lowered(stories(name)),
        ]),
      );
  const form = (name: string): ReturnType<typeof lowered> => forms.get(name) ?? expect.fail(`no ${name}`);

  test.each([...WITHOUT_CACHE.slice(1), ...QUANTIZED.slice(0, 2)])(
    '%s is the graph of dynamo18, up to names',
    (name) => {
      expect(canonicalText(form(name).graph)).toBe(canonicalText(form('decoder_model.dynamo18').graph));
    },
  );

  test.each([...WITH_CACHE.slice(1), ...QUANTIZED.slice(2)])(
    '%s is the graph of the cached ts17, up to names',
    (name) => {
      expect(canonicalText(form(name).graph)).toBe(canonicalText(form('decoder_with_past_model.ts17').graph));
    },
  );

  test('all have the same ops, and 5 layers of one template', () => {
    const counts = histogram(form('decoder_model.dynamo18').graph);
    expect(counts).toMatchObject({ 'wafc.attention': 5, 'wafc.linear': 36, 'wafc.rmsnorm': 11, 'wafc.rope': 10 });
    for (const [name, { graph, templates, stages }] of forms) {
      expect({ name, ...histogram(graph) }).toEqual({ name, ...counts });
      expect([name, templates, stages]).toEqual([name, 3, 7]);
    }
  });

  test('the complex-number spelling rotates halves, too: its columns are read in another order', () => {
    const { graph } = form('karpathy_all.ts17');
    const ropes = graph.ops.filter((op) => op.kind === 'wafc.rope');
    expect(ropes.map((op) => op.attrs.interleaved)).toEqual(new Array(10).fill(0));
    const labels = [...graph.constants.values()].map(({ source }) => source.label);
    expect(labels.filter((label) => /moved/.test(label))).toHaveLength(10);
  });

  test('all 14 are one graph, but for what the host feeds: mask, past and present', () => {
    const core = coreText(form('decoder_model.dynamo18').graph);
    for (const [name, { graph }] of forms) expect({ name, core: coreText(graph) }).toEqual({ name, core });
  });
});

/** onnxruntime writes its fused graph beside opening a model. */
async function fusedBy(level: 'extended' | 'all', path: string, folder: string): Promise<string> {
  const optimizedModelFilePath = join(folder, `${level}-${basename(path)}`);
  const ort = createRequire(ORT_HOME)('onnxruntime-node') as {
    InferenceSession: { create(path: string, options: object): Promise<{ release(): Promise<void> }> };
  };
  const options = { graphOptimizationLevel: level, optimizedModelFilePath, logSeverityLevel: 4, intraOpNumThreads: 1 };
  await (await ort.InferenceSession.create(path, options)).release();
  return optimizedModelFilePath;
}

describe.skipIf(absent || !hasOrt)('models fused by onnxruntime', () => {
  const folder = temporaryFolder();
  test.each([
    ['stories260K/decoder_with_past_model.ts17', 'all', ['FusedMatMul', 'QuickGelu']],
    ['hfzoo/bert.dynamo18', 'extended', ['FusedMatMul', 'SkipLayerNormalization']],
    ['hfzoo/gpt2.ts17', 'all', ['FastGelu', 'FusedMatMul']],
    ['hfzoo/distilbert_seqcls.ts17', 'extended', ['BiasGelu', 'FusedGemm', 'FusedMatMul']],
  ] as const)('%s (%s) is the graph of the plain export, up to names', async (name, level, fused) => {
    const plain = join(EXPORTS, `${name}.onnx`);
    const path = await fusedBy(level, plain, folder);
    const kinds = new Set(loadModel(path, 1, {}).graph.ops.map((op) => op.kind));
    expect([...kinds].filter((kind) => kind.startsWith('com.microsoft.')).sort()).toEqual(
      fused.map((kind) => `com.microsoft.${kind}`),
    );
    expect(canonicalText(lowered(path).graph)).toBe(canonicalText(lowered(plain).graph));
  });
});
