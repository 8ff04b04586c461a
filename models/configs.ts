/**
 * Named shapes. `tiny-*` are for tests; the others are the sizes of published models, with seeded weights. The
 * `llama8b-pN` and `qwen72b-pN` are the padded shapes of WaferLLM's benchmark for an N x N mesh, which have one
 * head as wide as the model (WaferLLM repository, its model_config files; see docs of the calibration data).
 */
import type { WritableModel } from '../src/onnx/writer.ts';
import { type BertConfig, buildBert } from './bert.ts';
import { buildGpt2, type Gpt2Config } from './gpt2.ts';
import { buildLlama, type LlamaConfig } from './llama.ts';

export type ModelConfig = LlamaConfig | Gpt2Config | BertConfig;

const LLAMA: LlamaConfig = {
  kind: 'llama',
  layers: 2,
  hidden: 32,
  heads: 4,
  kvHeads: 2,
  headDim: 8,
  ffn: 88,
  vocab: 64,
  dtype: 'f32',
  seed: 1,
  ropeTheta: 10000,
  eps: 1e-5,
  tied: false,
  cache: true,
  opset: 17,
  rsqrt: 'div',
};

const GPT2: Gpt2Config = {
  kind: 'gpt2',
  layers: 2,
  hidden: 32,
  heads: 4,
  ffn: 128,
  vocab: 64,
  maxPositions: 64,
  dtype: 'f32',
  seed: 1,
  eps: 1e-5,
  cache: true,
  opset: 17,
};

const BERT: BertConfig = {
  kind: 'bert',
  layers: 2,
  hidden: 32,
  heads: 4,
  ffn: 128,
  vocab: 64,
  maxPositions: 64,
  dtype: 'f32',
  seed: 1,
  eps: 1e-12,
  pooler: true,
  opset: 17,
};

/** mesh side, dim, ffn: WaferLLM's padded shapes, to multiples of the mesh. */
const LLAMA8B_PADDED = [
  [240, 4080, 14400],
  [256, 4096, 14336],
  [300, 4200, 14400],
  [360, 4320, 14400],
  [420, 4200, 14700],
  [480, 4320, 14400],
  [512, 4096, 14336],
  [540, 4320, 14580],
  [600, 4200, 14400],
  [660, 4620, 14520],
  [720, 4320, 14400],
] as const;
const QWEN72B_PADDED = [
  [360, 8280, 29880],
  [420, 8400, 29820],
  [480, 8640, 29760],
  [540, 8640, 29700],
  [600, 8400, 30000],
  [660, 8580, 29700],
  [720, 8640, 30240],
] as const;

/** assumed: the benchmark has no vocabulary; the published models' ones. */
const LLAMA3_VOCAB = 128256;
const QWEN2_VOCAB = 152064;

function oneHead(layers: number, hidden: number, ffn: number, vocab: number): LlamaConfig {
  return {
    ...LLAMA,
    layers,
    hidden,
    heads: 1,
    kvHeads: 1,
    headDim: hidden,
    ffn,
    vocab,
    dtype: 'f16',
    ropeTheta: 500000,
  };
}

const padded: [string, ModelConfig][] = [
  ...LLAMA8B_PADDED.map(([p, dim, ffn]): [string, ModelConfig] => [
    `llama8b-p${p}`,
    oneHead(32, dim, ffn, LLAMA3_VOCAB),
  ]),
  ...QWEN72B_PADDED.map(([p, dim, ffn]): [string, ModelConfig] => [
    `qwen72b-p${p}`,
    oneHead(80, dim, ffn, QWEN2_VOCAB),
  ]),
];

/** By name, smallest first. */
export const CONFIGS: ReadonlyMap<string, ModelConfig> = new Map<string, ModelConfig>([
  ['tiny-llama', LLAMA],
  ['tiny-llama-tied', { ...LLAMA, tied: true }],
  ['tiny-gpt2', GPT2],
  ['tiny-bert', BERT],
  ['gpt2-124m', { ...GPT2, layers: 12, hidden: 768, heads: 12, ffn: 3072, vocab: 50257, maxPositions: 1024 }],
  ['bert-base', { ...BERT, layers: 12, hidden: 768, heads: 12, ffn: 3072, vocab: 30522, maxPositions: 512 }],
  [
    'llama-1b',
    {
      ...LLAMA,
      layers: 16,
      hidden: 2048,
      heads: 32,
      kvHeads: 8,
      headDim: 64,
      ffn: 8192,
      vocab: LLAMA3_VOCAB,
      dtype: 'f16',
      ropeTheta: 500000,
      tied: true,
    },
  ],
  [
    'llama-8b',
    {
      ...LLAMA,
      layers: 32,
      hidden: 4096,
      heads: 32,
      kvHeads: 8,
      headDim: 128,
      ffn: 14336,
      vocab: LLAMA3_VOCAB,
      dtype: 'f16',
      ropeTheta: 500000,
    },
  ],
  [
    'llama-34b',
    {
      ...LLAMA,
      layers: 48,
      hidden: 8192,
      heads: 64,
      kvHeads: 8,
      headDim: 128,
      ffn: 22016,
      vocab: 32000,
      dtype: 'f16',
      ropeTheta: 1000000,
    },
  ],
  ...padded,
]);

/** Builds any config. Throws RangeError when its numbers do not fit each other. */
export function buildModel(config: ModelConfig): WritableModel {
  checkConfig(config);
  if (config.kind === 'llama') return buildLlama(config);
  return config.kind === 'gpt2' ? buildGpt2(config) : buildBert(config);
}

function checkConfig(config: ModelConfig): void {
  const bad = (why: string): never => {
    throw new RangeError(`${config.kind} model: ${why}`);
  };
  for (const [key, value] of Object.entries(config))
    if (
      typeof value === 'number' &&
      !['ropeTheta', 'eps', 'seed'].includes(key) &&
      !(Number.isSafeInteger(value) && value > 0)
    )
      bad(`${key} must be a positive integer, not ${value}`);
  if (!(config.opset >= 14 && config.opset <= 17)) bad(`opset ${config.opset}; 14 to 17 are written`);
  if (config.kind === 'llama') {
    if (config.heads % config.kvHeads !== 0)
      bad(`${config.heads} heads do not divide among ${config.kvHeads} KV heads`);
    if (config.headDim % 2 !== 0) bad(`head dimension ${config.headDim} is odd; rotary positions need halves`);
  } else if (config.hidden % config.heads !== 0)
    bad(`hidden ${config.hidden} does not divide into ${config.heads} heads`);
}

/** Number of weights. */
export const parameterCount = (model: WritableModel): number =>
  model.graph.initializers.reduce((sum, t) => sum + (t.dtype === 'i64' ? 0 : t.shape.reduce((a, b) => a * b, 1)), 0);
