/**
 * BERT-like encoders: token types, learned positions, LayerNorm after each block, erf GELU, padding mask, and if
 * asked the pooler. As TorchScript exports Hugging Face's BertModel.
 */
import type { WritableModel } from '../src/onnx/writer.ts';
import { GraphBuilder, type Scope } from './graph-builder.ts';
import { attend, layerNorm, mergeHeads, paddingMask, splitHeads } from './layers.ts';
import type { FloatType } from './weights.ts';

export interface BertConfig {
  readonly kind: 'bert';
  readonly layers: number;
  readonly hidden: number;
  readonly heads: number;
  readonly ffn: number;
  readonly vocab: number;
  readonly maxPositions: number;
  readonly dtype: FloatType;
  readonly seed: number;
  readonly eps: number;
  readonly pooler: boolean;
  /** 14 to 17. */
  readonly opset: number;
}

/** The model; its weights are made when they are read. */
export function buildBert(config: BertConfig): WritableModel {
  const { layers, hidden, opset } = config;
  const builder = new GraphBuilder(config.dtype, config.seed);
  const rows = ['batch_size', 'sequence_length'];
  const ids = builder.input('input_ids', 'i64', rows);
  const mask = builder.input('attention_mask', 'i64', rows);
  const types = builder.input('token_type_ids', 'i64', rows);
  builder.output('last_hidden_state', [...rows, hidden]);
  if (config.pooler) builder.output('pooler_output', ['batch_size', hidden]);

  const additive = paddingMask(builder.scope(''), mask);
  let x = embed(builder, ids, types, config);
  for (let n = 0; n < layers; n++) x = layer(builder.scope(`/encoder/layer.${n}`), x, additive, config);
  builder.scope('/encoder').op('Identity', [x], {}, 'last_hidden_state');
  if (config.pooler) {
    const pooler = builder.scope('/pooler');
    const first = pooler.op('Gather', [x, pooler.constant('i64', [0], [])], { axis: 1 });
    const weight = builder.weight('pooler.dense.weight', [hidden, hidden], hidden ** -0.5);
    const bias = builder.weight('pooler.dense.bias', [hidden], 0.02);
    const dense = pooler.inner('dense').op('Gemm', [first, weight, bias], { transB: 1 });
    pooler.inner('activation').op('Tanh', [dense], {}, 'pooler_output');
  }
  return builder.finish('main_graph', opset);
}

function embed(builder: GraphBuilder, tokenIds: string, typeIds: string, config: BertConfig): string {
  const { hidden, vocab, maxPositions, eps, opset } = config;
  const s = builder.scope('/embeddings');
  const table = (name: string, count: number): string =>
    builder.weight(`embeddings.${name}.weight`, [count, hidden], hidden ** -0.5);
  const words = s.inner('word_embeddings').op('Gather', [table('word_embeddings', vocab), tokenIds]);
  const kinds = s.inner('token_type_embeddings').op('Gather', [table('token_type_embeddings', 2), typeIds]);
  const all = builder.integers('embeddings.position_ids', [1, maxPositions], [...Array(maxPositions).keys()]);
  const length = s.extent(tokenIds, 1);
  const positions = s.op('Slice', [all, s.ints(0), length, s.ints(1), s.ints(1)]);
  const places = s.inner('position_embeddings').op('Gather', [table('position_embeddings', maxPositions), positions]);
  const sum = s.op('Add', [s.op('Add', [words, kinds]), places]);
  return layerNorm(s, 'LayerNorm', sum, hidden, eps, opset);
}

function layer(s: Scope, input: string, mask: string, config: BertConfig): string {
  const { hidden, heads, ffn, eps, opset } = config;
  const headDim = hidden / heads;
  const self = s.inner('attention/self');
  const batch = self.extent(input, 0);
  const length = self.extent(input, 1);
  const project = (name: string): string => {
    const value = self.linear(name, input, { from: hidden, to: hidden, bias: true });
    return splitHeads(self, value, batch, length, { heads, headDim });
  };
  const mixed = attend(self, project('query'), project('key'), project('value'), mask, headDim ** -0.5);
  const merged = mergeHeads(self, mixed, batch, length, { heads, headDim });
  const out = s.inner('attention/output');
  const projected = out.linear('dense', merged, { from: hidden, to: hidden, bias: true });
  const x = layerNorm(out, 'LayerNorm', out.op('Add', [projected, input]), hidden, eps, opset);
  const middle = s.inner('intermediate');
  const wide = geluErf(
    middle.inner('intermediate_act_fn'),
    middle.linear('dense', x, { from: hidden, to: ffn, bias: true }),
  );
  const output = s.inner('output');
  const narrow = output.linear('dense', wide, { from: ffn, to: hidden, bias: true });
  return layerNorm(output, 'LayerNorm', output.op('Add', [narrow, x]), hidden, eps, opset);
}

/** x/2 (1 + erf(x/√2)). */
function geluErf(s: Scope, x: string): string {
  const erf = s.op('Erf', [s.op('Div', [x, s.scalar(Math.SQRT2)])]);
  const scaled = s.op('Mul', [x, s.op('Add', [erf, s.scalar(1)])]);
  return s.op('Mul', [scaled, s.scalar(0.5)]);
}
