/** wafc.rope and wafc.attention: heads side by side in the features, caches as [B, KVH, P, hd]. */
import { addDims, type Dim, divDims, mulDims, printDim } from '../ir/dim.ts';
import type { TensorType } from '../ir/types.ts';
import { allocate, type Tensor, tensor } from '../tensor/tensor.ts';
import { defineOp, type InferContext, type RunContext } from './op.ts';
import { mayEqual, printShape } from './support/axes.ts';
import { appendHeads, attend, causalMask, headsOf3d, headsOf4d, maskBy, type RowMask } from './support/attention.ts';
import { stored } from './support/elementwise.ts';
import { tensorAt, typeAt } from './support/inputs.ts';
import { rotate } from './support/rotate.ts';

const rope = defineOp({
  domain: 'wafc',
  name: 'rope',
  since: [1],
  trait: 'compute',
  infer(context: InferContext) {
    const x = typeAt(context, 0);
    const cos = typeAt(context, 1).shape;
    const pairs = context.attrs.int('rotary') / 2;
    if (cos.length !== 3 || !mayEqual(cos[2], pairs)) {
      context.mismatch({ input: 1, expected: `[B|1, S, ${pairs}]`, found: printShape(cos) });
    }
    headSize(context, 0, context.attrs.int('heads'));
    return { types: [x] };
  },
  run(context) {
    const x = tensorAt(context, 0);
    const cos = tensorAt(context, 1);
    const heads = headsOf3d(x, context.attrs.int('heads'));
    const [rows, length, pairs] = cos.shape;
    const perBatch = rows === 1 ? 0 : length;
    const at = (b: number, s: number) => (b * perBatch + s) * pairs;
    const interleaved = context.attrs.int('interleaved', 0) === 1;
    return [rotate(x, heads, { cos: cos.data, sin: tensorAt(context, 2).data, at, pairs, interleaved })];
  },
});

/** Features per head of an activation input. */
function headSize(context: InferContext, input: number, heads: number): Dim {
  const { shape } = typeAt(context, input);
  if (shape.length !== 3) context.mismatch({ input, expected: '[B, S, F]', found: printShape(shape) });
  const size = divDims(shape[2], heads);
  return (
    size ?? context.mismatch({ input, expected: `features that ${heads} heads divide`, found: printDim(shape[2]) })
  );
}

function inferAttention(context: InferContext) {
  const { attrs } = context;
  const heads = attrs.int('heads');
  const kvHeads = attrs.int('kvHeads');
  const q = typeAt(context, 0);
  const k = typeAt(context, 1);
  const v = typeAt(context, 2);
  const size = headSize(context, 0, heads);
  const keySize = headSize(context, 1, kvHeads);
  const valueSize = headSize(context, 2, kvHeads);
  if (heads % kvHeads !== 0)
    context.mismatch({ expected: `heads that ${kvHeads} kvHeads divide`, found: String(heads) });
  if (!mayEqual(size, keySize)) {
    context.mismatch({ input: 1, expected: `heads of ${printDim(size)} features`, found: printDim(keySize) });
  }
  const past = context.inputs[3];
  const [batch, length] = q.shape;
  const total = addDims(past?.shape[2] ?? 0, k.shape[1]);
  const types: TensorType[] = [
    { dtype: q.dtype, shape: [batch, length, mulDims(heads, valueSize)] },
    { dtype: past?.dtype ?? k.dtype, shape: [batch, kvHeads, total, keySize] },
    { dtype: context.inputs[4]?.dtype ?? v.dtype, shape: [batch, kvHeads, total, valueSize] },
  ];
  expectShape(context, 3, [batch, kvHeads, past?.shape[2] ?? 0, keySize]);
  expectShape(context, 4, [batch, kvHeads, past?.shape[2] ?? 0, valueSize]);
  expectShape(context, 5, [batch, total]);
  return { types: types.slice(0, context.outputCount) };
}

function expectShape(context: InferContext, input: number, expected: readonly Dim[]): void {
  const shape = context.inputs[input]?.shape;
  if (shape && (shape.length !== expected.length || shape.some((n, d) => !mayEqual(n, expected[d])))) {
    context.mismatch({ input, expected: printShape(expected), found: printShape(shape) });
  }
}

function masksOf(context: RunContext, keys: number): RowMask[] {
  const { attrs } = context;
  const [batch, queries] = tensorAt(context, 0).shape;
  const past = context.inputs[3]?.shape[2] ?? 0;
  const keyMask = context.inputs[5];
  const bias = context.inputs[6];
  const masks: RowMask[] = [];
  if (bias) masks.push(maskBy(bias, [batch, attrs.int('heads'), queries, keys]));
  if (keyMask) {
    masks.push((row, b) => {
      for (let t = 0; t < row.length; t++) if (keyMask.data[b * keys + t] === 0) row[t] = Number.NEGATIVE_INFINITY;
    });
  }
  const window = attrs.int('window', 0);
  if (attrs.int('causal') === 1) masks.push(causalMask(() => past, window === 0 ? undefined : window));
  else if (window !== 0) {
    masks.push((row, _b, _h, s) => {
      row.fill(Number.NEGATIVE_INFINITY, 0, Math.max(0, Math.min(row.length, past + s - window + 1)));
    });
  }
  return masks;
}

const attention = defineOp({
  domain: 'wafc',
  name: 'attention',
  since: [1],
  trait: 'compute',
  infer: inferAttention,
  run(context): Tensor[] {
    const { attrs } = context;
    const x = tensorAt(context, 0);
    const kvHeads = attrs.int('kvHeads');
    const [pastKey, pastValue] = [context.inputs[3], context.inputs[4]];
    const [key, value] = [tensorAt(context, 1), tensorAt(context, 2)];
    const presentKey = appendHeads(pastKey, headsOf3d(key, kvHeads), pastKey?.dtype ?? key.dtype);
    const presentValue = appendHeads(pastValue, headsOf3d(value, kvHeads), pastValue?.dtype ?? value.dtype);
    const q = headsOf3d(x, attrs.int('heads'));
    const k = headsOf4d(presentKey);
    const v = headsOf4d(presentValue);
    const out = tensor(
      x.dtype,
      [q.batch, q.length, q.heads * v.size],
      allocate(x.dtype, q.batch * q.length * q.heads * v.size),
    );
    attend({
      q,
      k,
      v,
      scale: attrs.float('scale'),
      softcap: attrs.float('softcap', 0),
      masks: masksOf(context, k.length),
      emptyRow: 'zero',
      out: headsOf3d(out, q.heads),
    });
    stored(x.dtype, out.data);
    return [out, presentKey, presentValue].slice(0, context.outputCount);
  },
});

export const ops = [rope, attention];
