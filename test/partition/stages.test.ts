/** Stages and templates: by structure alone. Names do not matter, weights do not matter, structure does. */
import { describe, expect, test } from 'vitest';
import splitStages from '../../passes/3-partition/split-stages.ts';
import { buildModel, CONFIGS, type ModelConfig } from '../../models/configs.ts';
import { BIND_STEP, GRAPH_STEPS } from '../../src/driver/pipeline.ts';
import { importOnnx } from '../../src/frontend/import.ts';
import type { Program, With } from '../../src/ir/facts.ts';
import type { Graph } from '../../src/ir/graph.ts';
import { openModelBytes } from '../../src/onnx/reader.ts';
import { encodeModelBytes, type WritableModel } from '../../src/onnx/writer.ts';
import { segmentsOf, splitHost } from '../../src/partition/segments.ts';
import { QUIET, runPasses } from '../../src/pass/manager.ts';
import { step } from '../../src/pass/pass.ts';
import { hash32 } from '../../src/util/rng.ts';
import { TINY } from '../support/program.ts';

const configOf = (name: string, changes: object = {}): ModelConfig =>
  ({ ...(CONFIGS.get(name) as ModelConfig), ...changes }) as ModelConfig;

/** Every value and node that is no input or output of the model gets a name that says nothing. */
function renamed({ graph, ...model }: WritableModel): WritableModel {
  const kept = new Set([...graph.inputs, ...graph.outputs].map((v) => v.name));
  const name = (old: string): string => (old === '' || kept.has(old) ? old : `n${hash32(old, 7).toString(36)}`);
  return {
    ...model,
    graph: {
      ...graph,
      nodes: graph.nodes.map((n) => ({
        ...n,
        name: name(n.name),
        inputs: n.inputs.map(name),
        outputs: n.outputs.map(name),
      })),
      initializers: graph.initializers.map((t) => ({ ...t, name: name(t.name) })),
    },
  };
}

function staged(model: WritableModel): With<'stages'> {
  const { graph, roles } = importOnnx(openModelBytes(encodeModelBytes(model)), { bindings: { B: 1 } });
  const start: Program = {
    graph,
    roles: roles.byName,
    target: TINY,
    mode: { kind: 'stream', batch: 1, context: 16 },
  };
  return runPasses(start, [...GRAPH_STEPS, BIND_STEP, step(splitStages, {})], QUIET) as With<'stages'>;
}

/** Templates and sizes, without names of values. */
const outline = ({ stages, graph }: With<'stages'>): unknown => ({
  host: stages.host.length,
  templates: stages.templates,
  stages: stages.stages.map((s) => ({
    name: s.name,
    template: s.template,
    kinds: s.ops.map((at) => graph.ops[at].kind),
    counts: [s.inputs.length, s.outputs.length, s.weights.length],
  })),
});

const MODELS = ['tiny-llama', 'tiny-llama-tied', 'tiny-gpt2', 'tiny-bert'] as const;

describe.each(MODELS)('%s', (name) => {
  const program = staged(buildModel(configOf(name, { layers: 5 })));
  const { stages, graph } = program;

  test('embedding, five layers of one template, head', () => {
    const names = stages.stages.map((s) => stages.templates[s.template].name);
    expect(names.filter((n) => n === 'layer')).toHaveLength(5);
    expect(names[0]).toBe('embed');
    expect(names.at(-1)).toBe('head');
    expect(stages.templates.map((t) => t.name)).toEqual(['embed', 'layer', 'head']);
  });

  test('renaming every node and value changes nothing', () => {
    expect(outline(staged(renamed(buildModel(configOf(name, { layers: 5 })))))).toEqual(outline(program));
  });

  test('every op is on the host or in one stage, in order', () => {
    const all = [...stages.host, ...stages.stages.flatMap((s) => s.ops)].sort((a, b) => a - b);
    expect(all).toEqual([...graph.ops.keys()]);
    const onWafer = stages.stages.flatMap((s) => s.ops);
    expect([...onWafer].sort((a, b) => a - b)).toEqual(onWafer);
  });

  test('what a stage reads is made before it, on the host, or fed; what is read later leaves it', () => {
    const host = new Set(stages.host.flatMap((at) => graph.ops[at].outputs));
    const there = new Set<number | null>([...graph.inputs, ...host]);
    for (const { ops, inputs, outputs, weights } of stages.stages) {
      for (const v of inputs)
        expect({ value: graph.names[v], there: there.has(v) }).toEqual({ value: graph.names[v], there: true });
      const own = new Set(ops.flatMap((at) => graph.ops[at].outputs));
      for (const at of ops)
        for (const v of graph.ops[at].inputs)
          expect(v === null || own.has(v) || inputs.includes(v) || weights.includes(v) || graph.constants.has(v)).toBe(
            true,
          );
      for (const v of outputs) {
        expect(own.has(v)).toBe(true);
        there.add(v);
      }
    }
    for (const v of graph.outputs)
      expect(there.has(v) || stages.host.some((at) => graph.ops[at].outputs.includes(v))).toBe(true);
  });

  test('stages of a template have operands of the same types in the same order', () => {
    const types = (values: readonly number[]): unknown[] => values.map((v) => graph.types[v]);
    for (const { template, inputs, outputs, weights } of stages.stages) {
      const like = stages.stages[stages.templates[template].exemplar];
      expect([types(inputs), types(outputs), types(weights)]).toEqual([
        types(like.inputs),
        types(like.outputs),
        types(like.weights),
      ]);
    }
  });
});

describe('structure', () => {
  const templatesOf = (model: WritableModel): number => staged(model).stages.templates.length;

  test('nothing repeats: cut before the attention', () => {
    expect(templatesOf(buildModel(configOf('tiny-llama', { layers: 1 })))).toBe(2);
  });

  test('a layer that differs in a scalar is another template', () => {
    const model = buildModel(configOf('tiny-llama', { layers: 6 }));
    let seen = 0;
    const nodes = model.graph.nodes.map((node) => {
      const { value } = Object.fromEntries(node.attributes ?? []);
      if (value?.kind !== 'tensor' || !node.name.includes('layers.3/input_layernorm')) return node;
      const bytes = new Uint8Array(value.value.source.byteLength);
      if (!('read' in value.value.source)) return node;
      value.value.source.read(0, bytes);
      const number = new Float32Array(bytes.buffer);
      if (bytes.length !== 4 || Math.abs(number[0] - 1e-5) > 1e-9) return node;
      number[0] = 1e-3;
      seen++;
      const source = { label: 'eps', byteLength: 4, read: (_: number, into: Uint8Array) => into.set(bytes) };
      return { ...node, attributes: new Map([['value', { ...value, value: { ...value.value, source } }]]) };
    });
    expect(seen).toBe(1);
    const { stages } = staged({ ...model, graph: { ...model.graph, nodes } });
    const used = stages.stages.map((s) => s.template);
    expect(used.slice(1, 4)).toEqual([used[1], used[1], used[1]]);
    expect(used.filter((t) => t === used[4])).toHaveLength(1);
    expect(new Set(used).size).toBeGreaterThan(3);
  });

  test('segments cut where one activation is live, and nowhere else', () => {
    const { graph, roles } = staged(buildModel(configOf('tiny-llama', { layers: 3 })));
    const split = splitHost(graph, (v) => roles.get(graph.names[v])?.kind === 'past');
    const segments = segmentsOf(graph, split);
    expect(segments.flatMap((s) => s.ops)).toEqual(split.wafer);
    for (const [i] of segments.entries()) {
      const before = new Set(segments.slice(0, i + 1).flatMap((s) => s.ops.flatMap((at) => graph.ops[at].outputs)));
      const after = segments.slice(i + 1).flatMap((s) => s.ops.flatMap((at) => graph.ops[at].inputs));
      const live = new Set(after.filter((v) => v !== null && before.has(v)));
      expect(live.size).toBe(i === segments.length - 1 ? 0 : 1);
    }
    // Signatures of the layers repeat, and name no value.
    const signatures = segments.map((s) => s.signature);
    const names = new Set(signatures.filter((s) => signatures.indexOf(s) !== signatures.lastIndexOf(s)));
    expect(names.size).toBeGreaterThan(0);
    for (const name of graph.names as Graph['names'])
      if (name.length > 6) for (const s of signatures) expect(s.includes(name)).toBe(false);
  });
});
