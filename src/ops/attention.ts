/**
 * ai.onnx Attention (23, 24). Scores are scaled, capped, then biased, and qk_matmul_output_mode counts these stages in
 * that order: the wording of the corrected specification (onnx pull requests 7867 and 7913), which also covers 23.
 */
import { addDims, type Dim, divDims, isKnown, mulDims, printDim } from '../ir/dim.ts';
import { printType } from '../ir/types.ts';
import { allocate, sizeOf, type Tensor, tensor } from '../tensor/tensor.ts';
import { defineOp, type InferContext, type RunContext } from './op.ts';
import {
  appendHeads,
  attend,
  causalMask,
  type Heads,
  headsOf3d,
  headsOf4d,
  maskBy,
  type RowMask,
  type Stage,
} from './support/attention.ts';
import { stored } from './support/elementwise.ts';
import { badValue } from './support/fault.ts';
import { tensorAt, typeAt } from './support/inputs.ts';

const STAGES: readonly Stage[] = ['raw', 'capped', 'biased', 'softmax'];

interface Extents {
  readonly batch: Dim;
  readonly heads: Dim;
  readonly length: Dim;
  readonly size: Dim;
}

/** Heads of a 3D input come from the attribute; of a 4D one, from its shape. */
function extents(context: InferContext, input: number, headsAttr: string): Extents {
  const { shape } = typeAt(context, input);
  if (shape.length === 4) return { batch: shape[0], heads: shape[1], length: shape[2], size: shape[3] };
  if (shape.length !== 3) context.mismatch({ input, expected: 'rank 3 or 4', found: `rank ${shape.length}` });
  const heads = context.attrs.int(headsAttr);
  const size = divDims(shape[2], heads);
  if (size === undefined && isKnown(shape[2])) {
    context.mismatch({ input, expected: `a width that ${heads} heads divide`, found: printDim(shape[2]) });
  }
  return { batch: shape[0], heads, length: shape[1], size: size ?? context.fresh('head') };
}

function inferAttention(context: InferContext) {
  const q = extents(context, 0, 'q_num_heads');
  const k = extents(context, 1, 'kv_num_heads');
  const v = extents(context, 2, 'kv_num_heads');
  const { dtype, shape } = typeAt(context, 0);
  if (isKnown(q.size) && isKnown(k.size) && q.size !== k.size) {
    context.mismatch({ input: 1, expected: `heads of size ${q.size} as in the query`, found: String(k.size) });
  }
  const past = context.inputs[4];
  const total = addDims(past?.shape[2] ?? 0, k.length);
  const out = shape.length === 4 ? [q.batch, q.heads, q.length, v.size] : [q.batch, q.length, mulDims(q.heads, v.size)];
  const types = [
    { dtype, shape: out },
    { dtype: typeAt(context, 1).dtype, shape: [k.batch, k.heads, total, k.size] },
    { dtype: typeAt(context, 2).dtype, shape: [v.batch, v.heads, total, v.size] },
    { dtype, shape: [q.batch, q.heads, q.length, total] },
  ];
  return { types: types.slice(0, context.outputCount) };
}

const headsOf = (context: RunContext, input: number, headsAttr: string): Heads => {
  const given = tensorAt(context, input);
  return given.shape.length === 4 ? headsOf4d(given) : headsOf3d(given, context.attrs.int(headsAttr));
};

/** The masks in force: attn_mask, the causal one, and the number of keys that are not padding (24). */
function masksOf(context: RunContext, q: Heads, keys: number): RowMask[] {
  const masks: RowMask[] = [];
  const given = context.inputs[3];
  const past = context.inputs[4];
  const nonpad = context.inputs[6];
  if (given !== undefined) masks.push(maskBy(given, [q.batch, q.heads, q.length, keys]));
  if (context.attrs.int('is_causal', 0) === 1) {
    // Aligned to the bottom right: keys before this block of queries are visible to all of them.
    const external = past === undefined && nonpad !== undefined;
    masks.push(causalMask((b) => (external ? nonpad.data[b] - q.length : (past?.shape[2] ?? 0))));
  }
  if (nonpad !== undefined)
    masks.push((row, b) => row.fill(Number.NEGATIVE_INFINITY, Math.min(row.length, nonpad.data[b])));
  return masks;
}

function runAttention(context: RunContext): Tensor[] {
  const { attrs } = context;
  const q = headsOf(context, 0, 'q_num_heads');
  const { dtype, shape } = tensorAt(context, 0);
  const presentKey = appendHeads(context.inputs[4], headsOf(context, 1, 'kv_num_heads'), tensorAt(context, 1).dtype);
  const presentValue = appendHeads(context.inputs[5], headsOf(context, 2, 'kv_num_heads'), tensorAt(context, 2).dtype);
  const k = headsOf4d(presentKey);
  const v = headsOf4d(presentValue);
  if (q.size !== k.size || q.heads % k.heads !== 0) {
    badValue('Attention', `expected keys that fit ${q.heads} heads of size ${q.size}, found ${printType(presentKey)}`);
  }
  const outShape = shape.length === 4 ? [q.batch, q.heads, q.length, v.size] : [q.batch, q.length, q.heads * v.size];
  const y = tensor(dtype, outShape, allocate(dtype, sizeOf(outShape)));
  const scoresShape = [q.batch, q.heads, q.length, k.length];
  const scores = context.outputCount > 3 ? tensor(dtype, scoresShape, allocate(dtype, sizeOf(scoresShape))) : undefined;
  attend({
    q,
    k,
    v,
    scale: attrs.float('scale', 1 / Math.sqrt(q.size)),
    softcap: attrs.float('softcap', 0),
    masks: masksOf(context, q, k.length),
    emptyRow: 'nan',
    out: shape.length === 4 ? headsOf4d(y) : headsOf3d(y, q.heads),
    ...(scores ? { keep: { stage: STAGES[attrs.int('qk_matmul_output_mode', 0)], into: scores.data } } : {}),
  });
  stored(dtype, y.data);
  if (scores) stored(dtype, scores.data);
  return [y, presentKey, presentValue, ...(scores ? [scores] : [])].slice(0, context.outputCount);
}

const attention = defineOp({
  domain: '',
  name: 'Attention',
  since: [23, 24],
  trait: 'compute',
  infer: inferAttention,
  run: runAttention,
});

export const ops = [attention];
