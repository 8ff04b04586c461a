/** Published decoders, made small: each is lifted, computes what it did, and says of its attention what its makers say. */
import { describe, expect, test } from 'vitest';
import type { Graph, Op } from '../../src/ir/graph.ts';
import type { ValueId } from '../../src/ir/ids.ts';
import { decoder, type DecoderParts } from './decoders.ts';
import { expectSame, lift, opsOf } from './support.ts';

const NEOX = {
  norm: 'layer',
  residual: 'parallel2',
  kvHeads: 4,
  partial: 2 / 3,
  mlp: 'plain gelu',
  bias: true,
} as const;
const BLOOM = { norm: 'layer', positions: 'alibi', kvHeads: 4, qkv: 'by head', mlp: 'gelu-tanh', bias: true } as const;
const GEMMA = { norm: 'rms1p', residual: 'sandwich', mlp: 'gelu-tanh', embedScale: 4, tied: true, layers: 2 } as const;

/** What is said of the first layer's attention; of the second, too, where it differs. */
const DECODERS: readonly [string, DecoderParts, ...Record<string, number>[]][] = [
  ['Llama', {}, {}],
  ['Gemma 2', { ...GEMMA, softcap: 50, logitsCap: 30, windows: [4, 0] }, { softcap: 50, window: 4 }, { softcap: 50 }],
  ['Gemma 3', { ...GEMMA, qkNorm: 'head', windows: [3, 0] }, { window: 3 }, {}],
  ['Qwen 2', { bias: true, tied: true }, {}],
  ['Qwen 3', { qkNorm: 'head' }, {}],
  ['OLMo 2', { residual: 'post', qkNorm: 'full' }, {}],
  ['Mistral', { windows: [6] }, { window: 6 }],
  ['Phi', { norm: 'layer', residual: 'parallel', partial: 2 / 3, mlp: 'plain gelu', bias: true, kvHeads: 4 }, {}],
  ['Phi 3', { qkv: 'fused', mlp: 'fused silu', windows: [5] }, { window: 5 }],
  ['Falcon 7B', { norm: 'layer', residual: 'parallel', kvHeads: 1, qkv: 'fused', mlp: 'plain gelu' }, { kvHeads: 1 }],
  ['Falcon 40B', { norm: 'layer', residual: 'parallel2', qkv: 'by group', mlp: 'plain gelu' }, {}],
  ['GPT-NeoX', { ...NEOX, qkv: 'by head' }, {}],
  ['GPT-J', { ...NEOX, residual: 'parallel', positions: 'interleaved' }, {}],
  [
    'GPT-2',
    { norm: 'layer', positions: 'learned', qkv: 'conv1d', mlp: 'plain gelu', kvHeads: 4, bias: true, tied: true },
    {},
  ],
  ['BLOOM', BLOOM, {}],
  ['MPT', { norm: 'layer-no-bias', positions: 'alibi', kvHeads: 4, qkv: 'fused', mlp: 'plain gelu' }, {}],
  ['T5', { positions: 't5', scale: 1, kvHeads: 4, mlp: 'gelu-tanh' }, { scale: 1 }],
  ['Cohere', { norm: 'layer-no-bias', residual: 'parallel', positions: 'interleaved', logitsScale: 0.0625 }, {}],
  ['Granite', { embedScale: 12, residualScale: 0.25, scale: 0.015625, logitsScale: 8 }, { scale: 0.015625 }],
  ['StarCoder 2', { norm: 'layer', mlp: 'plain gelu', bias: true, windows: [6] }, { window: 6 }],
  ['Nemotron', { norm: 'layer', mlp: 'relu2', partial: 2 / 3 }, {}],
  ['no positions', { positions: 'none', cache: false, padding: false }, {}],
];

/** The graph that is placed: no names, no host ops, weights by type. */
function coreOf(graph: Graph): string {
  const number = new Map<ValueId, number>();
  const refer = (v: ValueId | null): string =>
    v === null ? '_' : graph.constants.has(v) ? `const ${graph.types[v].shape}` : `%${number.get(v) ?? 'host'}`;
  const isPlaced = (op: Op): boolean =>
    /^wafc\.(?!positions|angles)/.test(op.kind) || op.inputs.some((v) => v !== null && number.has(v));
  return graph.ops
    .flatMap((op) => {
      if (!isPlaced(op)) return [];
      number.set(op.outputs[0] as ValueId, number.size);
      return [`${op.kind} ${op.inputs.map(refer)} ${JSON.stringify(op.attrs)}`];
    })
    .join('\n');
}

/** Tokens, past, and whether some keys are padding. */
const LENGTHS = [
  [3, 4, false],
  [6, 2, true],
] as const;

describe('decoders', () => {
  test.each(DECODERS)('%s', (_, given, ...attentions) => {
    const parts = { layers: attentions.length, ...given };
    const lifted = lift(decoder(parts));
    const { after } = lifted;
    const usual = { heads: 4, kvHeads: parts.kvHeads ?? 2, causal: 1, window: 0, softcap: 0, scale: 1 / Math.sqrt(6) };
    const found = opsOf(after, 'wafc.attention');
    expect(found.map(({ attrs }) => attrs)).toEqual(attentions.map((own) => ({ ...usual, ...own })));
    const isBiased = parts.positions === 'alibi' || parts.positions === 't5';
    expect(found.map(({ inputs }) => inputs.length)).toEqual(
      attentions.map(() => (isBiased ? 7 : parts.cache === false ? 3 : 6)),
    );
    // Nothing is left of how it was spelled.
    expect(coreOf(after)).not.toMatch(/wafc\.(?:select|concat|slice)|Transpose|ReduceMean|Erf|Sigmoid/);
    expectSame(lifted, 1, 1e-5, LENGTHS);
  });

  test.each<[string, DecoderParts, readonly DecoderParts[]]>([
    ['masks', {}, [{ mask: 'where' }, { mask: 'clamped' }]],
    ['masks beside ALiBi', { ...BLOOM, qkv: 'separate' }, [{ mask: 'where' }, { mask: 'clamped' }]],
    ['masks beside relative positions', { positions: 't5' }, [{ mask: 'where' }, { mask: 'clamped' }]],
    ['masks and windows', { windows: [4], layers: 1 }, [{ mask: 'where' }, { mask: 'clamped' }]],
    ['projections', { ...NEOX, qkv: 'separate' }, [{ qkv: 'fused' }, { qkv: 'by head' }]],
    ['projections of groups', { kvHeads: 2 }, [{ qkv: 'fused' }, { qkv: 'by group' }]],
    ['gates', {}, [{ mlp: 'fused silu' }]],
  ])('%s: one graph however they are spelled', (_, first, others) => {
    const core = coreOf(lift(decoder({ layers: 1, ...first })).after);
    for (const other of others) expect(coreOf(lift(decoder({ layers: 1, ...first, ...other })).after)).toBe(core);
  });

  test('sequences of a batch have biases and paddings of their own', () =>
    expectSame(lift(decoder({ ...BLOOM, layers: 1, mask: 'where' }), 2), 2, 1e-5, LENGTHS));
});
