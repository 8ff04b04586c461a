/** What is recognised of real exports and of the builders' models, whole and shortened, with and without weights. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { buildModel, CONFIGS, type ModelConfig, parameterCount } from '../../models/configs.ts';
import { recognise, recogniseLayers } from '../../src/driver/structure.ts';
import { shortenModel } from '../../src/frontend/shorten.ts';
import { openModel } from '../../src/onnx/reader.ts';
import type { OnnxModel } from '../../src/onnx/model.ts';
import { writeModel } from '../../src/onnx/writer.ts';
import type { Architecture } from '../../src/report/architecture.ts';
import { temporaryFolder } from '../onnx/support.ts';

const repository = join(import.meta.dirname, '../..');
const shared = join(repository, '../shared/models');
const exportsOf = join(shared, 'models/exports');
const present = existsSync(exportsOf);
const folder = temporaryFolder();

/** The architecture of a file, which must be the same with and without its equal layers taken out. */
function architectureOf(path: string): Architecture {
  const model = openModel(path);
  try {
    const { architecture, remarks } = recognise(model);
    expect(remarks).toEqual([]);
    expect(recogniseLayers(model, { removed: 0, nodes: new Set() }).architecture).toEqual(architecture);
    if (architecture === null) throw new Error('nothing was recognised');
    return architecture;
  } finally {
    model.close();
  }
}

const SWIGLU = { activation: 'SiLU', gated: true, norm: 'RMSNorm', window: null } as const;
const STORIES = {
  ...SWIGLU,
  kind: 'decoder',
  layers: 5,
  identicalLayers: 5,
  heads: 8,
  kvHeads: 4,
  headSize: 8,
  hidden: 64,
  ffn: 172,
  positions: 'rotary',
  rotaryFeatures: 8,
  vocabulary: 512,
} as const;
/** One table of 512 x 64 more where the head is a tensor of its own. */
const [SHARED, OWN] = [260_032, 292_800];

describe.skipIf(!present)(`exports of stories260K${present ? '' : ': NOT RUN, no ../shared/models'}`, () => {
  const cases: [string, Pick<Architecture, 'head' | 'cache'>][] = [
    ['decoder_model.dynamo18', { head: 'tied', cache: false }],
    ['decoder_model.dynamo18.fp16', { head: 'tied', cache: false }],
    ['decoder_model.dynamo23', { head: 'tied', cache: false }],
    ['decoder_with_past_model.dynamo23', { head: 'tied', cache: true }],
    // TorchScript transposes the tied table into a tensor of its own: other bytes, the same elements.
    ['decoder_model.ts17', { head: 'copy', cache: false }],
    ['decoder_model_merged.ts17', { head: 'copy', cache: true }],
    ['decoder_with_past_model.ts14', { head: 'copy', cache: true }],
    ['decoder_with_past_model.ts17', { head: 'copy', cache: true }],
    ['decoder_with_past_model.ts17.fp16', { head: 'copy', cache: true }],
    ['karpathy_all.ts17', { head: 'copy', cache: false }],
    // Quantized heads beside embeddings in floats.
    ['decoder_model.dynamo18.qdq_s8s8_pc', { head: 'untied', cache: false }],
    ['decoder_model.dynamo18.qop', { head: 'untied', cache: false }],
    ['decoder_with_past_model.ts17.int8dyn', { head: 'untied', cache: true }],
    ['decoder_with_past_model.ts17.q4', { head: 'untied', cache: true }],
  ];
  test.each(cases)('%s', (name, own) => {
    const parameters = own.head === 'tied' ? SHARED : OWN;
    expect(architectureOf(join(exportsOf, 'stories260K', `${name}.onnx`))).toEqual({ ...STORIES, ...own, parameters });
  });
  test('every export is among them', () => {
    const files = readdirSync(join(exportsOf, 'stories260K')).filter((file) => file.endsWith('.onnx'));
    expect(cases.map(([name]) => `${name}.onnx`).sort()).toEqual(files.sort());
  });
});

describe.skipIf(!present)(`exports of the zoo${present ? '' : ': NOT RUN, no ../shared/models'}`, () => {
  const small = { layers: 2, identicalLayers: 2, heads: 4, headSize: 16, hidden: 64, vocabulary: 500, cache: false };
  const encoder = {
    ...small,
    kind: 'encoder',
    kvHeads: 4,
    ffn: 128,
    activation: 'GELU',
    gated: false,
    norm: 'LayerNorm',
    positions: 'learned',
    head: 'none',
  };
  const llama = { ...small, ...SWIGLU, kind: 'decoder', kvHeads: 2, ffn: 128, positions: 'rotary', rotaryFeatures: 16 };
  const cases: Record<string, object> = {
    bert: encoder,
    bert_seqcls: encoder,
    distilbert_seqcls: encoder,
    electra: encoder,
    roberta: encoder,
    gpt2: { ...encoder, kind: 'decoder', ffn: 256, activation: 'GELU (tanh)', head: 'tied' },
    llama_tied: { ...llama, head: 'tied' },
    opt: { ...encoder, kind: 'decoder', activation: 'ReLU', head: 'tied' },
    phi: {
      ...llama,
      activation: 'GELU (tanh)',
      gated: false,
      norm: 'LayerNorm',
      rotaryFeatures: 8,
      head: 'untied',
    },
    qwen2: { ...llama, head: 'untied' },
  };
  for (const [name, expected] of Object.entries(cases)) {
    for (const exporter of ['dynamo18', 'dynamo23', 'ts17']) {
      test(`${name}.${exporter}`, () => {
        const found = architectureOf(join(exportsOf, 'hfzoo', `${name}.${exporter}.onnx`));
        const copies = exporter === 'ts17' && 'head' in expected && expected.head === 'tied';
        expect(found).toMatchObject(copies ? { ...expected, head: 'copy' } : expected);
      });
    }
  }
  test.each(['dynamo18', 'dynamo23', 'ts11', 'ts17'])('gptnano.%s', (exporter) => {
    expect(architectureOf(join(exportsOf, 'gptnano', `gpt_nano_sort.${exporter}.onnx`))).toMatchObject({
      kind: 'decoder',
      layers: 3,
      identicalLayers: 3,
      heads: 3,
      hidden: 48,
      ffn: 192,
      vocabulary: 3,
      positions: 'learned',
      head: 'untied',
    });
  });
  test.each(['dynamo18', 'dynamo23', 'ts17'])('vit.%s: embeds its patches on the host', (exporter) => {
    const { vocabulary: _, ...layers } = { ...encoder, ffn: 128, cache: false };
    const found = architectureOf(join(exportsOf, 'hfzoo', `vit.${exporter}.onnx`));
    expect(found).toMatchObject({
      ...layers,
      identicalLayers: 1,
      positions: 'learned',
      vocabulary: null,
      head: 'none',
    });
  });
  test('t5_seq2seq.ts17: says why there is none', () => {
    const { architecture, remarks } = recognise(openModel(join(exportsOf, 'hfzoo', 't5_seq2seq.ts17.onnx')));
    expect(architecture).toBeNull();
    expect(remarks).toMatchObject([{ code: 'inspect/no-architecture', severity: 'remark' }]);
    expect(remarks[0].message).toMatch(/dim tgt is not bound/);
  });
});

describe('the model of the repository', () => {
  test.each([
    ['decoder', { heads: 4, kvHeads: 2, hidden: 64, ffn: 176, cache: false }],
    ['decoder_with_past', { heads: 4, kvHeads: 2, hidden: 64, ffn: 176, cache: true }],
    ['reviewer_with_past', { heads: 8, kvHeads: 4, hidden: 128, ffn: 352, cache: true }],
  ])('%s', (name, own) => {
    expect(architectureOf(join(repository, 'models/pico', `${name}.onnx`))).toMatchObject({
      ...SWIGLU,
      ...own,
      kind: 'decoder',
      layers: 4,
      identicalLayers: 4,
      headSize: 16,
      vocabulary: 128,
      positions: 'rotary',
      head: 'untied',
    });
  });
});

describe('models of the builders', () => {
  const write = (name: string, data: boolean): [string, ModelConfig] => {
    const config = CONFIGS.get(name);
    if (config === undefined) throw new Error(`no config ${name}`);
    const path = join(folder, `${name}.${data}.onnx`);
    writeModel(path, buildModel(config), data ? {} : { external: true, data });
    return [path, config];
  };
  const expected = (config: ModelConfig): object => ({
    layers: config.layers,
    identicalLayers: config.layers,
    heads: config.heads,
    hidden: config.hidden,
    ffn: config.ffn,
    vocabulary: config.vocab,
    parameters: parameterCount(buildModel(config)),
    ...(config.kind === 'llama' ? { kvHeads: config.kvHeads, headSize: config.headDim, cache: config.cache } : {}),
  });

  test.each(['tiny-llama', 'tiny-llama-tied', 'tiny-gpt2', 'tiny-bert'])('%s', (name) => {
    const [path, config] = write(name, true);
    expect(architectureOf(path)).toMatchObject(expected(config));
  });

  test.each([
    ['gpt2-124m', 'tied'],
    ['bert-base', 'none'],
    ['llama-1b', 'tied'],
    ['llama-8b', 'unknown'],
  ])('%s, without its weights', (name, head) => {
    const [path, config] = write(name, false);
    const model = openModel(path);
    expect(recognise(model).architecture).toMatchObject({ ...expected(config), head });
    model.close();
  });

  test('no matrix is read to see the structure', () => {
    const [path] = write('tiny-llama', true);
    const model = openModel(path);
    const read = new Map<string, number>();
    const watched: OnnxModel = {
      ...model,
      graph: {
        ...model.graph,
        initializers: model.graph.initializers.map((tensor) => ({
          ...tensor,
          source: {
            ...tensor.source,
            read(offset, into) {
              if (tensor.shape.length > 1) read.set(tensor.name, (read.get(tensor.name) ?? 0) + into.length);
              tensor.source.read(offset, into);
            },
          },
        })),
      },
    };
    expect(recogniseLayers(watched, { removed: 0, nodes: new Set() }).architecture?.head).toBe('untied');
    // The tables of words are compared with each other, until they differ.
    expect([...read.keys()].sort()).toEqual(['lm_head.MatMul.weight', 'model.embed_tokens.weight']);
  });

  test('layers are taken out only where they repeat', () => {
    const [path, config] = write('llama-8b', false);
    const model = openModel(path);
    const { removed, model: short } = shortenModel(model);
    expect(removed).toBeGreaterThanOrEqual(config.layers - 2);
    expect(short.graph.nodes.length).toBeLessThan(model.graph.nodes.length / 10);
    const again = shortenModel(short);
    expect(again.removed).toBe(0);
    model.close();
  });
});
