/** RotaryEmbedding: the ai.onnx op (23) and the com.microsoft one, which orders its inputs differently. */
import type { Tensor } from '../tensor/tensor.ts';
import { defineOp, type InferContext, type RunContext } from './op.ts';
import { headsOf3d, headsOf4d } from './support/attention.ts';
import { badValue } from './support/fault.ts';
import { tensorAt, typeAt } from './support/inputs.ts';
import { rotate } from './support/rotate.ts';

const NAME = 'RotaryEmbedding';

function inferRotary(context: InferContext) {
  const type = typeAt(context, 0);
  if (type.shape.length !== 3 && type.shape.length !== 4) {
    context.mismatch({ input: 0, expected: 'rank 3 or 4', found: `rank ${type.shape.length}` });
  }
  return { types: [type] };
}

/** Number of heads of a [B, S, H*D] input: from num_heads, else from the width that the angles imply. */
function headCount(context: RunContext, width: number, pairs: number): number {
  const given = context.attrs.int('num_heads', 0);
  if (given > 0) return given;
  const size = 2 * pairs;
  if (width % size !== 0) badValue(NAME, `expected num_heads for an input of width ${width}`);
  return width / size;
}

interface Inputs {
  readonly cos: Tensor;
  readonly sin: Tensor;
  readonly positions: Tensor | undefined;
}

function runRotary(context: RunContext, { cos, sin, positions }: Inputs): Tensor[] {
  const x = tensorAt(context, 0);
  // A cache may be wider than what is rotated; its first columns count.
  const width = cos.shape[cos.shape.length - 1];
  const rotary = context.attrs.int('rotary_embedding_dim', 0);
  const pairs = rotary > 0 ? rotary / 2 : width;
  const heads = x.shape.length === 4 ? headsOf4d(x) : headsOf3d(x, headCount(context, x.shape[2], pairs));
  const rows = cos.data.length / Math.max(1, width);
  // One position id is an offset (com.microsoft); without ids the caches hold one row per token.
  const offsetOnly = positions !== undefined && positions.shape.length === 1;
  const perBatch = cos.shape.length === 3 && cos.shape[0] === 1 ? 0 : heads.length;
  const row = (b: number, s: number): number => {
    if (positions === undefined) return b * perBatch + s;
    return offsetOnly ? positions.data[0] + s : positions.data[b * heads.length + s];
  };
  const at = (b: number, s: number): number => {
    const found = row(b, s);
    if (found < 0 || found >= rows) badValue(NAME, `expected positions below ${rows}, found ${found}`);
    return found * width;
  };
  const interleaved = context.attrs.int('interleaved', 0) === 1;
  return [rotate(x, heads, { cos: cos.data, sin: sin.data, at, pairs, interleaved })];
}

const onnx = defineOp({
  domain: '',
  name: NAME,
  since: [23],
  trait: 'compute',
  infer: inferRotary,
  run: (context) =>
    runRotary(context, { cos: tensorAt(context, 1), sin: tensorAt(context, 2), positions: context.inputs[3] }),
});

const microsoft = defineOp({
  domain: 'com.microsoft',
  name: NAME,
  since: [1],
  trait: 'compute',
  infer: inferRotary,
  run: (context) =>
    runRotary(context, { positions: tensorAt(context, 1), cos: tensorAt(context, 2), sin: tensorAt(context, 3) }),
});

export const ops = [onnx, microsoft];
